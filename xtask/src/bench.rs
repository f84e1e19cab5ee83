//! Measures Tollgate beside a plain reverse proxy (nginx), under equal conditions.
//!
//! Both proxies are pinned to one core and have one provider behind them and one load generator in
//! front, which run in this process on the other core. Rounds alternate between the two, so that
//! what else the machine does falls on both. CPU comes from the kernel's own account of the proxy's
//! processes, never from the load generator. `scripts/bench` builds what is measured and starts this.

mod cache;
mod clients;
mod configuration;
mod failover;
mod load;
mod open_loop;
mod origin;
mod overload;
mod process;
mod proxies;
mod report;
mod telemetry;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use load::Burst;
use open_loop::{OpenLoop, Seen};
use origin::Origin;
use proxies::Proxies;
use report::Report;

/// What is measured, how long, and of which binaries.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BenchArgs {
    /// The Tollgate binary.
    #[arg(long, default_value = "target/dist/tollgate")]
    tollgate: PathBuf,
    /// The nginx binary.
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// The core on which the proxy under measurement runs; `none` pins nothing.
    #[arg(long, default_value = "0")]
    core: String,
    /// Rounds of each measurement for each proxy.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds that one round is measured, after one second of warming up.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections of the closed loop.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Streams that are held open for the measurement of memory.
    #[arg(long, default_value_t = 2_000)]
    streams: usize,
    /// Distinct prompts that the prompt cache is asked for.
    #[arg(long, default_value_t = 1_000_000)]
    prompts: u64,
    /// Measurements to make: calls, streams, paced, translated, latency, memory of both proxies;
    /// overload, failover, cache, telemetry of Tollgate alone.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "calls,streams,paced,translated,latency,memory,overload,failover,cache,\
                         telemetry"
    )]
    only: Vec<String>,
    /// Leaves out the five limits, to see what they cost.
    #[arg(long)]
    without_limits: bool,
    /// Where the figures are written as JSON.
    #[arg(long, default_value = "target/bench.json")]
    out: PathBuf,
}

/// Runs the measurements, prints a table and writes the JSON file.
///
/// # Errors
/// Where a proxy does not start, a call fails, or a file cannot be written.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let origin = origin::start().context("starting the provider")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let report = local.block_on(&runtime, Bench { args: args.clone(), origin }.measure())?;
    report.print(&mut std::io::stdout().lock())?;
    report.write(&args.out)
}

struct Bench {
    args: BenchArgs,
    origin: Origin,
}

impl Bench {
    fn wants(&self, what: &str) -> bool {
        self.args.only.iter().any(|only| only == what)
    }

    async fn measure(self) -> Result<Report> {
        let mut report = Report::default();
        report.note_binary("nginx", &self.args.nginx)?;
        report.note_binary("tollgate", &self.args.tollgate)?;
        if ["calls", "streams", "paced", "translated", "latency"].iter().any(|it| self.wants(it)) {
            let proxies = Proxies::start(&self.args, self.origin.address).await?;
            for (what, mode) in [
                ("calls", "fast"),
                ("streams", "stream"),
                ("paced", "paced"),
                ("translated", "translated"),
            ] {
                if self.wants(what) {
                    self.closed_loop(&proxies, &mut report, what, mode).await?;
                }
            }
            if self.wants("latency") {
                self.latency(&proxies, &mut report).await?;
            }
        }
        if self.wants("memory") {
            self.memory(&mut report).await?;
        }
        if self.wants("overload") {
            self.overload(&mut report).await.context("overload")?;
        }
        if self.wants("failover") {
            self.failover(&mut report).await.context("failover")?;
        }
        if self.wants("cache") {
            self.cache(&mut report).await.context("cache")?;
        }
        if self.wants("telemetry") {
            self.telemetry(&mut report).await.context("telemetry")?;
        }
        Ok(report)
    }

    /// CPU and throughput with a fixed number of connections, each always busy.
    async fn closed_loop(
        &self,
        proxies: &Proxies,
        report: &mut Report,
        what: &str,
        mode: &str,
    ) -> Result<()> {
        for round in 0..self.args.rounds {
            for proxy in proxies.in_order(round) {
                let burst = Burst {
                    address: proxy.address_for(mode),
                    request: clients::request(mode),
                    connections: self.args.connections,
                    warm_up: Duration::from_secs(1),
                    measured: Duration::from_secs(self.args.seconds),
                };
                let result = burst
                    .run(|| proxy.cpu())
                    .await
                    .with_context(|| format!("{what} through {}", proxy.name))?;
                report.add(&format!("{what}.per_second"), proxy.name, result.per_second());
                report.add(&format!("{what}.cpu_us"), proxy.name, result.cpu_us_per_call());
                report.add(&format!("{what}.cores"), proxy.name, result.cores());
                progress(&format!(
                    "{what} round {round} {}: {:.0}/s, {:.1} µs CPU each",
                    proxy.name,
                    result.per_second(),
                    result.cpu_us_per_call()
                ))?;
            }
        }
        Ok(())
    }

    /// Latency at a fixed rate of arrivals, beside what the same load costs without a proxy, and the
    /// CPU time of a call at that rate: the same number of wake-ups for both.
    async fn latency(&self, proxies: &Proxies, report: &mut Report) -> Result<()> {
        for rate in [200_u32, 2_000] {
            for round in 0..self.args.rounds {
                let direct = self.open_loop(self.origin.address, rate).await?;
                record(report, "direct", rate, &direct, &direct);
                for proxy in proxies.in_order(round) {
                    let before = proxy.cpu()?;
                    let seen = self.open_loop(proxy.address_for("delay"), rate).await?;
                    let cpu =
                        proxy.cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / seen.calls();
                    report.add(&format!("latency_{rate}.cpu_us"), proxy.name, cpu);
                    record(report, proxy.name, rate, &seen, &direct);
                    progress(&format!(
                        "latency {rate}/s round {round} {}: {cpu:.1} µs CPU each, +{:.0} µs p50, \
                         +{:.0} µs p99",
                        proxy.name,
                        added(&seen, &direct, 50.0),
                        added(&seen, &direct, 99.0)
                    ))?;
                }
            }
        }
        Ok(())
    }

    async fn open_loop(&self, address: SocketAddr, rate: u32) -> Result<Seen> {
        let length = Duration::from_secs(self.args.seconds);
        OpenLoop { address, rate, length }.run_good(&clients::request("delay")).await
    }

    /// Resident memory: fresh, and with many slow streams open.
    async fn memory(&self, report: &mut Report) -> Result<()> {
        for round in 0..self.args.rounds.min(3) {
            let proxies = Proxies::start(&self.args, self.origin.address).await?;
            for proxy in proxies.in_order(round) {
                let idle = proxy.resident_kib()?;
                let held = load::hold(
                    proxy.address_for("slow"),
                    clients::request("slow"),
                    self.args.streams,
                )
                .await
                .with_context(|| format!("slow streams through {}", proxy.name))?;
                tokio::time::sleep(Duration::from_secs(3)).await;
                let busy = proxy.resident_kib()?;
                drop(held);
                let streams = u32::try_from(self.args.streams).unwrap_or(u32::MAX).max(1);
                report.add("memory.idle_mib", proxy.name, idle / 1024.0);
                report.add("memory.streams_mib", proxy.name, busy / 1024.0);
                report.add("memory.kib_per_stream", proxy.name, (busy - idle) / f64::from(streams));
                progress(&format!(
                    "memory {}: {idle:.0} KiB idle, {busy:.0} KiB with {streams} streams",
                    proxy.name
                ))?;
            }
        }
        Ok(())
    }
}

fn record(report: &mut Report, name: &'static str, rate: u32, seen: &Seen, direct: &Seen) {
    for percent in [50.0, 99.0] {
        let at = seen.times(|_| true).percentile(percent);
        report.add(&format!("latency_{rate}.p{percent}_us"), name, at);
        if name != "direct" {
            let added = added(seen, direct, percent);
            report.add(&format!("latency_{rate}.added_p{percent}_us"), name, added);
        }
    }
}

/// By how much a percentile is above that of the load without a proxy.
fn added(seen: &Seen, direct: &Seen, percent: f64) -> f64 {
    seen.times(|_| true).percentile(percent) - direct.times(|_| true).percentile(percent)
}

fn progress(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "{line}")
}
