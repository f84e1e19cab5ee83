//! Duplicate storms: the incident that this program was made for.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tollgate_testkit::client::{Answer, Http};
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Gate, Piece, Reply, Upstream};
use tollgate_testkit::wait::eventually;

use super::{CACHE, CHAT, as_user, ask, assert_sound, metric, state, sums, times};
use crate::admin::admin;
use crate::{SOON, oracle_config, start};

const BLOCK: &str = "identical = 20\nwindow = \"60s\"\naction = \"block\"\nblock_for = \"10m\"";

fn in_session(program: &Program, session: &str) -> Http {
    as_user(program, "alice").with("x-tollgate-session", session)
}

/// What 200 answers of the incident must be, and what they must have cost.
async fn assert_contained(upstream: &Upstream, program: &Program, answers: &[Answer]) {
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((served, answers.len()), (19, 200));
    assert_eq!(upstream.count(), 1, "the provider saw it more than once");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!((refused.status, refused.error_code().as_str()), (429, "duplicate_storm"));
        assert_eq!(refused.header("x-should-retry"), "false");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((590..=600).contains(&wait), "{wait}");
    }
    let storms = metric(program, "tollgate_duplicate_storms_total{action=\"block\"}").await;
    assert!((storms - 1.0).abs() < 0.1, "told {storms} times");
    // The session is blocked whatever it asks; others of the same user are not.
    assert_eq!(ask(&in_session(program, "runaway"), 2).await.error_code(), "duplicate_storm");
    assert_eq!(ask(&in_session(program, "another"), 3).await.status, 200);
    let rows = program.settled(20).await;
    assert_eq!(sums(&rows), (times(1, 1) + times(3, 1), times(1, 18)));
    assert_sound(program, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_incident_one_after_the_other() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let program = start(oracle_config(&upstream).cache(CACHE).duplicates(BLOCK)).await;
    let client = in_session(&program, "runaway");
    let mut answers = Vec::new();
    for _ in 0..200 {
        answers.push(ask(&client, 1).await);
    }
    assert!(answers[..19].iter().all(|answer| answer.status == 200));
    assert_eq!(state(&answers[1]), "hit");
    assert_contained(&upstream, &program, &answers).await;
    let storms = admin(&program, Method::GET, "/storms", &Value::Null).await.json();
    let storm = storms["items"][0].clone();
    assert_eq!((&storm["session"], &storm["calls"]), (&json!("runaway"), &json!(20)));
    assert!(storm["blocked_until"].is_string(), "{storm}");
    let block = format!("/storms/{}/block", storm["id"]);
    let lifted = admin(&program, Method::DELETE, &block, &Value::Null).await;
    assert_eq!((lifted.status, &lifted.json()["blocked_until"]), (200, &Value::Null));
    assert_eq!(admin(&program, Method::DELETE, &block, &Value::Null).await.status, 409);
    assert_eq!(admin(&program, Method::DELETE, "/storms/9/block", &Value::Null).await.status, 404);
    assert_eq!(ask(&client, 2).await.status, 200);
    let audit = admin(&program, Method::GET, "/audit?action=storm.lift", &Value::Null).await.json();
    assert_eq!(audit["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_incident_all_at_once() {
    let gate = Gate::new();
    let opens = gate.clone();
    let upstream = Upstream::start(move |request| {
        oracle::reply(request, Duration::ZERO).first(Piece::Gate(opens.clone()))
    })
    .await;
    let program = start(oracle_config(&upstream).cache(CACHE).duplicates(BLOCK)).await;
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let client = in_session(&program, "runaway");
        sends.spawn(async move { ask(&client, 1).await });
    }
    eventually("those that are no storm wait", SOON, || async {
        let now = metric(&program, "tollgate_inflight").await;
        if (now - 19.0).abs() < 0.5 { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    gate.open();
    let answers = sends.join_all().await;
    assert_contained(&upstream, &program, &answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_noticed_without_a_cache_too() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let lines = "identical = 5\naction = \"block\"\nblock_for = \"400ms\"";
    let program = start(oracle_config(&upstream).duplicates(lines)).await;
    let alice = as_user(&program, "alice");
    for _ in 0..4 {
        assert_eq!(ask(&alice, 1).await.status, 200);
    }
    assert_eq!(ask(&alice, 1).await.error_code(), "duplicate_storm");
    // Others go on, and so does whoever was blocked when the time is over.
    assert_eq!(ask(&as_user(&program, "bob"), 1).await.status, 200);
    assert_eq!(ask(&alice, 2).await.error_code(), "duplicate_storm");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(ask(&alice, 2).await.status, 200);
    assert_eq!(upstream.count(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_only_tells() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let lines = "identical = 3\naction = \"alert\"";
    let program = start(oracle_config(&upstream).duplicates(lines)).await;
    let alice = as_user(&program, "alice");
    for _ in 0..10 {
        assert_eq!(ask(&alice, 1).await.status, 200);
    }
    let storms = metric(&program, "tollgate_duplicate_storms_total{action=\"alert\"}").await;
    assert!((storms - 1.0).abs() < 0.1, "told {storms} times");
    assert!(program.log().contains("duplicate_storm"), "{}", program.log());
    assert_eq!(upstream.count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_answered_from_what_was_kept_even_without_a_cache() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let lines = "identical = 4\naction = \"serve_cached\"";
    let program = start(oracle_config(&upstream).duplicates(lines)).await;
    let alice = as_user(&program, "alice");
    let mut states = Vec::new();
    for _ in 0..8 {
        let answer = ask(&alice, 1).await;
        assert_eq!(answer.status, 200);
        states.push(state(&answer).to_owned());
    }
    assert_eq!(states[..3], ["bypass", "miss", "miss"]);
    assert_eq!(states[3..], ["hit", "hit", "hit", "hit", "hit"]);
    assert_eq!(upstream.count(), 3);
    let rows = program.settled(8).await;
    assert_eq!(sums(&rows), (times(1, 3), times(1, 5)));
    assert_sound(&program, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_storm_is_slowed_down_to_what_is_none() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let lines = "identical = 4\nwindow = \"800ms\"\naction = \"throttle\"";
    let program = start(oracle_config(&upstream).duplicates(lines)).await;
    let alice = as_user(&program, "alice");
    let started = tokio::time::Instant::now();
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let client = alice.clone();
        sends.spawn(async move { ask(&client, 1).await });
    }
    let answers = sends.join_all().await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    // Three are no storm, four more wait for their turn within the window, the rest is too many.
    assert_eq!(served, 7);
    assert!(started.elapsed() >= Duration::from_millis(790), "{:?}", started.elapsed());
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.error_code(), "duplicate_storm");
    assert!(!refused.header("retry-after").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_same_prompt_does_not_hang_on_how_it_is_written() {
    let reply = Reply::json(200, &oracle::answer(1));
    let upstream = Upstream::always(reply).await;
    let lines = "identical = 3\naction = \"block\"";
    let program = start(oracle_config(&upstream).duplicates(lines)).await;
    let alice = as_user(&program, "alice");
    let text = |body: &str| body.to_owned();
    let bodies = [
        text(r#"{"model":"oracle-1","messages":[{"role":"user","content":"hi"}]}"#),
        text(r#"{ "messages" : [ {"content":"hi", "role":"user"} ], "model":"oracle-1" }"#),
    ];
    for body in &bodies {
        assert_eq!(alice.post_bytes(CHAT, body.clone()).await.status, 200);
    }
    let other = json!({"model": "oracle-1", "messages": [{"role": "user", "content": "ho"}]});
    assert_eq!(alice.post(CHAT, &other).await.status, 200);
    let third =
        alice.with("x-tollgate-cache", "no-store").post_bytes(CHAT, bodies[0].clone()).await;
    assert_eq!(third.error_code(), "duplicate_storm");
}
