//! `tollgate healthcheck`: asks a running server whether it is ready. For containers, which have no
//! other program to ask with.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::ask::{ask, reachable};
use crate::out;

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
    let asked = ask(address, ("GET", "/readyz"), None);
    let (status, body) = asked.with_context(|| format!("no answer from {address}"))?;
    out::line(body)?;
    Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
