//! `tollgate healthcheck`: asks a running server whether it is ready. For containers, which have no
//! other program to ask with.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::out;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Arguments of `tollgate healthcheck`.
#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// The address to ask [default: `server.listen` of the configuration]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<SocketAddr>,
}

/// Asks, prints what came back, and exits with 0 where the server is ready.
pub(crate) fn run(config: Option<&Path>, args: &HealthcheckArgs) -> anyhow::Result<ExitCode> {
    let address = match args.address {
        Some(address) => address,
        None => reachable(super::load(config)?.server.listen),
    };
    let answer = ask(address).with_context(|| format!("no answer from {address}"))?;
    let ready = answer.starts_with("HTTP/1.1 200");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    out::line(body)?;
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}

/// A server that listens on every address is asked on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
