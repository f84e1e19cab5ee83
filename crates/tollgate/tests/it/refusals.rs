//! Refused calls in the ledger, and how limits stood when a call was decided.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::client::{Answer, Http};
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Reply, Upstream};
use tollgate_testkit::wait::eventually;

use crate::{SOON, oracle_config, start};

const CHAT: &str = "/v1/chat/completions";

async fn send(program: &Program, nonce: u64, id: &str) -> Answer {
    let client = program.client().with("x-request-id", id).with("x-tollgate-user", "alice");
    client.with("x-tollgate-feature", "diary").post(CHAT, &oracle::request(nonce, false)).await
}

/// The row of a call, once it is in the database.
async fn row(program: &Program, request_id: &str) -> Value {
    eventually("the row is in the ledger", SOON, || async {
        let rows = program.cli(&["calls", "--request-id", request_id, "--format", "json"]).rows();
        rows.into_iter().next().ok_or_else(String::new)
    })
    .await
}

fn explain(program: &Program, row: &Value) -> Value {
    let id = row["call_id"].as_str().unwrap();
    program.cli(&["explain", id, "--format", "json"]).rows().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_is_a_row_that_says_why_and_costs_nothing() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let daily = r#"{ name = "daily", metric = "successes", window = "day", max = 1 }"#;
    let config = oracle_config(&upstream).plan("free", &[daily]).default_plan("free");
    let mut program = start(config).await;
    assert_eq!(send(&program, 1, "first").await.status, 200);
    assert_eq!(send(&program, 2, "second").await.error_code(), "quota_exhausted");
    let stranger = Http::new(&program.base(), "tg_wrong").with("x-request-id", "stranger");
    assert_eq!(stranger.post(CHAT, &oracle::request(3, false)).await.status, 401);
    let refused = row(&program, "second").await;
    assert_eq!(
        (&refused["outcome"], &refused["status"], &refused["error_type"], &refused["limit"]),
        (&json!("refused"), &json!(429), &json!("quota_exhausted"), &json!("daily"))
    );
    assert_eq!((&refused["user"], &refused["feature"]), (&json!("alice"), &json!("diary")));
    assert_eq!((&refused["cost_usd"], &refused["attempts"]), (&json!("0.000000000"), &json!(0)));
    // The maximum is another one now; what is told is how it stood.
    program.cli(&["users", "override", "alice", "daily", "--max", "7"]);
    let told = explain(&program, &refused);
    let limit = &told["decided"]["limits"][0];
    assert_eq!(told["decided"]["refused_by"], "daily");
    assert_eq!((&limit["max"], &limit["used"], &limit["taken"]), (&json!(1), &json!(1), &json!(1)));
    assert!(
        told["why"].as_str().unwrap().contains("`daily` allowed 1 successes (day)"),
        "{told:#}"
    );
    let used = program.cli(&["usage", "--by", "user", "--format", "json"]).rows();
    assert_eq!((used.len(), &used[0]["calls"], &used[0]["refused"]), (1, &json!(1), &json!(1)));
    program.kill9();
    program.restart().await;
    let verified = program.cli(&["ledger", "verify"]);
    assert!(verified.stdout.contains('2'), "{}", verified.stdout);
    assert_eq!(program.calls().len(), 2, "the stranger left no row");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_call_is_refused_before_anything_is_made_of_the_request() {
    let upstream = Upstream::always(Reply::status(500)).await;
    let config = Config::new()
        .provider("claude", "anthropic", &upstream.url(""))
        .model("far", "claude", "claude-x")
        .price("claude", "claude-x", &oracle::PRICES);
    let program = start(config).await;
    // Two answers to one request are nothing that the form of this provider can say.
    let mut body = oracle::request(1, false);
    (body["model"], body["n"]) = (json!("far"), json!(2));
    let call = |user: &'static str| {
        let client = program.client().with("x-tollgate-user", user);
        let body = body.clone();
        async move { client.post(CHAT, &body).await }
    };
    let count = |user: &'static str| {
        let client = program.client().with("x-tollgate-user", user);
        let body = json!({"model": "far", "input": "hi"});
        async move { client.post("/v1/responses/input_tokens", &body).await }
    };
    assert_eq!(call("alice").await.error_code(), "invalid_request");
    assert_eq!(count("alice").await.status, 200);
    program.cli(&["users", "set", "alice", "--block"]);
    eventually("alice is blocked", SOON, || async {
        let code = call("alice").await.error_code();
        if code == "user_blocked" { Ok(()) } else { Err(code) }
    })
    .await;
    // Counting tokens is free, and not for those who may not call at all.
    assert_eq!(count("alice").await.error_code(), "user_blocked");
    assert_eq!(call("bob").await.error_code(), "invalid_request");
    program.cli(&["kill-switch", "on", "model:far", "--reason", "test"]);
    eventually("the model is stopped", SOON, || async {
        let code = call("bob").await.error_code();
        if code == "kill_switch" { Ok(()) } else { Err(code) }
    })
    .await;
    assert_eq!(count("bob").await.error_code(), "kill_switch");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_is_answered_and_kept_in_part_only() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let none = r#"{ name = "none", metric = "requests", window = "day", max = 0 }"#;
    let config = oracle_config(&upstream).plan("free", &[none]).default_plan("free");
    let program = start(config).await;
    for nonce in 0..400 {
        assert_eq!(send(&program, nonce, &format!("r-{nonce}")).await.status, 429);
    }
    let dropped = eventually("rows are dropped", SOON, || async {
        let metrics = program.admin().get("/metrics").await.text();
        let line =
            metrics.lines().find(|line| line.starts_with("tollgate_refusals_unrecorded_total"));
        let count: u64 = line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        if count > 0 { Ok(count) } else { Err(metrics) }
    })
    .await;
    let kept = usize::try_from(400 - dropped).unwrap();
    assert!((200..300).contains(&kept), "{kept}");
    eventually("the others are rows", SOON, || async {
        let rows = program.cli(&["calls", "--limit", "1000", "--format", "json"]).rows().len();
        if rows == kept { Ok(()) } else { Err(rows.to_string()) }
    })
    .await;
    assert!(program.cli(&["usage", "--by", "user", "--format", "json"]).rows().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_tells_what_was_set_aside_clamped_and_downgraded() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let clamp = r#"{ name = "tokens", metric = "output_tokens", window = "day", max = 500, on_limit = "clamp" }"#;
    let down = format!(
        "{{ name = \"dear\", metric = \"requests\", window = \"day\", max = 0, models = [\"big\"], \
         on_limit = \"downgrade:{}\" }}",
        oracle::MODEL
    );
    let per_model = r#"{ name = "each", scope = ["user", "model"], metric = "successes", window = "day", max = 9 }"#;
    let config = oracle_config(&upstream)
        .model("big", "up", oracle::MODEL)
        .plan("free", &[clamp, &down, per_model])
        .default_plan("free");
    let mut program = start(config).await;
    let mut body = oracle::request(1, false);
    (body["model"], body["max_tokens"]) = (json!("big"), json!(800));
    let client = program.client().with("x-request-id", "one").with("x-tollgate-user", "alice");
    assert_eq!(client.post(CHAT, &body).await.status, 200);
    let call = row(&program, "one").await;
    let told = explain(&program, &call);
    let decided = &told["decided"];
    assert_eq!((&decided["output_asked"], &decided["output_granted"]), (&json!(800), &json!(500)));
    assert_eq!(decided["downgrades"], json!([{"limit": "dear", "to": oracle::MODEL}]));
    assert_ne!(told["hold_usd"], "0.000000000");
    let why = told["why"].as_str().unwrap();
    assert!(why.contains("500 of the 800 tokens") && why.contains("`dear`"), "{why}");
    // The call counts under the model that served it, after a restart as before.
    for (restarted, id, before) in [(false, "two", 1), (true, "three", 2)] {
        if restarted {
            program.kill9();
            program.restart().await;
        }
        let client = program.client().with("x-request-id", id).with("x-tollgate-user", "alice");
        assert_eq!(client.post(CHAT, &oracle::request(1, false)).await.status, 200);
        let told = explain(&program, &row(&program, id).await);
        let limits = told["decided"]["limits"].as_array().unwrap();
        let each = limits.iter().find(|limit| limit["name"] == "each").unwrap();
        assert_eq!((&each["scope"], &each["used"]), (&json!("user,model"), &json!(before)));
    }
}
