//! A provider's own API under `/providers/…` where somebody tries to get round: other models than a
//! key may use, other addresses than the configured one, answers that nobody pays for. And what is
//! no JSON passes as it is.

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::Http;
use tollgate_testkit::config::Config;
use tollgate_testkit::upstream::{Reply, Upstream};

use crate::cases::RATES;
use crate::start;

const USER: &str = "tg_user_for_tests_0123456789abcdef";

fn completion(model: &str) -> Reply {
    Reply::json(
        200,
        &json!({"id": "c", "object": "chat.completion", "model": model,
            "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "hi"}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}}),
    )
}

fn chat(model: &str) -> serde_json::Value {
    json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deployment_in_a_path_is_the_model_whatever_the_body_says() {
    let upstream = Upstream::always(completion("dear")).await;
    let config = Config::new()
        .provider("az", "azure", &upstream.url(""))
        .price("az", "cheap", &RATES)
        .price("az", "dear", &RATES)
        .section(&format!(
            "[[auth.keys]]\nname = \"u\"\nkey = \"{USER}\"\nrole = \"user\"\nmodels = [\"cheap\"]"
        ));
    let program = start(config).await;
    let client = Http::new(&program.base(), USER);
    let path = "/providers/az/openai/deployments/dear/chat/completions?api-version=1";
    let refused = client.post(path, &chat("cheap")).await;
    assert_eq!(refused.error_code(), "model_not_allowed", "{}", refused.text());
    let path = path.replace("dear", "cheap");
    assert_eq!(client.post(&path, &chat("dear")).await.status, 200);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cheaper_model_is_put_into_a_path_that_names_the_model() {
    let upstream = Upstream::always(Reply::status(500)).await;
    let config = Config::new()
        .provider("gem", "gemini", &upstream.url(""))
        .price("gem", "pro", &RATES)
        .price("gem", "flash", &RATES)
        .model("flash", "gem", "flash")
        .plan(
            "free",
            &[r#"{ name = "pros", metric = "requests", window = "day", max = 0,
                models = ["pro"], on_limit = "downgrade:flash" }"#
                .replace('\n', " ")
                .as_str()],
        )
        .default_plan("free");
    let program = start(config).await;
    let path = "/providers/gem/v1beta/models/pro:generateContent";
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let refused = program.client().post(path, &body).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(upstream.count(), 0, "the path would have called the dear model");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_empty_answers_pass_as_they_are() {
    let upstream = Upstream::always(Reply::status(500)).await;
    let program = start(Config::new().provider("up", "openai", &upstream.url("/v1"))).await;
    for file in [&b"{\"a\":1}\n{\"a\":2}\n"[..], b"plain text", b"\x89PNG\r\n", b""] {
        upstream.answer(
            Reply::status(200)
                .header("content-type", "application/octet-stream")
                .whole(Bytes::from_static(file)),
        );
        let answer = program.client().get("/providers/up/v1/files/file-1/content").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.body, file);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_method_that_is_admitted_is_the_one_that_the_provider_sees() {
    let upstream = Upstream::always(Reply::json(200, &json!({}))).await;
    let program = start(Config::new().provider("up", "openai", &upstream.url("/v1"))).await;
    let client = program.client().with("x-http-method-override", "POST");
    let path = "/providers/up/v1/chat/completions";
    assert_eq!(client.send(Method::GET, path, Bytes::new()).await.unwrap().status, 200);
    assert_eq!(upstream.last().header("x-http-method-override"), None);
}
