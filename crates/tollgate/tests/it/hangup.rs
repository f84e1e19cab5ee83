//! Clients that leave in the middle of a stream: never free, and never the whole reservation.

use std::time::Duration;

use serde_json::Value;
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Answered, Gate, Piece, Reply, Upstream};

use crate::{SOON, assert_charged_as_foretold, oracle_config, start};

const CHAT: &str = "/v1/chat/completions";

fn config(upstream: &Upstream, on_disconnect: &str) -> Config {
    oracle_config(upstream)
        .default_plan("hangup")
        .section(&format!(
            "[plans.hangup]\non_disconnect = \"{on_disconnect}\"\nlimits = []"
        ))
}

/// Reads one chunk of a stream, then leaves.
async fn read_one_chunk_and_leave(program: &Program, nonce: u64, request_id: &str) {
    let client = program.client().with("x-request-id", request_id);
    let mut stream = client.stream(CHAT, &oracle::request(nonce, true)).await;
    assert_eq!(stream.status, 200);
    assert!(stream.next().await.unwrap().is_some());
}

fn cost(row: &Value) -> NanoUsd {
    row["cost_usd"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_reads_the_rest_and_charges_the_providers_own_figure() {
    let gate = Gate::new();
    let reply = Reply::events(oracle::events(41, true)).after(2, Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let program = start(config(&upstream, "drain")).await;
    read_one_chunk_and_leave(&program, 41, "drained").await;
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
    let reply = Reply::events(oracle::events(42, true)).after(4, Piece::Hang);
    let upstream = Upstream::always(reply).await;
    let program = start(config(&upstream, "abort")).await;
    read_one_chunk_and_leave(&program, 42, "aborted").await;
    let answered = upstream.answered(0, SOON).await;
    assert!(
        matches!(answered, Answered::Abandoned { .. }),
        "{answered:?}"
    );
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
    assert!(
        cost(&row) < NanoUsd::from_nanos(640_000),
        "not the reservation: {row:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_starts_is_settled_too() {
    for way in ["drain", "abort"] {
        let gate = Gate::new();
        let reply = Reply::events(oracle::events(43, true)).first(Piece::Gate(gate.clone()));
        let upstream = Upstream::always(reply).await;
        let program = start(config(&upstream, way)).await;
        let client = program.client().with("x-request-id", way);
        let asked = tokio::spawn(async move {
            client.stream(CHAT, &oracle::request(43, true)).await;
        });
        tokio::time::timeout(SOON, gate.reached())
            .await
            .expect("the provider was not asked");
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
    let program = start(config(&upstream, "drain")).await;
    let mut clients = tokio::task::JoinSet::new();
    for nonce in 1_000..1_060_u64 {
        let client = program
            .client()
            .with("x-request-id", &format!("leaver-{nonce}"));
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
        let nonce = row["request_id"]
            .as_str()
            .unwrap()
            .trim_start_matches("leaver-");
        assert_charged_as_foretold(row, nonce.parse().unwrap());
    }
    program.cli(&["ledger", "verify"]);
}
