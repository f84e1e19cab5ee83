//! Identical calls in flight share one upstream call.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::raw::Raw;
use tollgate_testkit::upstream::{Answered, Gate, Piece, Reply, Upstream};
use tollgate_testkit::wait::eventually;

use super::{
    CACHE, CHAT, as_user, ask, assert_sound, cached_pair, limited, metric, state, sums, times, usd,
};
use crate::admin::admin;
use crate::{SOON, assert_charged_as_foretold, oracle_config, start};

/// Waits until so many calls are in flight.
async fn in_flight(program: &Program, count: f64) {
    eventually("so many calls are in flight", SOON, || async {
        let now = metric(program, "tollgate_inflight").await;
        if (now - count).abs() < 0.5 { Ok(()) } else { Err(format!("{now}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_identical_calls_at_once_are_one_upstream_call() {
    let gate = Gate::new();
    let reply = Reply::json(200, &oracle::answer(1)).first(Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let program = start(oracle_config(&upstream).cache(CACHE)).await;
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = as_user(&program, "alice");
        sends.spawn(async move { ask(&client, 1).await });
    }
    in_flight(&program, 100.0).await;
    gate.open();
    let answers = sends.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    let count = |which: &str| answers.iter().filter(|answer| state(answer) == which).count();
    assert_eq!((count("miss"), count("coalesced")), (1, 99));
    assert_eq!(upstream.count(), 1);
    let rows = program.settled(100).await;
    assert_eq!(sums(&rows), (times(1, 1), times(1, 99)));
    assert!(rows.iter().all(|row| row["outcome"] == "success"));
    assert_sound(&program, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_joins_a_stream_hears_it_from_the_beginning_while_it_runs() {
    let gate = Gate::new();
    let reply = Reply::events(oracle::events(2, true)).after(3, Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let program = start(oracle_config(&upstream).cache(CACHE)).await;
    let alice = as_user(&program, "alice");
    let body = oracle::request(2, true);
    let mut first = alice.stream(CHAT, &body).await;
    let mut heard = first.next().await.unwrap().unwrap().to_vec();
    let mut second = alice.with("x-request-id", "joined").stream(CHAT, &body).await;
    assert_eq!(second.headers["x-tollgate-cache"], "coalesced");
    let mut joined = second.next().await.unwrap().unwrap().to_vec();
    assert!(joined.starts_with(&heard[..heard.len().min(joined.len())]));
    gate.open();
    heard.extend(first.rest().await);
    joined.extend(second.rest().await);
    assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(&joined));
    assert!(heard.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(upstream.count(), 1);
    assert_eq!(state(&alice.post(CHAT, &body).await), "hit");
    let rows = program.settled(3).await;
    assert_eq!(sums(&rows), (times(2, 1), times(2, 2)));
    assert_sound(&program, &rows).await;
}

/// A client that reads one event of a stream and leaves.
async fn hear_one_event_and_leave(program: &Program, body: &str, request_id: &str) -> Raw {
    hear_one_event(Raw::connect(&program.address()).await, body, request_id).await
}

/// Asks over this connection and reads as far as the first event.
async fn hear_one_event(mut raw: Raw, body: &str, request_id: &str) -> Raw {
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}\r\nx-tollgate-user: alice\r\n\
         x-request-id: {request_id}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        tollgate_testkit::config::KEY,
        body.len()
    );
    assert!(raw.send(request).await);
    assert!(raw.read_until(b"\n\n", SOON).await, "no event came");
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_one_who_pays_leaves_the_others_hear_on_and_it_is_charged_once() {
    for policy in ["drain", "abort"] {
        let gate = Gate::new();
        let reply = Reply::events(oracle::events(3, true)).after(3, Piece::Gate(gate.clone()));
        let upstream = Upstream::always(reply).await;
        let config =
            oracle_config(&upstream).server(&format!("on_disconnect = \"{policy}\"")).cache(CACHE);
        let program = start(config).await;
        let body = oracle::request(3, true);
        let raw = hear_one_event_and_leave(&program, &body.to_string(), "payer").await;
        let mut second = as_user(&program, "alice").stream(CHAT, &body).await;
        assert_eq!(second.headers["x-tollgate-cache"], "coalesced");
        drop(raw);
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.open();
        assert!(second.rest().await.ends_with(b"data: [DONE]\n\n"));
        assert_eq!(upstream.answered(0, SOON).await, Answered::Whole);
        let payer = program.settled_call("payer").await;
        assert_charged_as_foretold(&payer, 3);
        assert_eq!((&payer["outcome"], &payer["status"]), (&json!("cancelled"), &json!(499)));
        let rows = program.settled(2).await;
        assert_eq!(sums(&rows), (times(3, 1), times(3, 1)), "{policy}");
        assert_eq!(state(&as_user(&program, "alice").post(CHAT, &body).await), "hit");
        assert_sound(&program, &program.settled(3).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_leaves_while_listening_is_a_cancelled_call_that_cost_nothing() {
    let gate = Gate::new();
    let reply = Reply::events(oracle::events(4, true)).after(3, Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let program = start(oracle_config(&upstream).cache(CACHE)).await;
    let body = oracle::request(4, true);
    let mut first = as_user(&program, "alice").stream(CHAT, &body).await;
    assert_eq!(first.headers["x-tollgate-cache"], "miss");
    drop(hear_one_event_and_leave(&program, &body.to_string(), "leaver").await);
    let leaver = program.settled_call("leaver").await;
    assert_eq!((&leaver["outcome"], &leaver["cache"]), (&json!("cancelled"), &json!("coalesced")));
    assert_eq!((usd(&leaver["cost_usd"]), usd(&leaver["saved_usd"])), (times(4, 0), times(4, 0)));
    gate.open();
    assert!(first.rest().await.ends_with(b"data: [DONE]\n\n"));
    assert_sound(&program, &program.settled(2).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_not_begun_goes_on_when_the_one_who_pays_leaves() {
    let gate = Gate::new();
    let reply = Reply::json(200, &oracle::answer(5)).first(Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let config = oracle_config(&upstream).server("on_disconnect = \"abort\"").cache(CACHE);
    let program = start(config).await;
    let payer = as_user(&program, "alice").with("x-request-id", "payer");
    let first = tokio::spawn(async move { ask(&payer, 5).await });
    in_flight(&program, 1.0).await;
    let second = as_user(&program, "alice");
    let second = tokio::spawn(async move { ask(&second, 5).await });
    in_flight(&program, 2.0).await;
    first.abort();
    assert!(first.await.is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    let answer = second.await.unwrap();
    assert_eq!((answer.status, state(&answer)), (200, "coalesced"));
    assert_eq!(upstream.count(), 1);
    let rows = program.settled(2).await;
    assert_eq!(sums(&rows), (times(5, 1), times(5, 1)));
    assert_eq!(program.settled_call("payer").await["outcome"], "cancelled");
    assert_sound(&program, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_told_to_all_who_waited_and_nobody_tries_again() {
    let failing = json!({"error": {"message": "no", "type": "x", "code": "y"}});
    for (reply, status) in [
        (Reply::json(500, &failing), 500),
        (Reply::json(400, &failing), 400),
        (Reply::garbage("nonsense"), 502),
    ] {
        let gate = Gate::new();
        let upstream = Upstream::always(reply.first(Piece::Gate(gate.clone()))).await;
        let program = start(oracle_config(&upstream).cache(CACHE)).await;
        let mut sends = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let client = as_user(&program, "alice");
            sends.spawn(async move { ask(&client, 6).await });
        }
        in_flight(&program, 20.0).await;
        gate.open();
        let answers = sends.join_all().await;
        assert!(answers.iter().all(|answer| answer.status == status), "{}", answers[0].text());
        let missed = answers.iter().filter(|answer| state(answer) == "miss").count();
        let joined = answers.iter().filter(|answer| state(answer) == "coalesced").count();
        assert_eq!((missed, joined), (1, 19));
        assert_eq!(upstream.count(), 1, "{status}");
        let rows = program.settled(20).await;
        assert!(rows.iter().all(|row| row["outcome"] == "failed" && row["status"] == status));
        assert_eq!(sums(&rows), (times(6, 0), times(6, 0)));
        assert_sound(&program, &rows).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_by_a_limit_of_its_own_does_not_fail_the_others() {
    let gate = Gate::new();
    let reply = Reply::json(200, &oracle::answer(7)).first(Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let burst = r#"{ name = "burst", metric = "requests", window = "sliding 60s", max = 3 }"#;
    let config = oracle_config(&upstream).cache("scope = \"shared\"");
    let program = start(limited(config, &[burst])).await;
    let mut sends = tokio::task::JoinSet::new();
    for n in 0..8 {
        let client = as_user(&program, if n % 2 == 0 { "alice" } else { "bob" });
        sends.spawn(async move { ask(&client, 7).await });
    }
    in_flight(&program, 6.0).await;
    gate.open();
    let answers = sends.join_all().await;
    let ok = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!((ok, refused, upstream.count()), (6, 2, 1));
    assert_sound(&program, &program.settled(6).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_switch_ends_the_one_who_pays_and_all_who_listen() {
    let reply = Reply::events(oracle::events(8, true)).after(3, Piece::Hang);
    let upstream = Upstream::always(reply).await;
    let program = start(oracle_config(&upstream).cache(CACHE)).await;
    let body = oracle::request(8, true);
    let alice = as_user(&program, "alice");
    let mut first = alice.stream(CHAT, &body).await;
    first.next().await.unwrap();
    let mut second = alice.stream(CHAT, &body).await;
    second.next().await.unwrap();
    let off = json!({"on": true, "scope": "global", "reason": "test"});
    admin(&program, Method::PUT, "/kill-switch", &off).await;
    drop(first.rest().await);
    drop(second.rest().await);
    let rows = program.settled(2).await;
    assert!(rows.iter().all(|row| row["error_type"] == "kill_switch"), "{rows:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_not_shared_where_that_is_switched_off_and_never_between_users() {
    for (lines, users) in [("coalesce = false", ["alice", "alice"]), (CACHE, ["alice", "bob"])] {
        let gate = Gate::new();
        let reply = Reply::json(200, &oracle::answer(9)).first(Piece::Gate(gate.clone()));
        let upstream = Upstream::always(reply).await;
        let program = start(oracle_config(&upstream).cache(lines)).await;
        let sends = users.map(|user| {
            let client = as_user(&program, user);
            tokio::spawn(async move { ask(&client, 9).await })
        });
        in_flight(&program, 2.0).await;
        eventually("both reach the provider", SOON, || async {
            if upstream.count() == 2 { Ok(()) } else { Err(upstream.count().to_string()) }
        })
        .await;
        gate.open();
        for send in sends {
            assert_eq!(state(&send.await.unwrap()), "miss");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_listener_does_not_hold_up_the_one_who_pays() {
    // Far more than what the program may write ahead of a listener who takes nothing.
    let filler = "x".repeat(256 * 1024);
    let mut events: Vec<String> = oracle::events(10, true);
    let end = events.split_off(2);
    events.extend((0..60).map(|_| {
        format!("data: {}\n\n", json!({"id": "c", "object": "chat.completion.chunk", "created": 1,
            "model": oracle::MODEL, "choices": [{"index": 0, "delta": {"content": filler}, "finish_reason": null}]}))
    }));
    events.extend(end);
    for (lines, kept) in [("max_bytes = \"4GiB\"", true), ("max_bytes = \"8MiB\"", false)] {
        let gate = Gate::new();
        let reply = Reply::events(events.clone()).after(1, Piece::Gate(gate.clone()));
        let upstream = Upstream::always(reply).await;
        let program = start(oracle_config(&upstream).cache(lines)).await;
        let body = oracle::request(10, true);
        let alice = as_user(&program, "alice");
        let mut payer = alice.with("x-request-id", "payer").stream(CHAT, &body).await;
        let narrow = Raw::connect_narrow(&program.address()).await;
        let slow = hear_one_event(narrow, &body.to_string(), "slow").await;
        gate.open();
        let whole = payer.rest().await;
        assert!(whole.len() > 60 * filler.len() && whole.ends_with(b"data: [DONE]\n\n"));
        assert_charged_as_foretold(&program.settled_call("payer").await, 10);
        drop(slow);
        let heard = program.settled_call("slow").await;
        assert_eq!(
            (&heard["cache"], &heard["cost_usd"], &heard["outcome"]),
            (&json!("coalesced"), &json!("0.000000000"), &json!("cancelled"))
        );
        let again = alice.post(CHAT, &body).await;
        assert_eq!(state(&again), if kept { "hit" } else { "miss" });
        assert_sound(&program, &program.settled(3).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_the_program_settles_those_who_pay_and_those_who_listen() {
    let reply = Reply::events(oracle::events(11, true)).after(3, Piece::Hang);
    let upstream = Upstream::always(reply).await;
    let mut program = start(oracle_config(&upstream).cache(CACHE).grace("300ms")).await;
    let alice = as_user(&program, "alice");
    let body = oracle::request(11, true);
    let mut first = alice.stream(CHAT, &body).await;
    first.next().await.unwrap();
    let mut second = alice.stream(CHAT, &body).await;
    second.next().await.unwrap();
    program.sigterm();
    assert!(program.exited(SOON).await.is_some_and(|status| status.success()));
    let rows = program.calls();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["outcome"] == "cancelled"), "{rows:#?}");
    program.cli(&["ledger", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_listeners_in_doubt_at_nothing() {
    let reply = Reply::events(oracle::events(12, true)).after(3, Piece::Hang);
    let upstream = Upstream::always(reply).await;
    let mut program = start(oracle_config(&upstream).cache(CACHE)).await;
    let alice = as_user(&program, "alice");
    let body = oracle::request(12, true);
    let mut first = alice.with("x-request-id", "payer").stream(CHAT, &body).await;
    first.next().await.unwrap();
    let mut second = alice.with("x-request-id", "listener").stream(CHAT, &body).await;
    second.next().await.unwrap();
    program.kill9();
    program.restart().await;
    let rows = program.calls();
    let row = |id: &str| rows.iter().find(|row| row["request_id"] == id).unwrap();
    assert_eq!(
        (&row("payer")["outcome"], &row("listener")["outcome"]),
        (&json!("in_doubt"), &json!("in_doubt"))
    );
    assert!(usd(&row("payer")["cost_usd"]) > times(12, 0));
    assert_eq!(usd(&row("listener")["cost_usd"]), times(12, 0));
    program.cli(&["ledger", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_nothing_is_shared_kept_or_looked_for() {
    let (upstream, program) = cached_pair("enabled = false").await;
    let alice = as_user(&program, "alice");
    for _ in 0..3 {
        assert_eq!(state(&ask(&alice, 1).await), "bypass");
    }
    assert_eq!(upstream.count(), 3);
    assert_eq!(program.settled(3).await[0]["cache"], "bypass");
}
