//! The callers' own API and the counters behind it: what a caller sees of its limits and its bill,
//! amounts that are set aside, usage from elsewhere, and what of it all a restart brings back.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::{Answer, Http};
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::Upstream;

use crate::{oracle_config, start};

const CHAT: &str = "/v1/chat/completions";
const ALICE: &str = "tg_alice_for_tests_0123456789abcdef";
const BOB: &str = "tg_bob_for_tests_0123456789abcdef";

const LIMITS: &[&str] = &[
    r#"{ name = "burst", metric = "requests", window = "sliding 60s", max = 100 }"#,
    r#"{ name = "daily", metric = "successes", window = "day", max = 5 }"#,
    r#"{ name = "month", metric = "tokens", window = "month", max = "unlimited" }"#,
    r#"{ name = "spend", metric = "cost_usd", window = "rolling 30d", max = 5.00 }"#,
    r#"{ name = "ever", metric = "successes", window = "total", max = 1000 }"#,
];
const OUTSIDE: &str = "[limits.drafts]\nscope = [\"user\", \"feature\"]\nfeature = \"drafts\"\n\
     metric = \"units\"\nwindow = \"total\"\nmax = 10\n\
     [limits.company]\nscope = \"global\"\nmetric = \"cost_usd\"\nwindow = \"day\"\nmax = 100.00";

fn user_key(config: Config, name: &str, key: &str) -> Config {
    config.section(&format!(
        "[[auth.keys]]\nname = \"{name}\"\nkey = \"{key}\"\nrole = \"user\"\nuser = \"{name}\""
    ))
}

fn limited(upstream: &Upstream) -> Config {
    let config = oracle_config(upstream).plan("free", LIMITS).default_plan("free").section(OUTSIDE);
    user_key(user_key(config, "alice", ALICE), "bob", BOB)
}

async fn pair() -> (Upstream, Program) {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let program = start(limited(&upstream)).await;
    (upstream, program)
}

fn alice(program: &Program) -> Http {
    Http::new(&program.base(), ALICE)
}

fn bob(program: &Program) -> Http {
    Http::new(&program.base(), BOB)
}

async fn call(client: &Http, nonce: u64) -> Answer {
    client.post(CHAT, &oracle::request(nonce, nonce.is_multiple_of(2))).await
}

async fn delete(client: &Http, path: &str) -> Answer {
    client.send(Method::DELETE, path, Bytes::new()).await.unwrap()
}

/// The document of an answer that must have this status.
fn document(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    answer.json()
}

async fn quota(client: &Http) -> Value {
    document(&client.get("/api/quota").await, 200)
}

fn limit<'a>(quota: &'a Value, name: &str) -> &'a Value {
    let limits = quota["limits"].as_array().unwrap();
    limits.iter().find(|limit| limit["name"] == name).unwrap_or_else(|| panic!("{name}: {quota:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_shows_each_limit_before_and_after_calls() {
    let (_upstream, program) = pair().await;
    let client = alice(&program);
    let before = quota(&client).await;
    assert_eq!((&before["user"], &before["plan"]), (&json!("alice"), &json!("free")));
    let names: Vec<_> =
        before["limits"].as_array().unwrap().iter().map(|limit| limit["name"].clone()).collect();
    // What all users share is not shown to one of them.
    assert_eq!(names, ["burst", "daily", "month", "spend", "ever"]);
    let daily = limit(&before, "daily");
    let (scope, metric, window) = (&daily["scope"], &daily["metric"], &daily["window"]);
    assert_eq!((scope, metric, window), (&json!("user"), &json!("successes"), &json!("day")));
    assert_eq!((&daily["max"], &daily["remaining"]), (&json!(5), &json!(5)));
    let resets = daily["resets_at"].as_str().unwrap();
    assert!(resets.ends_with("T00:00:00+00:00") && resets.parse::<Timestamp>().is_ok(), "{resets}");
    assert_eq!(limit(&before, "spend")["max"], "5.000000000");
    assert_eq!(limit(&before, "month")["max"], Value::Null);
    assert_eq!(limit(&before, "month")["remaining"], Value::Null);

    for nonce in 0..2 {
        assert_eq!(call(&client, nonce).await.status, 200);
    }
    let after = quota(&client).await;
    let cost: NanoUsd = (0..2).map(oracle::cost).sum();
    let tokens: u64 = (0..2).map(|nonce| oracle::usage(nonce).total()).sum();
    for (name, used, remaining) in [
        ("burst", json!(2), json!(98)),
        ("daily", json!(2), json!(3)),
        ("month", json!(tokens), Value::Null),
        (
            "spend",
            json!(cost.to_string()),
            json!((NanoUsd::from_nanos(5_000_000_000) - cost).to_string()),
        ),
    ] {
        let limit = limit(&after, name);
        assert_eq!((&limit["used"], &limit["remaining"]), (&used, &remaining), "{limit:#}");
    }
    // A service key sees any user, and what is shared.
    let seen = document(&program.client().get("/api/quota?user=alice").await, 200);
    assert_eq!(limit(&seen, "daily")["used"], 2);
    assert_eq!(limit(&seen, "company")["used"], cost.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_is_what_the_ledger_holds_and_nobody_elses() {
    let (_upstream, program) = pair().await;
    for nonce in 0..3 {
        assert_eq!(call(&alice(&program), nonce).await.status, 200);
    }
    assert_eq!(call(&bob(&program), 9).await.status, 200);
    let bill = document(&alice(&program).get("/api/billing").await, 200);
    let cost: NanoUsd = (0..3).map(oracle::cost).sum();
    let usage: Vec<_> = (0..3).map(oracle::usage).collect();
    assert_eq!(bill["total_cost_usd"], cost.to_string());
    assert_eq!((&bill["user"], &bill["timezone"]), (&json!("alice"), &json!("UTC")));
    assert_eq!(
        bill["rows"],
        json!([{
            "model": oracle::MODEL,
            "calls": 3,
            "input_tokens": usage.iter().map(|usage| usage.input).sum::<u64>(),
            "cached_input_tokens": usage.iter().map(|usage| usage.cache_read).sum::<u64>(),
            "output_tokens": usage.iter().map(|usage| usage.output).sum::<u64>(),
            "cost_usd": cost.to_string(),
        }])
    );
    let today = bill["to"].as_str().unwrap().to_owned();
    let path = format!("/api/billing?from={today}&to={today}&group_by=day,feature&user=bob");
    let bill = document(&program.client().get(&path).await, 200);
    assert_eq!(bill["rows"][0]["day"], today);
    assert_eq!(bill["rows"][0]["feature"], Value::Null);
    assert_eq!(
        (&bill["calls"], &bill["total_cost_usd"]),
        (&json!(1), &json!(oracle::cost(9).to_string()))
    );
    let rows = program.settled(4).await;
    let all: NanoUsd =
        rows.iter().map(|row| row["cost_usd"].as_str().unwrap().parse::<NanoUsd>().unwrap()).sum();
    assert_eq!(all, cost + oracle::cost(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_others_is_neither_shown_nor_changed() {
    let (_upstream, program) = pair().await;
    let (alice, bob, nobody) = (alice(&program), bob(&program), Http::without_key(&program.base()));
    let reserve = json!({"user": "alice", "feature": "drafts", "metric": "units", "amount": 1});
    let id = document(&alice.post("/api/reservations", &reserve).await, 201)["id"].clone();
    let id = id.as_str().unwrap();
    let event = json!({"id": "1", "user": "bob", "cost_usd": "1"});
    for path in ["/api/quota", "/api/billing"] {
        assert_eq!(nobody.get(path).await.error_code(), "unauthenticated");
        let answer = bob.get(&format!("{path}?user=alice")).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (403, "forbidden"), "{path}");
    }
    let answers = [
        (bob.post("/api/reservations", &reserve).await, 403, "forbidden"),
        (bob.post(&format!("/api/reservations/{id}/commit"), &json!({})).await, 404, "not_found"),
        (delete(&bob, &format!("/api/reservations/{id}")).await, 404, "not_found"),
        (bob.post("/api/usage", &event).await, 403, "forbidden"),
        (nobody.post("/api/usage", &event).await, 401, "unauthenticated"),
        (bob.get("/api/usage").await, 405, "method_not_allowed"),
        (bob.get("/api/quota?usr=alice").await, 400, "invalid_request"),
        (bob.get("/api/billing?group_by=colour").await, 400, "invalid_request"),
        (bob.get("/api/nothing").await, 404, "not_found"),
        // What calls need too, a user's key may hold for a short while only.
        (
            bob.post("/api/reservations", &json!({"metric": "cost_usd", "amount": "1"})).await,
            400,
            "invalid_request",
        ),
    ];
    for (answer, status, code) in answers {
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code),
            "{}",
            answer.text()
        );
    }
    // It stands as it was, and its owner can end it.
    assert_eq!(delete(&alice, &format!("/api/reservations/{id}")).await.status, 204);
}

fn draft(amount: u64) -> Value {
    json!({"user": "alice", "feature": "drafts", "metric": "units", "amount": amount})
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_ten_drafts_exist_also_after_a_crash() {
    let (_upstream, mut program) = pair().await;
    let mut drafts = Vec::new();
    for left in (0..10).rev() {
        let made = document(&program.client().post("/api/reservations", &draft(1)).await, 201);
        assert_eq!((&made["remaining"], &made["expires_at"]), (&json!(left), &Value::Null));
        drafts.push(made["id"].as_str().unwrap().to_owned());
    }
    let refused = |answer: Answer| {
        assert_eq!(answer.error_code(), "quota_exhausted");
        let document = document(&answer, 429);
        let limit = &document["error"]["limit"];
        assert_eq!((&limit["name"], &limit["max"]), (&json!("drafts"), &json!(10)), "{document}");
        (limit["used"].clone(), limit["reserved"].clone())
    };
    let full = refused(program.client().post("/api/reservations", &draft(1)).await);
    assert_eq!(full, (json!(0), json!(10)));
    // One is used up for good, one given back; the rest stands over a crash.
    let path = |id: &String| format!("/api/reservations/{id}");
    let client = program.client();
    let commit = client.post(&format!("{}/commit", path(&drafts[0])), &json!({"amount": 1})).await;
    assert_eq!(document(&commit, 200)["state"], "committed");
    assert_eq!(delete(&client, &path(&drafts[1])).await.status, 204);

    program.restart().await;
    let client = program.client();
    assert_eq!(document(&client.post("/api/reservations", &draft(1)).await, 201)["remaining"], 0);
    let full = refused(client.post("/api/reservations", &draft(1)).await);
    assert_eq!(full, (json!(1), json!(9)));
    assert_eq!(delete(&client, &path(&drafts[2])).await.status, 204);
    assert_eq!(client.post("/api/reservations", &draft(1)).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_ends_once_and_says_so_again() {
    let (_upstream, mut program) = pair().await;
    let client = program.client();
    let wanted = json!({"user": "alice", "metric": "cost_usd", "amount": "2.00", "ttl": "10m"});
    let made = document(&client.post("/api/reservations", &wanted).await, 201);
    assert_eq!(made["remaining"], "3.000000000");
    let ends: Timestamp = made["expires_at"].as_str().unwrap().parse().unwrap();
    let path = format!("/api/reservations/{}", made["id"].as_str().unwrap());
    let commit = format!("{path}/commit");
    let spend = |quota: &Value| {
        let limit = limit(quota, "spend");
        (limit["used"].clone(), limit["reserved"].clone())
    };
    let seen = quota(&alice(&program)).await;
    assert_eq!(spend(&seen), (json!("0.000000000"), json!("2.000000000")));

    let first = document(&client.post(&commit, &json!({"amount": "0.75"})).await, 200);
    assert_eq!((&first["state"], &first["amount"]), (&json!("committed"), &json!("0.750000000")));
    assert_eq!(document(&client.post(&commit, &json!({"amount": 0.75})).await, 200), first);
    let other = client.post(&commit, &json!({"amount": 1})).await;
    assert_eq!((other.status, other.error_code().as_str()), (409, "conflict"));
    assert_eq!(delete(&client, &path).await.status, 409);
    let used = (json!("0.750000000"), json!("0.000000000"));
    assert_eq!(spend(&quota(&alice(&program)).await), used);

    // What runs out holds nothing, and cannot be committed.
    let wanted = json!({"user": "alice", "metric": "cost_usd", "amount": 1, "ttl": "1s"});
    let short = document(&client.post("/api/reservations", &wanted).await, 201);
    let short = format!("/api/reservations/{}/commit", short["id"].as_str().unwrap());
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(client.post_bytes(&short, "").await.status, 409);
    assert_eq!(spend(&quota(&alice(&program)).await), used);

    program.restart().await;
    let client = program.client();
    assert_eq!(spend(&quota(&alice(&program)).await), used, "what was committed counts");
    assert_eq!(document(&client.post(&commit, &json!({"amount": "0.75"})).await, 200), first);
    assert!(ends > Timestamp::UNIX_EPOCH);
    let unknown = "/api/reservations/0190a5c2-7b4e-7c3a-9d55-2f6f1c3b8a01";
    assert_eq!(delete(&client, unknown).await.error_code(), "not_found");
    for (body, part) in [
        (json!({"metric": "units"}), "amount"),
        (json!({"metric": "units", "amount": 0}), "amount"),
        (json!({"metric": "units", "amount": 1.5}), "whole"),
        (json!({"metric": "unit", "amount": 1}), "units"),
        (json!({"metric": "units", "amount": 1, "ttl": "soon"}), "10m"),
        (json!({"metric": "units", "amount": 1, "color": 1}), "color"),
    ] {
        let answer = client.post("/api/reservations", &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains(part), "{body}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_from_elsewhere_is_counted_once_also_over_a_crash() {
    let (_upstream, mut program) = pair().await;
    let client = program.client();
    let native = json!([
        {"id": "e1", "user": "alice", "model": oracle::MODEL, "input_tokens": 1000,
         "cached_input_tokens": 400, "output_tokens": 100, "feature": "batch", "tags": {"stage": "test"}},
        {"id": "e2", "user": "alice", "provider": "elsewhere", "model": "own", "cost_usd": "0.5"},
        {"id": "e3", "user": "alice", "feature": "drafts", "units": 3},
        {"id": "e1", "user": "alice", "cost_usd": 9},
    ]);
    let taken = document(&client.post("/api/usage", &native).await, 200);
    assert_eq!(taken, json!({"accepted": 3, "duplicates": 1}));
    let cloud = json!({
        "specversion": "1.0", "id": "e1", "source": "/jobs", "type": "llm.usage",
        "subject": "alice", "data": {"cost_usd": "0.25"},
    });
    let as_cloud = client.with("content-type", "application/cloudevents+json");
    let as_batch = client.with("content-type", "application/cloudevents-batch+json; charset=utf-8");
    assert_eq!(document(&as_cloud.post("/api/usage", &cloud).await, 200)["accepted"], 1);
    let batch = json!([cloud, cloud]);
    assert_eq!(document(&as_batch.post("/api/usage", &batch).await, 200)["duplicates"], 2);

    // 600 at 2.50, 400 at 1.25 and 100 at 10.00 USD a million.
    let expected = "0.753000000";
    let check = async |program: &Program| {
        let quota = document(&program.client().get("/api/quota?user=alice").await, 200);
        assert_eq!(limit(&quota, "spend")["used"], expected);
        assert_eq!(limit(&quota, "daily")["used"], 4);
        let bill = document(&program.client().get("/api/billing?user=alice").await, 200);
        assert_eq!((&bill["calls"], &bill["total_cost_usd"]), (&json!(4), &json!(expected)));
        // Three units are used.
        let reserved = document(&program.client().post("/api/reservations", &draft(1)).await, 201);
        let path = format!("/api/reservations/{}", reserved["id"].as_str().unwrap());
        assert_eq!(reserved["remaining"], 6);
        assert_eq!(delete(&program.client(), &path).await.status, 204);
    };
    check(&program).await;
    program.restart().await;
    check(&program).await;
    let again = document(&program.client().post("/api/usage", &native).await, 200);
    assert_eq!(again, json!({"accepted": 0, "duplicates": 4}));
    check(&program).await;
    let rows = program.settled(4).await;
    let first =
        rows.iter().find(|row| row["request_id"] == "e1" && row["feature"] == "batch").unwrap();
    assert_eq!((&first["endpoint"], &first["provider"]), (&json!("/api/usage"), &json!("up")));
    assert_eq!(
        (&first["cost_usd"], &first["cached_input_tokens"]),
        (&json!("0.003000000"), &json!(400))
    );
    program.cli(&["ledger", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_event_refuses_the_whole_request() {
    let (_upstream, program) = pair().await;
    let client = program.client();
    let good = json!({"id": "good", "user": "alice", "cost_usd": "0.5"});
    let bad = [
        (
            json!({"id": "x", "user": "alice", "model": "nobody-knows", "input_tokens": 1}),
            "unpriced_model",
        ),
        (json!({"id": "x", "user": "alice", "input_tokens": 1}), "unpriced_model"),
        (json!({"id": "x", "user": "alice", "cost_usd": "-1"}), "invalid_request"),
        (json!({"id": "x", "cost_usd": "1"}), "invalid_request"),
        (json!({"id": "x", "user": "alice", "costs": "1"}), "invalid_request"),
    ];
    for (event, code) in bad {
        let answer = client.post("/api/usage", &json!([good, event])).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (400, code), "{event}");
    }
    let text = client.with("content-type", "text/plain");
    assert_eq!(text.post("/api/usage", &good).await.status, 400);
    assert_eq!(limit(&quota(&alice(&program)).await, "spend")["used"], "0.000000000");
    assert_eq!(document(&client.post("/api/usage", &good).await, 200)["accepted"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_go_on_counting_where_a_kill_cut_them_off() {
    let (_upstream, mut program) = pair().await;
    for nonce in 0..3 {
        assert_eq!(call(&alice(&program), nonce).await.status, 200);
    }
    let before = quota(&alice(&program)).await;
    program.restart().await;
    let after = quota(&alice(&program)).await;
    for name in ["burst", "daily", "month", "spend", "ever"] {
        assert_eq!(limit(&after, name)["used"], limit(&before, name)["used"], "{name}");
    }
    for nonce in 3..5 {
        assert_eq!(call(&alice(&program), nonce).await.status, 200);
    }
    let refused = call(&alice(&program), 6).await;
    assert_eq!((refused.status, refused.error_code().as_str()), (429, "quota_exhausted"));
    assert_eq!(refused.json()["error"]["limit"]["used"], 5);
    assert_eq!(call(&bob(&program), 7).await.status, 200, "another user has used nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_rows_that_are_gone_count_like_the_rows() {
    let (_upstream, mut program) = pair().await;
    #[expect(clippy::disallowed_methods, reason = "the ledger is asked for real times")]
    let now = Timestamp::try_from(std::time::SystemTime::now()).unwrap();
    let events: Vec<Value> = (0..40)
        .map(|day| {
            let time = now - SignedDuration::from_hours(24 * day);
            json!({"id": day.to_string(), "user": "alice", "time": time, "cost_usd": "0.01"})
        })
        .collect();
    let taken = document(&program.client().post("/api/usage", &json!(events)).await, 200);
    assert_eq!(taken["accepted"], 40);
    let used = async |program: &Program| {
        let quota = quota(&alice(program)).await;
        ["burst", "daily", "spend", "ever"].map(|name| limit(&quota, name)["used"].clone())
    };
    let expected = [json!(1), json!(1), json!("0.300000000"), json!(40)];
    assert_eq!(used(&program).await, expected);
    program.restart().await;
    assert_eq!(used(&program).await, expected, "from rows");
    program.kill9();
    let database = program.folder().join("tollgate.db");
    let before = now - SignedDuration::from_hours(12);
    let purged = tollgate_store::purge(&database, before, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(purged.rows, 39);
    program.restart().await;
    assert_eq!(used(&program).await, expected, "from rollups and a row");
}
