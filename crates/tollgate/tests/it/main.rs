//! The whole program, as a process of its own, between scripted clients and a scripted provider.
//!
//! Each test starts its own program on free ports and its own provider, and asserts only what the
//! SPEC documents: bytes on the wire, fields of the ledger row, exit codes. `TOLLGATE_BIN` names
//! another binary to test, such as a release build.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read the environment, spawn clients and say what they skip"
)]

mod admin;
mod alerts;
mod api;
mod bodies;
mod breakers;
mod cases;
mod cli;
mod crash;
mod hangup;
mod hostile;
mod identity;
mod jobs;
mod limits;
mod metrics;
mod overload;
mod overshoot;
mod own_limits;
mod pass_through;
mod providers;
mod refusals;
mod relay;
mod resilience;
mod savings;
mod sdk;
mod sinks;
mod strays;
mod turns;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::Upstream;

/// Long enough for anything that should happen at once, on a slow machine.
const SOON: Duration = Duration::from_secs(10);

fn binary() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_tollgate"));
    std::env::var_os("TOLLGATE_BIN").map_or(built, PathBuf::from)
}

async fn start(config: Config) -> Program {
    Program::start(&binary(), config).await
}

/// A configuration whose provider `up` is at `upstream` and serves the priced model of the oracle.
fn oracle_config(upstream: &Upstream) -> Config {
    Config::new()
        .provider("up", "openai", &upstream.url("/v1"))
        .model(oracle::MODEL, "up", oracle::MODEL)
        .price("up", oracle::MODEL, &oracle::PRICES)
}

/// A provider that answers as the oracle does, and a program in front of it.
async fn oracle_pair(pause: Duration) -> (Upstream, Program) {
    let upstream = Upstream::start(move |request| oracle::reply(request, pause)).await;
    let program = start(oracle_config(&upstream)).await;
    (upstream, program)
}

/// Asserts that a row states what the oracle foretells for `nonce`, to the nano-dollar.
fn assert_charged_as_foretold(row: &Value, nonce: u64) {
    let usage = oracle::usage(nonce);
    assert_eq!(row["cost_usd"], oracle::cost(nonce).to_string(), "{row:#}");
    assert_eq!(row["input_tokens"], usage.input, "{row:#}");
    assert_eq!(row["cached_input_tokens"], usage.cache_read, "{row:#}");
    assert_eq!(row["output_tokens"], usage.output, "{row:#}");
    assert_eq!(row["estimated"], false, "{row:#}");
}
