//! Limits through the whole program: what passes, what a refusal says, what failures leave alone.

use std::time::Duration;

use serde_json::json;
use tollgate_testkit::client::Answer;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Reply, Upstream};

use crate::{oracle_config, start};

const CHAT: &str = "/v1/chat/completions";
const BURST: &str = r#"{ name = "burst", metric = "requests", window = "sliding 60s", max = 10 }"#;
const PARALLEL: &str = r#"{ name = "parallel", metric = "concurrency", max = 3 }"#;
const DAILY: &str = r#"{ name = "daily", metric = "successes", window = "day", max = 10 }"#;

fn on_plan(upstream: &Upstream, limits: &[&str]) -> Config {
    oracle_config(upstream).plan("free", limits).default_plan("free")
}

async fn send(program: &Program, nonce: u64) -> Answer {
    program.client().post(CHAT, &oracle::request(nonce, false)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_sends_in_a_second_ten_pass_and_the_rest_learn_why() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let program = start(on_plan(&upstream, &[BURST, PARALLEL, DAILY])).await;
    let mut sends = tokio::task::JoinSet::new();
    for nonce in 0..100 {
        let client = program.client();
        sends.spawn(async move { client.post(CHAT, &oracle::request(nonce, false)).await });
    }
    let answers = sends.join_all().await;
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((1..=10).contains(&passed), "{passed} passed");
    assert_eq!(upstream.count(), passed, "a refused call reached the provider");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.status, 429, "{}", answer.text());
        let code = answer.error_code();
        assert!(matches!(code.as_str(), "rate_limited" | "concurrency_limited"), "{code}");
        assert!(!answer.header("retry-after").is_empty(), "{:?}", answer.headers);
    }
    // One after the other, the rest of the ten pass; then the rate refuses, and says until when.
    for nonce in 100..100 + 10 - u64::try_from(passed).unwrap() {
        assert_eq!(send(&program, nonce).await.status, 200);
    }
    let refused = send(&program, 200).await;
    assert_eq!(refused.error_code(), "rate_limited", "{}", refused.text());
    assert_eq!(refused.json()["error"]["limit"]["name"], "burst");
    assert_eq!(refused.json()["error"]["limit"]["used"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_refused_without_a_retry_and_names_the_instant_it_frees() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let program = start(on_plan(&upstream, &[DAILY])).await;
    for nonce in 0..10 {
        let answer = send(&program, nonce).await;
        assert_eq!(answer.status, 200);
        let left = format!("\"daily\";r={}", 9 - nonce);
        assert!(answer.header("ratelimit").starts_with(&left), "{:?}", answer.headers);
        assert_eq!(answer.header("x-ratelimit-limit-requests"), "10");
    }
    let refused = send(&program, 10).await;
    assert_eq!((refused.status, refused.error_code().as_str()), (429, "quota_exhausted"));
    assert_eq!(refused.header("x-should-retry"), "false");
    let limit = &refused.json()["error"]["limit"];
    assert_eq!(limit["metric"], "successes");
    assert_eq!((limit["max"].as_i64(), limit["used"].as_i64()), (Some(10), Some(10)));
    let frees_at: jiff::Timestamp = limit["frees_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(frees_at.as_second() % 86_400, 0, "not midnight in UTC: {frees_at}");
    assert_eq!(upstream.count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_leave_the_quota_untouched() {
    let failing = Reply::json(500, &json!({"error": {"message": "no", "type": "server_error"}}));
    let upstream = Upstream::always(failing).await;
    let program = start(on_plan(&upstream, &[DAILY])).await;
    for nonce in 0..15 {
        assert_eq!(send(&program, nonce).await.status, 500);
    }
    upstream.answer_with(|request| oracle::reply(request, Duration::ZERO));
    for nonce in 20..30 {
        assert_eq!(send(&program, nonce).await.status, 200);
    }
    assert_eq!(send(&program, 30).await.error_code(), "quota_exhausted");
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_of_the_provider_are_set_aside_before_they_are_made() {
    let message = json!({"id": "m", "type": "message", "role": "assistant", "model": "claude-x",
        "content": [{"type": "text", "text": "found"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 1,
            "server_tool_use": {"web_search_requests": 2}}});
    let upstream = Upstream::always(Reply::json(200, &message)).await;
    // Nothing but searches costs anything, a cent each, and five cents may be spent.
    let rates = [("input", "0"), ("output", "0"), ("web_search_per_1k", "10")];
    let config = Config::new()
        .provider("claude", "anthropic", &upstream.url(""))
        .model("claude-x", "claude", "claude-x")
        .price("claude", "claude-x", &rates)
        .plan("free", &[r#"{ name = "spend", metric = "cost_usd", window = "total", max = 0.05 }"#])
        .default_plan("free");
    let program = start(config).await;
    let ask = async |tool: serde_json::Value| {
        let body = json!({"model": "claude-x", "max_tokens": 9, "tools": [tool],
            "messages": [{"role": "user", "content": "x"}]});
        program.client().post("/v1/messages", &body).await
    };
    let search = json!({"type": "web_search_20250305", "name": "web_search"});
    let bounded = |uses: u64| {
        let mut tool = search.clone();
        tool["max_uses"] = json!(uses);
        tool
    };
    assert_eq!(ask(search.clone()).await.json()["error"]["code"], "budget_exhausted");
    assert_eq!(ask(bounded(6)).await.json()["error"]["code"], "budget_exhausted");
    assert_eq!(upstream.count(), 0);
    // Five are set aside, and the two that were made are charged.
    assert_eq!(ask(bounded(5)).await.status, 200);
    assert_eq!(program.settled(1).await[0]["cost_usd"], "0.020000000");
    assert_eq!(ask(bounded(4)).await.json()["error"]["code"], "budget_exhausted");
    assert_eq!(ask(bounded(3)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_the_edge_of_its_reservation_in_the_words_of_its_form() {
    // The provider generates far more than the ten tokens that the caller allowed.
    let delta = |text: &str| {
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1,
            "model": oracle::MODEL,
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
        format!("data: {chunk}\n\n")
    };
    let flood: Vec<String> = (0..400).map(|n| delta(&format!("word{n} and more "))).collect();
    let upstream = Upstream::always(Reply::events(flood).paced(Duration::from_millis(1))).await;
    let budget = r#"{ name = "spend", metric = "cost_usd", window = "day", max = 5.00 }"#;
    let program = start(on_plan(&upstream, &[budget])).await;
    let body = json!({"model": oracle::MODEL, "stream": true, "max_tokens": 10,
        "messages": [{"role": "user", "content": "x"}]});
    let text = program.client().post(CHAT, &body).await.text();
    assert!(text.contains("\"finish_reason\":\"length\""), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(text.matches("word").count() < 40, "{text}");
    let row = &program.settled(1).await[0];
    assert_eq!((&row["outcome"], &row["estimated"]), (&json!("success"), &json!(true)), "{row:#}");
}
