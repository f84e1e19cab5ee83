//! Clients that leave in the middle of a stream: never free, and never the whole reservation.

use std::time::Duration;

use serde_json::Value;
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::Http;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::raw::Raw;
use tollgate_testkit::upstream::{Answered, Gate, Piece, Reply, Upstream};

use crate::{SOON, assert_charged_as_foretold, oracle_config, start};

const CHAT: &str = "/v1/chat/completions";

/// The key of the clients that leave.
const LEAVER: &str = "tg_leaver_for_tests_0123456789abcdef";

/// The key says what happens to the calls of clients that leave.
fn by_key(upstream: &Upstream, on_disconnect: &str) -> Config {
    oracle_config(upstream).section(&format!(
        "[[auth.keys]]\nname = \"leaver\"\nkey = \"{LEAVER}\"\nrole = \"service\"\n\
         on_disconnect = \"{on_disconnect}\""
    ))
}

/// The plan says it.
fn by_plan(upstream: &Upstream, on_disconnect: &str) -> Config {
    oracle_config(upstream)
        .key("leaver", LEAVER, "service")
        .default_plan("hangup")
        .section(&format!("[plans.hangup]\non_disconnect = \"{on_disconnect}\"\nlimits = []"))
}

/// Reads one event of a stream, then closes the connection.
async fn read_one_event_and_leave(program: &Program, nonce: u64, request_id: &str) {
    let body = oracle::request(nonce, true).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {LEAVER}\r\n\
         x-request-id: {request_id}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut raw = Raw::connect(&program.address()).await;
    assert!(raw.send(request).await);
    assert!(raw.read_until(b"\n\n", SOON).await, "no event came");
}

fn cost(row: &Value) -> NanoUsd {
    row["cost_usd"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_reads_the_rest_and_charges_the_providers_own_figure() {
    let gate = Gate::new();
    let reply = Reply::events(oracle::events(41, true)).after(2, Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let program = start(by_key(&upstream, "drain")).await;
    read_one_event_and_leave(&program, 41, "drained").await;
    // The client is gone for a while before the provider goes on.
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    assert_eq!(upstream.answered(0, SOON).await, Answered::Whole);
    let row = program.settled_call("drained").await;
    assert_charged_as_foretold(&row, 41);
    assert_eq!(row["outcome"], "cancelled", "{row:#}");
    assert_eq!(row["status"], 499, "{row:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_stops_the_provider_and_charges_what_was_counted_marked_estimated() {
    assert_aborts(by_key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_may_say_that_calls_are_aborted() {
    assert_aborts(by_plan).await;
}

async fn assert_aborts(config: fn(&Upstream, &str) -> Config) {
    let reply = Reply::events(oracle::events(42, true)).after(4, Piece::Hang);
    let upstream = Upstream::always(reply).await;
    let program = start(config(&upstream, "abort")).await;
    read_one_event_and_leave(&program, 42, "aborted").await;
    let answered = upstream.answered(0, SOON).await;
    assert!(matches!(answered, Answered::Abandoned { .. }), "{answered:?}");
    let row = program.settled_call("aborted").await;
    assert_eq!(row["outcome"], "cancelled", "{row:#}");
    assert_eq!(row["status"], 499, "{row:#}");
    assert_eq!(row["estimated"], true, "{row:#}");
    // Input is counted from the prompt: about fifteen words of ASCII, digits included.
    let input = row["input_tokens"].as_u64().unwrap();
    assert!((10..=80).contains(&input), "{row:#}");
    assert!(row["output_tokens"].as_u64().unwrap() <= 8, "{row:#}");
    // The whole reservation would have been 64 output tokens at 10 USD a million.
    assert!(cost(&row) > NanoUsd::ZERO, "a hang-up is not free: {row:#}");
    assert!(cost(&row) < NanoUsd::from_nanos(640_000), "not the reservation: {row:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_starts_is_settled_too() {
    for way in ["drain", "abort"] {
        let gate = Gate::new();
        let reply = Reply::events(oracle::events(43, true)).first(Piece::Gate(gate.clone()));
        let upstream = Upstream::always(reply).await;
        let program = start(by_key(&upstream, way)).await;
        let client = Http::new(&program.base(), LEAVER).with("x-request-id", way);
        let asked = tokio::spawn(async move {
            client.stream(CHAT, &oracle::request(43, true)).await;
        });
        tokio::time::timeout(SOON, gate.reached()).await.expect("the provider was not asked");
        asked.abort();
        let _cancelled = asked.await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.open();
        let row = program.settled_call(way).await;
        assert_eq!(row["outcome"], "cancelled", "{way}: {row:#}");
        assert_eq!(row["status"], 499, "{way}: {row:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_that_leave_at_random_leave_no_call_open() {
    let upstream =
        Upstream::start(|request| oracle::reply(request, Duration::from_millis(3))).await;
    let program = start(by_key(&upstream, "drain")).await;
    let mut clients = tokio::task::JoinSet::new();
    for nonce in 1_000..1_060_u64 {
        let client =
            Http::new(&program.base(), LEAVER).with("x-request-id", &format!("leaver-{nonce}"));
        clients.spawn(async move {
            let mut stream = client.stream(CHAT, &oracle::request(nonce, true)).await;
            for _chunk in 0..oracle::mix(nonce) % 5 {
                stream.next().await.unwrap();
            }
        });
    }
    while let Some(left) = clients.join_next().await {
        left.unwrap();
    }
    let rows = program.settled(60).await;
    for row in &rows {
        let nonce = row["request_id"].as_str().unwrap().trim_start_matches("leaver-");
        assert_charged_as_foretold(row, nonce.parse().unwrap());
    }
    program.cli(&["ledger", "verify"]);
}
