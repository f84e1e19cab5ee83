//! The two proxies under measurement: their configuration, their processes, their end.
#![expect(clippy::disallowed_methods, reason = "a measuring tool waits by the clock")]

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::{BenchArgs, configuration, process};

/// A running proxy.
pub(super) struct Proxy {
    /// `nginx` or `tollgate`.
    pub(super) name: &'static str,
    calls: SocketAddr,
    streams: SocketAddr,
    admin: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Asked in good order, nginx takes its worker with it.
        let pid = self.child.id().to_string();
        let _asked = Command::new("kill").args(["-TERM", &pid]).status();
        let deadline = Instant::now() + Duration::from_secs(3);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Proxy {
    /// Where requests of that mode go: nginx streams through a port of its own, unbuffered.
    pub(super) fn address_for(&self, mode: &str) -> SocketAddr {
        if matches!(mode, "fast" | "delay") { self.calls } else { self.streams }
    }

    /// Where Tollgate is administered, and its metrics are.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// CPU time so far, of all threads and workers.
    pub(super) fn cpu(&self) -> Result<Duration> {
        process::cpu(&process::family(self.child.id())?)
    }

    /// Resident memory in KiB, of all workers.
    pub(super) fn resident_kib(&self) -> Result<f64> {
        process::resident_kib(&process::family(self.child.id())?)
    }
}

/// Both proxies, started.
pub(super) struct Proxies {
    both: [Proxy; 2],
}

impl Proxies {
    /// Starts both before the provider at `origin`, and makes one call through each port.
    pub(super) async fn start(args: &BenchArgs, origin: SocketAddr) -> Result<Self> {
        let ours = [configuration::NO_CACHE, &configuration::one_target(origin)];
        let both = [nginx(args, origin)?, tollgate(args, &ours)?];
        for proxy in &both {
            let what = || format!("{} does not come up", proxy.name);
            wait_for(proxy.calls).await.with_context(what)?;
            wait_for(proxy.streams).await.with_context(what)?;
        }
        Ok(Self { both })
    }

    /// Both, first the one whose turn it is in this round.
    pub(super) fn in_order(&self, round: u32) -> [&Proxy; 2] {
        let [a, b] = &self.both;
        if round.is_multiple_of(2) { [a, b] } else { [b, a] }
    }
}

async fn wait_for(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(15);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            bail!("nothing listens at {address}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("tollgate-bench-").tempdir()?)
}

/// A command on the core under measurement.
fn pinned(core: &str, binary: &Path) -> Command {
    if core == "none" {
        return Command::new(binary);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(binary);
    command
}

fn nginx(args: &BenchArgs, origin: SocketAddr) -> Result<Proxy> {
    let folder = folder()?;
    let (calls, streams) = (free_port()?, free_port()?);
    let text = configuration::nginx(calls, streams, origin, folder.path());
    let config = folder.path().join("nginx.conf");
    fs::write(&config, text)?;
    let child = pinned(&args.core, &args.nginx)
        .arg("-p")
        .arg(folder.path())
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .stderr(File::create(folder.path().join("stderr"))?)
        .spawn()
        .context("starting nginx")?;
    Ok(Proxy { name: "nginx", calls, streams, admin: calls, child, _folder: folder })
}

/// Starts Tollgate alone, with these sections besides what a call passes in any case.
pub(super) async fn alone(args: &BenchArgs, sections: &[&str]) -> Result<Proxy> {
    let proxy = tollgate(args, sections)?;
    wait_for(proxy.calls).await.context("tollgate does not come up")?;
    Ok(proxy)
}

fn tollgate(args: &BenchArgs, sections: &[&str]) -> Result<Proxy> {
    let folder = folder()?;
    let (listen, admin) = (free_port()?, free_port()?);
    let mut text = configuration::tollgate(listen, admin, folder.path());
    for section in sections {
        text.push_str(section);
    }
    text.push_str(if args.without_limits {
        configuration::NO_LIMITS
    } else {
        configuration::LIMITS
    });
    let config = folder.path().join("tollgate.toml");
    fs::write(&config, text)?;
    // The log line of each call is written, to where it costs no disk.
    let child = pinned(&args.core, &fs::canonicalize(&args.tollgate).context("tollgate")?)
        .args(["serve", "--config"])
        .arg(&config)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.path().join("stderr"))?)
        .spawn()
        .context("starting tollgate")?;
    Ok(Proxy { name: "tollgate", calls: listen, streams: listen, admin, child, _folder: folder })
}
