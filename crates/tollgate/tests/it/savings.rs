//! Never the same answer twice for money: prompt cache, coalescing, idempotency keys, duplicate
//! storms. The upstream's tally says what was bought, the ledger what was charged and what was saved.

mod cached;
mod repeated;
mod shared;
mod storms;

use std::time::Duration;

use serde_json::Value;
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::{Answer, Http};
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::Upstream;

use crate::{oracle_config, start};

const CHAT: &str = "/v1/chat/completions";
/// A cache with what is the default everywhere.
const CACHE: &str = "enabled = true";

/// A provider that answers as the oracle does, and a program with a cache in front of it.
async fn cached_pair(lines: &str) -> (Upstream, Program) {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let program = start(oracle_config(&upstream).cache(lines)).await;
    (upstream, program)
}

fn as_user(program: &Program, user: &str) -> Http {
    program.client().with("x-tollgate-user", user)
}

async fn ask(client: &Http, nonce: u64) -> Answer {
    client.post(CHAT, &oracle::request(nonce, false)).await
}

fn state(answer: &Answer) -> &str {
    answer.header("x-tollgate-cache")
}

fn usd(value: &Value) -> NanoUsd {
    value.as_str().unwrap_or_else(|| panic!("no amount: {value}")).parse().unwrap()
}

/// What all rows cost, and what they saved.
fn sums(rows: &[Value]) -> (NanoUsd, NanoUsd) {
    let sum = |name: &str| {
        rows.iter().map(|row| usd(&row[name])).fold(NanoUsd::ZERO, |sum, each| sum + each)
    };
    (sum("cost_usd"), sum("saved_usd"))
}

/// `count` times the cost of a nonce.
fn times(nonce: u64, count: i64) -> NanoUsd {
    NanoUsd::from_nanos(oracle::cost(nonce).nanos() * count)
}

/// The value of a metric; zero where it is not there.
async fn metric(program: &Program, name: &str) -> f64 {
    let text = program.admin().get("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// The proofs that hold after everything: rows and sums agree, metrics and counters with them.
async fn assert_sound(program: &Program, rows: &[Value]) {
    program.cli(&["ledger", "verify"]);
    let (cost, saved) = sums(rows);
    let usage = program.cli(&["usage", "--format", "json"]).rows();
    let total =
        |name: &str| usage.iter().map(|row| usd(&row[name])).fold(NanoUsd::ZERO, |a, b| a + b);
    assert_eq!((total("cost_usd"), total("savings_usd")), (cost, saved));
    let mut measured = 0.0;
    for reason in ["cache", "coalesced", "idempotency"] {
        let name = format!("tollgate_savings_usd_total{{reason=\"{reason}\"}}");
        measured += metric(program, &name).await;
    }
    let saved: f64 = saved.to_string().parse().unwrap();
    assert!((measured - saved).abs() < 1e-9, "metrics say {measured}, rows {saved}");
    assert!(metric(program, "tollgate_inflight").await.abs() < 0.5);
}

/// A plan with these limits for everybody.
fn limited(config: Config, limits: &[&str]) -> Config {
    config.plan("limited", limits).default_plan("limited")
}
