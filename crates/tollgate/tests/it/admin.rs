//! The admin API beside the data plane: what it says is what the ledger holds, and what it changes
//! is in force with the next call; what the command line changes, within a second.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tollgate_testkit::client::{Answer, Http};
use tollgate_testkit::config::KEY;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::Upstream;
use tollgate_testkit::wait::eventually;

use crate::{SOON, oracle_config, start};

const CHAT: &str = "/v1/chat/completions";

async fn pair() -> (Upstream, Program) {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let config = oracle_config(&upstream)
        .plan(
            "standard",
            &["{ name = \"daily\", metric = \"successes\", window = \"day\", max = 3 }"],
        )
        .plan(
            "premium",
            &["{ name = \"daily\", metric = \"successes\", window = \"day\", max = 100 }"],
        )
        .default_plan("standard");
    let program = start(config).await;
    (upstream, program)
}

async fn call(program: &Program, user: &str, id: &str) -> Answer {
    let client = program.client().with("x-tollgate-user", user).with("x-request-id", id);
    client.post(CHAT, &oracle::request(1, false)).await
}

pub(crate) async fn admin(program: &Program, method: Method, path: &str, body: &Value) -> Answer {
    let client = program.admin().with("content-type", "application/json");
    let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
    let path = format!("/admin/api/v1{path}");
    client.send(method, &path, bytes.into()).await.expect("the admin API answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_about_a_user_holds_with_the_next_call() {
    let (_upstream, program) = pair().await;
    for n in 0..3 {
        assert_eq!(call(&program, "alice", &format!("a-{n}")).await.status, 200);
    }
    assert_eq!(call(&program, "alice", "a-3").await.error_code(), "quota_exhausted");
    let alice = admin(&program, Method::GET, "/users/alice", &Value::Null).await.json();
    assert_eq!(alice["plan"], "standard");
    assert_eq!(
        (&alice["limits"][0]["used"], &alice["limits"][0]["remaining"]),
        (&json!(3), &json!(0))
    );
    let changed = admin(&program, Method::PATCH, "/users/alice", &json!({"plan": "premium"})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(call(&program, "alice", "a-4").await.status, 200);
    let zero = json!({"limit": "daily", "max": 0, "until": "2999-01-01T00:00:00Z"});
    let set = admin(&program, Method::POST, "/users/alice/overrides", &zero).await;
    assert_eq!(set.status, 201, "{}", set.text());
    assert_eq!(call(&program, "alice", "a-5").await.error_code(), "quota_exhausted");
    let taken = "/users/alice/overrides/daily";
    assert_eq!(admin(&program, Method::DELETE, taken, &Value::Null).await.status, 200);
    assert_eq!(call(&program, "alice", "a-6").await.status, 200);
    let block = json!({"blocked": true, "blocked_reason": "unpaid"});
    admin(&program, Method::PATCH, "/users/alice", &block).await;
    let refused = call(&program, "alice", "a-7").await;
    assert_eq!((refused.status, refused.error_code().as_str()), (403, "user_blocked"));
    assert_eq!(call(&program, "bob", "b-0").await.status, 200);
    let audit = admin(&program, Method::GET, "/audit?subject=alice", &Value::Null).await.json();
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|e| &e["action"]).collect();
    assert_eq!(actions, ["user.change", "override.remove", "override.set", "user.change"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kill_switch_stops_calls_at_once_and_survives_a_restart() {
    let (_upstream, mut program) = pair().await;
    assert_eq!(call(&program, "alice", "k-0").await.status, 200);
    let on = json!({"on": true, "scope": "global", "reason": "a leaked key"});
    let state = admin(&program, Method::PUT, "/kill-switch", &on).await.json();
    assert_eq!(state["switches"][0]["by"], "admin_key");
    let stopped = call(&program, "alice", "k-1").await;
    assert_eq!((stopped.status, stopped.error_code().as_str()), (503, "kill_switch"));
    assert!(stopped.text().contains("a leaked key"));
    assert_eq!(stopped.header("x-should-retry"), "false");
    program.kill9();
    program.restart().await;
    assert_eq!(call(&program, "alice", "k-2").await.error_code(), "kill_switch");
    program.cli(&["kill-switch", "off"]);
    eventually("calls go on", Duration::from_secs(2), || async {
        let status = call(&program, "alice", "k-3").await.status == 200;
        status.then_some(()).ok_or_else(String::new)
    })
    .await;
    program.cli(&["kill-switch", "on", "user:bob", "--reason", "test"]);
    eventually("bob is stopped", Duration::from_secs(2), || async {
        let status = call(&program, "bob", "k-4").await.status == 503;
        status.then_some(()).ok_or_else(String::new)
    })
    .await;
    assert_eq!(call(&program, "alice", "k-5").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_replaced_and_taken_back_at_once() {
    let (_upstream, program) = pair().await;
    let new = json!({"name": "phone", "role": "user", "user": "alice"});
    let made = admin(&program, Method::POST, "/keys", &new).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let old = made.json()["key"].as_str().unwrap().to_owned();
    let with = |key: &str| Http::new(&program.base(), key);
    let ask = oracle::request(2, false);
    assert_eq!(with(&old).post(CHAT, &ask).await.status, 200);
    let rotate = json!({"overlap": "0s"});
    let fresh = admin(&program, Method::POST, "/keys/phone/rotate", &rotate).await.json();
    let fresh = fresh["key"].as_str().unwrap().to_owned();
    assert_eq!(with(&old).post(CHAT, &ask).await.status, 401);
    assert_eq!(with(&fresh).post(CHAT, &ask).await.status, 200);
    let gone = admin(&program, Method::DELETE, "/keys/phone", &Value::Null).await;
    assert_eq!(gone.status, 204);
    assert_eq!(with(&fresh).post(CHAT, &ask).await.status, 401);
    let list = admin(&program, Method::GET, "/keys?user=alice", &Value::Null).await;
    assert!(!list.text().contains(&fresh) && !list.text().contains(&old));
    assert_eq!(list.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_are_answered() {
    let (_upstream, program) = pair().await;
    let status = "/admin/api/v1/status";
    let base = program.admin_base();
    assert_eq!(Http::without_key(&base).get(status).await.status, 401);
    assert_eq!(Http::new(&base, "tg_guess").get(status).await.status, 401);
    assert_eq!(Http::new(&base, KEY).get(status).await.status, 403);
    assert_eq!(program.admin().get(status).await.status, 200);
    let ops = program.cli(&["keys", "create", "ops", "--role", "admin", "--format", "json"]);
    let ops = Http::new(&base, ops.rows()[0]["key"].as_str().unwrap());
    eventually("the new key is good", SOON, || async {
        let good = ops.get(status).await.status == 200;
        good.then_some(()).ok_or_else(String::new)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_usage_and_explanations_agree_with_the_ledger() {
    let (_upstream, program) = pair().await;
    for n in 0..3 {
        assert_eq!(call(&program, "alice", &format!("u-{n}")).await.status, 200);
    }
    let first = admin(&program, Method::GET, "/calls?limit=2", &Value::Null).await.json();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let next = format!("/calls?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    let second = admin(&program, Method::GET, &next, &Value::Null).await.json();
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert_eq!(second["next_cursor"], Value::Null);
    let usage = admin(&program, Method::GET, "/usage?group_by=model", &Value::Null).await.json();
    let cost = oracle::cost(1);
    assert_eq!(usage["total_cost_usd"], (cost + cost + cost).to_string());
    assert_eq!((&usage["calls"], &usage["rows"][0]["calls"]), (&json!(3), &json!(3)));
    let id = second["items"][0]["call_id"].as_str().unwrap();
    let path = format!("/calls/{id}/explain");
    let told = admin(&program, Method::GET, &path, &Value::Null).await.json();
    assert_eq!(told["decision"], "allowed");
    assert_eq!(told["price"]["sum_usd"], cost.to_string(), "{told:#}");
    assert_eq!(told["price"]["note"], Value::Null, "{told:#}");
    assert_eq!(told["limits"][0]["used"], 3);
    let printed = program.cli(&["explain", id, "--format", "json"]).rows();
    assert_eq!(printed[0]["price"], told["price"]);
    assert_eq!(printed[0]["limits"][0]["used"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_is_the_same_by_api_and_command_line_and_adds_up() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let config = oracle_config(&upstream).section("[display]\ncurrency = \"KRW\"\nusd_rate = 1470");
    let program = start(config).await;
    let path = format!(
        "/estimate?models={},openai/gpt-4o-mini&input_tokens=1000&other_input_tokens=400\
         &output_tokens=100&calls_per_month=30",
        oracle::MODEL
    );
    let told = admin(&program, Method::GET, &path, &Value::Null).await.json();
    let rows = told["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &told["currency"]), (4, &json!("KRW")), "{told:#}");
    let mini = &rows[1];
    // 1000 × 0.15 + 100 × 0.60 USD for a million; thirty of them; in won.
    assert_eq!(
        (&mini["version"], &mini["per_call_usd"]),
        (&json!("prompt"), &json!("0.000210000"))
    );
    assert_eq!(
        (&mini["per_month_usd"], &mini["per_month"]),
        (&json!("0.006300000"), &json!("9.261000000"))
    );
    let less = &told["differences"][1];
    assert_eq!(
        (&less["input_tokens"], &less["per_call_usd"]),
        (&json!(-600), &json!("-0.000090000"))
    );
    let arguments = [
        "estimate",
        "-m",
        oracle::MODEL,
        "-m",
        "openai/gpt-4o-mini",
        "--input-tokens",
        "1000",
        "--other-input-tokens",
        "400",
        "--output-tokens",
        "100",
        "--calls-per-month",
        "30",
    ];
    let printed = program.cli(&[&arguments[..], &["--format", "json"]].concat()).rows();
    assert_eq!(&printed, rows);
    assert!(program.cli(&arguments).stdout.contains("costs more by"));
    let counted = program.cli(&[
        "estimate",
        "-m",
        "openai/gpt-4o-mini",
        "--prompt",
        "Hello, world!",
        "--format",
        "json",
    ]);
    assert_eq!(counted.rows()[0]["input_tokens"], 4);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_of_what_has_no_price_is_refused() {
    let (_upstream, program) = pair().await;
    for (query, said) in [
        ("models=nothing-known&input_tokens=1", "no price"),
        ("models=&input_tokens=1", "1 to 50 models"),
        ("models=openai/gpt-4o-mini", "`prompt` or `input_tokens`"),
        ("models=openai/gpt-4o-mini&prompt=x&input_tokens=1", "not both"),
    ] {
        let refused =
            admin(&program, Method::GET, &format!("/estimate?{query}"), &Value::Null).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains(said), "{}", refused.text());
    }
}
