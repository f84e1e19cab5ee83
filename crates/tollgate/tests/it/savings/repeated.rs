//! Repeated idempotency keys.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tollgate_testkit::client::Http;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::raw::Raw;
use tollgate_testkit::upstream::{Gate, Piece, Reply, Upstream};
use tollgate_testkit::wait::eventually;

use super::{CACHE, CHAT, as_user, ask, assert_sound, metric, state, sums, times, usd};
use crate::{SOON, assert_charged_as_foretold, oracle_config, start};

fn with_key(program: &Program, user: &str, key: &str) -> Http {
    as_user(program, user).with("idempotency-key", key)
}

async fn pair() -> (Upstream, Program) {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let program = start(oracle_config(&upstream)).await;
    (upstream, program)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_gets_the_same_answer_and_is_charged_once() {
    let (upstream, program) = pair().await;
    let client = with_key(&program, "alice", "order-1");
    for stream in [false, true] {
        let client = client.with("idempotency-key", if stream { "order-2" } else { "order-1" });
        let body = oracle::request(1, stream);
        let first = client.post(CHAT, &body).await;
        assert_eq!((first.status, first.header("idempotent-replayed")), (200, ""));
        for _ in 0..3 {
            let again = client.post(CHAT, &body).await;
            assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
            assert_eq!((&again.body, state(&again)), (&first.body, "hit"));
        }
    }
    assert_eq!(upstream.count(), 2);
    assert!(upstream.received().iter().all(|each| each.header("idempotency-key").is_none()));
    let rows = program.settled(8).await;
    assert_eq!(sums(&rows), (times(1, 2), times(1, 6)));
    let saved = metric(&program, "tollgate_savings_usd_total{reason=\"idempotency\"}").await;
    assert!(saved > 0.0);
    assert_sound(&program, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_request_a_key_is_refused_and_with_another_user_it_is_another() {
    let (upstream, program) = pair().await;
    let client = with_key(&program, "alice", "k");
    assert_eq!(ask(&client, 1).await.status, 200);
    let conflict = ask(&client, 2).await;
    assert_eq!((conflict.status, conflict.error_code().as_str()), (422, "idempotency_conflict"));
    assert_eq!(conflict.header("x-should-retry"), "false");
    let other =
        client.post("/v1/completions", &json!({"model": oracle::MODEL, "prompt": "x"})).await;
    assert_eq!(other.status, 422);
    assert_eq!(ask(&with_key(&program, "bob", "k"), 2).await.status, 200);
    assert_eq!(upstream.count(), 2);
    let long = with_key(&program, "alice", &"k".repeat(256));
    assert_eq!(ask(&long, 1).await.error_code(), "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_repeats_wait_for_the_first_and_are_charged_once() {
    let gate = Gate::new();
    let opens = gate.clone();
    let upstream = Upstream::start(move |request| {
        oracle::reply(request, Duration::ZERO).first(Piece::Gate(opens.clone()))
    })
    .await;
    let program = start(oracle_config(&upstream)).await;
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let client = with_key(&program, "alice", "once");
        sends.spawn(async move { ask(&client, 1).await });
    }
    eventually("all wait", SOON, || async {
        let now = metric(&program, "tollgate_inflight").await;
        if (now - 50.0).abs() < 0.5 { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    // Another request under the key is refused while the first is still running.
    assert_eq!(ask(&with_key(&program, "alice", "once"), 2).await.status, 422);
    gate.open();
    let answers = sends.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(upstream.count(), 1);
    let rows = program.settled(50).await;
    assert_eq!(sums(&rows), (times(1, 1), times(1, 49)));
    assert_sound(&program, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_request_are_repeated_and_those_that_pass_are_not() {
    let failing = json!({"error": {"message": "no", "type": "x", "code": "y"}});
    for (status, repeated) in [(400, true), (422, true), (429, false), (500, false), (503, false)] {
        let upstream = Upstream::always(Reply::json(status, &failing)).await;
        let program = start(oracle_config(&upstream)).await;
        let client = with_key(&program, "alice", "k");
        assert_eq!(ask(&client, 1).await.status, status);
        upstream.answer(Reply::json(200, &oracle::answer(1)));
        let again = ask(&client, 1).await;
        assert_eq!(again.status, if repeated { status } else { 200 }, "{status}");
        assert_eq!(upstream.count(), if repeated { 1 } else { 2 }, "{status}");
        program.settled(2).await;
        program.cli(&["ledger", "verify"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_use_a_key_up() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let burst = r#"{ name = "burst", metric = "requests", window = "sliding 400ms", max = 1 }"#;
    let program = start(super::limited(oracle_config(&upstream), &[burst])).await;
    assert_eq!(ask(&as_user(&program, "alice"), 9).await.status, 200);
    let client = with_key(&program, "alice", "k");
    let refused = ask(&client, 1).await;
    assert_eq!(refused.error_code(), "rate_limited");
    assert_eq!(refused.json()["error"]["limit"]["name"], "burst", "{}", refused.text());
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(ask(&client, 1).await.status, 200);
}

/// Sends a request by hand and leaves as soon as its first event has come.
async fn ask_and_leave(program: &Program, body: &str, key: &str) {
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}\r\nx-tollgate-user: alice\r\n\
         idempotency-key: {key}\r\nx-request-id: lost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        tollgate_testkit::config::KEY,
        body.len()
    );
    let mut raw = Raw::connect(&program.address()).await;
    assert!(raw.send(request).await);
    assert!(raw.read_until(b"\n\n", SOON).await, "no event came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_its_connection_gets_the_answer_when_it_asks_again() {
    for policy in ["drain", "abort"] {
        let gate = Gate::new();
        let reply = Reply::events(oracle::events(3, true)).after(3, Piece::Gate(gate.clone()));
        let upstream = Upstream::always(reply).await;
        let config = oracle_config(&upstream).server(&format!("on_disconnect = \"{policy}\""));
        let program = start(config).await;
        let body = oracle::request(3, true);
        ask_and_leave(&program, &body.to_string(), "k").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.open();
        let lost = program.settled_call("lost").await;
        assert_charged_as_foretold(&lost, 3);
        assert_eq!(lost["outcome"], "cancelled", "{policy}");
        let again = with_key(&program, "alice", "k").post(CHAT, &body).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
        assert!(again.text().ends_with("data: [DONE]\n\n"));
        assert_eq!(upstream.count(), 1, "{policy}");
        let rows = program.settled(2).await;
        assert_eq!(sums(&rows), (times(3, 1), times(3, 1)));
        assert_sound(&program, &rows).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_the_program_settles_what_is_brought_to_its_end_for_nobody() {
    let reply = Reply::events(oracle::events(4, true)).after(3, Piece::Hang);
    let upstream = Upstream::always(reply).await;
    let mut program = start(oracle_config(&upstream).grace("300ms")).await;
    ask_and_leave(&program, &oracle::request(4, true).to_string(), "k").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    program.sigterm();
    assert!(program.exited(SOON).await.is_some_and(|status| status.success()));
    let rows = program.calls();
    assert_eq!((rows.len(), &rows[0]["outcome"]), (1, &json!("cancelled")), "{rows:#?}");
    program.cli(&["ledger", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_known_key_is_refused_and_never_charged_again() {
    let (upstream, mut program) = pair().await;
    let answered = with_key(&program, "alice", "k");
    assert_eq!(ask(&answered, 1).await.status, 200);
    let failing = json!({"error": {"message": "no", "type": "x", "code": "y"}});
    upstream.answer(Reply::json(500, &failing));
    let failed = with_key(&program, "alice", "failed");
    assert_eq!(ask(&failed, 2).await.status, 500);
    upstream.answer(Reply::never());
    let hangs = with_key(&program, "alice", "in-doubt");
    let body = oracle::request(3, false).to_string();
    let hanging = tokio::spawn({
        let hangs = hangs.clone();
        async move { hangs.send(Method::POST, CHAT, body.into()).await.is_err() }
    });
    eventually("the call is made", SOON, || async {
        if upstream.count() == 3 { Ok(()) } else { Err(String::new()) }
    })
    .await;
    program.kill9();
    assert!(hanging.await.unwrap());
    program.restart().await;
    upstream.answer_with(|request| oracle::reply(request, Duration::ZERO));
    let again = ask(&answered, 1).await;
    assert_eq!((again.status, again.error_code().as_str()), (409, "conflict"), "{}", again.text());
    assert_eq!(again.header("x-should-retry"), "false");
    let first = program.calls().into_iter().find(|row| row["outcome"] == "success").unwrap();
    assert!(again.text().contains(first["call_id"].as_str().unwrap()));
    assert_eq!(ask(&answered, 2).await.status, 422);
    assert_eq!(ask(&hangs, 3).await.status, 409);
    // What cost nothing has not used its key.
    assert_eq!(ask(&failed, 2).await.status, 200);
    assert_eq!(ask(&with_key(&program, "alice", "new"), 4).await.status, 200);
    assert_eq!(upstream.count(), 5);
    program.cli(&["ledger", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_together_with_the_cache() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let program = start(oracle_config(&upstream).cache(CACHE)).await;
    let alice = as_user(&program, "alice");
    assert_eq!(state(&ask(&alice, 1).await), "miss");
    // The first use of a key may be answered by the cache, its repetition by the key.
    let first = ask(&with_key(&program, "alice", "k"), 1).await;
    assert_eq!((state(&first), first.header("idempotent-replayed")), ("hit", ""));
    let again = ask(&with_key(&program, "alice", "k"), 1).await;
    assert_eq!((state(&again), again.header("idempotent-replayed")), ("hit", "true"));
    // The first use of another fills the cache.
    assert_eq!(state(&ask(&with_key(&program, "alice", "l"), 2).await), "miss");
    assert_eq!(state(&ask(&alice, 2).await), "hit");
    assert_eq!(upstream.count(), 2);
    let rows = program.settled(5).await;
    assert_eq!(sums(&rows), (times(1, 1) + times(2, 1), times(1, 2) + times(2, 1)));
    assert_sound(&program, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_too_large_to_keep_is_refused_the_second_time() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let config = oracle_config(&upstream).section("[idempotency]\nmax_bytes = 1");
    let program = start(config).await;
    let client = with_key(&program, "alice", "k");
    assert_eq!(ask(&client, 1).await.status, 200);
    let again = ask(&client, 1).await;
    assert_eq!((again.status, upstream.count()), (409, 1), "{}", again.text());
    assert_eq!(ask(&with_key(&program, "alice", "new"), 1).await.status, 200);
    let rows = program.settled(2).await;
    assert_eq!(usd(&rows[0]["cost_usd"]), times(1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_the_header_means_nothing_and_stays_here() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let program = start(oracle_config(&upstream).section("[idempotency]\nenabled = false")).await;
    let client = with_key(&program, "alice", "k");
    assert_eq!((ask(&client, 1).await.status, ask(&client, 2).await.status), (200, 200));
    assert!(upstream.received().iter().all(|each| each.header("idempotency-key").is_none()));
    assert_eq!(upstream.count(), 2);
}
