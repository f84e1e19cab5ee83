//! What telemetry costs: the same calls through a Tollgate that tells nothing of them, and through one
//! that writes a line for each, sends each to a collector over OTLP and is asked for its metrics.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::load::{Burst, Connection};
use super::open_loop::OpenLoop;
use super::proxies::{self, Proxy};
use super::report::Report;
use super::{Bench, clients, configuration, progress};

/// Calls a second.
const RATE: u32 = 2_000;
/// How often the metrics are asked for.
const SCRAPE: Duration = Duration::from_secs(5);

impl Bench {
    /// Measures telemetry, at a fixed rate of calls and with connections that are always busy.
    pub(super) async fn telemetry(&self, report: &mut Report) -> Result<()> {
        let target = configuration::one_target(self.origin.address);
        let telling = configuration::telling(self.origin.address);
        let silent = [configuration::NO_CACHE, &target, configuration::SILENT];
        let told = [configuration::NO_CACHE, &target, &telling];
        let off = proxies::alone(&self.args, &silent).await?;
        let on = proxies::alone(&self.args, &told).await?;
        for round in 0..self.args.rounds {
            let mut both = [("off", &off), ("on", &on)];
            if !round.is_multiple_of(2) {
                both.reverse();
            }
            for (what, proxy) in both {
                let scraped = (what == "on").then(|| proxy.admin());
                let paced = self.at_a_rate(proxy, scraped).await?;
                let burst = Burst {
                    address: proxy.address_for("fast"),
                    request: clients::request("fast"),
                    connections: self.args.connections,
                    warm_up: Duration::from_secs(1),
                    measured: Duration::from_secs(self.args.seconds),
                };
                let busy = burst.run(|| proxy.cpu()).await?.cpu_us_per_call();
                report.add(&format!("telemetry_{what}.cpu_us"), proxy.name, paced);
                report.add(&format!("telemetry_{what}.busy_cpu_us"), proxy.name, busy);
                progress(&format!(
                    "telemetry {what} round {round}: {paced:.1} µs CPU each at {RATE}/s, \
                     {busy:.1} µs always busy"
                ))?;
            }
        }
        Ok(())
    }

    /// CPU time of a call in microseconds; metrics are asked for meanwhile where that is said.
    async fn at_a_rate(&self, proxy: &Proxy, scraped: Option<SocketAddr>) -> Result<f64> {
        let address = proxy.address_for("delay");
        let scrapes = tokio::task::spawn_local(scrape(scraped));
        let length = Duration::from_secs(self.args.seconds);
        let before = proxy.cpu()?;
        let request = clients::request("delay");
        let seen = OpenLoop { address, rate: RATE, length }.run_good(&request).await?;
        scrapes.abort();
        if scrapes.is_finished() {
            scrapes.await?.context("the metrics cannot be read")?;
        }
        Ok(proxy.cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / seen.calls())
    }
}

/// Asks for the metrics again and again; ends where they are not given.
async fn scrape(from: Option<SocketAddr>) -> Result<()> {
    let Some(from) = from else { return std::future::pending().await };
    loop {
        let mut connection = Connection::open(from).await?;
        connection.good_call(clients::METRICS.as_bytes()).await?;
        tokio::time::sleep(SCRAPE).await;
    }
}
