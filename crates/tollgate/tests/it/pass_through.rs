//! A provider's own API under `/providers/…` where somebody tries to get round: other models than a
//! key may use, other addresses than the configured one, answers that nobody pays for. And what is
//! no JSON passes as it is.

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::Http;
use tollgate_testkit::config::{Config, KEY};
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
async fn every_picture_of_a_form_is_charged_and_no_json_passes_as_one() {
    let pictures = json!({"created": 1, "data": [{"b64_json": "AA=="}]});
    let upstream = Upstream::always(Reply::json(200, &pictures)).await;
    let config = Config::new()
        .provider("up", "openai", &upstream.url("/v1"))
        .price("up", "gpt-image-1", &RATES)
        .price("up", "cheap", &RATES);
    let program = start(config).await;
    let fields =
        [("model", "gpt-image-1"), ("prompt", "a cat"), ("n", "3"), ("image", "0123456789")];
    let part = |(name, value)| {
        format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let form = fields.map(part).concat() + "--x--\r\n";
    let edit = |id: &str, body: String| {
        let client = program.client().with("x-request-id", id);
        let client = client.with("content-type", "multipart/form-data; boundary=x");
        async move { client.send(Method::POST, "/providers/up/images/edits", body.into()).await }
    };
    assert_eq!(edit("edit", form.clone()).await.unwrap().status, 200);
    assert_eq!(upstream.last().body, form);
    let row = program.settled_call("edit").await;
    assert_eq!((&row["output_tokens"], &row["estimated"]), (&json!(3 * 6_240), &json!(true)));
    // What is JSON is read as JSON, whatever its content type says.
    let sent = upstream.count();
    for path in ["/v1/chat/completions", "/providers/up/chat/completions", "/v1/responses"] {
        let client = program.client().with("content-type", "Multipart/Form-Data; boundary=x");
        let body = form.replace("gpt-image-1", "cheap");
        for body in [chat("cheap").to_string(), body] {
            let answer = client.send(Method::POST, path, body.into()).await.unwrap();
            assert_eq!((answer.status, answer.error_code().as_str()), (400, "invalid_request"));
        }
    }
    assert_eq!(upstream.count(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_from_an_answer_that_is_not_known_to_be_theirs() {
    const BOB: &str = "tg_bob_for_tests_0123456789abcdef";
    let answer = json!({"id": "resp_1", "object": "response", "status": "completed",
        "model": "cheap", "output": [], "usage": {"input_tokens": 5, "output_tokens": 1}});
    let upstream = Upstream::always(Reply::json(200, &answer)).await;
    let config = Config::new()
        .provider("openai", "openai", &upstream.url("/v1"))
        .price("openai", "cheap", &RATES)
        .key("alice", USER, "user")
        .key("bob", BOB, "user");
    let mut program = start(config).await;
    let ask = |base: String, key: &'static str, member: &'static str, value: serde_json::Value| {
        let mut body = json!({"model": "cheap", "input": "hi", "max_output_tokens": 9});
        body[member] = value;
        async move { Http::new(&base, key).post("/v1/responses", &body).await.status }
    };
    let previous = "previous_response_id";
    let base = program.base();
    assert_eq!(ask(base.clone(), USER, "input", json!("hi")).await, 200);
    assert_eq!(ask(base.clone(), USER, previous, json!("resp_1")).await, 200);
    assert_eq!(ask(base.clone(), BOB, previous, json!("resp_1")).await, 404);
    assert_eq!(ask(base.clone(), USER, previous, json!("resp_other")).await, 404);
    let reference = json!([{"type": "item_reference", "id": "msg_1"}]);
    assert_eq!(ask(base.clone(), USER, "input", reference.clone()).await, 403);
    assert_eq!(ask(base.clone(), USER, "conversation", json!("conv_1")).await, 403);
    // After a restart nobody knows whose it was, but for those who act for all users.
    program.kill9();
    program.restart().await;
    let base = program.base();
    assert_eq!(ask(base.clone(), USER, previous, json!("resp_1")).await, 404);
    for (member, value) in
        [(previous, json!("resp_1")), ("input", reference), ("conversation", json!("conv_1"))]
    {
        assert_eq!(ask(base.clone(), KEY, member, value).await, 200, "{member}");
    }
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
async fn a_body_need_not_name_the_model_that_its_path_names() {
    let upstream = Upstream::always(completion("gpt")).await;
    let config = Config::new()
        .provider("az", "azure", &upstream.url(""))
        .price("az", "gpt", &RATES)
        .provider("gc", "vertex", &upstream.url("/v1/projects/p/locations/l"))
        .price("gc", "claude-opus-4-6", &RATES);
    let program = start(config).await;
    let mut body = chat("");
    body.as_object_mut().unwrap().remove("model");
    for path in [
        "/providers/az/openai/deployments/gpt/chat/completions",
        "/providers/gc/publishers/anthropic/models/claude-opus-4-6:rawPredict",
    ] {
        let answer = program.client().post(path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(upstream.last().json(), body, "{path}");
    }
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

/// The responses form: an object whose answer is made, or is being made, in the background.
fn response(status: &str, background: bool) -> serde_json::Value {
    let usage = (status == "completed").then(|| {
        json!({"input_tokens": 1_000, "output_tokens": 2_000,
        "total_tokens": 3_000})
    });
    json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "m",
        "background": background, "output": [], "usage": usage})
}

fn background(upstream: &Upstream) -> Config {
    Config::new()
        .provider("openai", "openai", &upstream.url("/v1"))
        .price("openai", "m", &RATES)
        .section(&format!(
            "[[auth.keys]]\nname = \"u\"\nkey = \"{USER}\"\nrole = \"user\"\n\
             on_disconnect = \"abort\""
        ))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_on_a_background_stream_pays_for_the_answer_that_is_made() {
    let upstream = Upstream::start(|request| {
        if request.method == "POST" {
            let created = json!({"type": "response.created", "sequence_number": 0,
                "response": response("in_progress", true)});
            Reply::events([format!("event: response.created\ndata: {created}\n\n")])
                .after(1, tollgate_testkit::upstream::Piece::Hang)
        } else {
            Reply::json(200, &response("completed", true))
        }
    })
    .await;
    let program = start(background(&upstream)).await;
    let client = Http::new(&program.base(), USER).with("x-request-id", "left");
    let body = json!({"model": "m", "input": "hi", "background": true, "stream": true});
    let mut stream = client.stream("/v1/responses", &body).await;
    assert!(stream.next().await.unwrap().is_some());
    drop(stream);
    let row = program.settled_call("left").await;
    assert_eq!(row["output_tokens"], 2_000, "{row:#}");
    assert_eq!(row["estimated"], false, "{row:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_answer_can_be_read_as_a_stream() {
    let done = json!({"type": "response.completed", "sequence_number": 9,
        "response": response("completed", true)});
    let events = format!("event: response.completed\ndata: {done}\n\n");
    let sent = events.clone();
    let upstream = Upstream::start(move |request| match request.method.as_str() {
        "POST" => Reply::json(200, &response("completed", false)),
        _ => Reply::events([sent.clone()]),
    })
    .await;
    let program = start(background(&upstream)).await;
    let client = Http::new(&program.base(), USER);
    let body = json!({"model": "m", "input": "hi"});
    assert_eq!(client.post("/v1/responses", &body).await.status, 200);
    let read = client.with("x-request-id", "read").get("/v1/responses/resp_1?stream=true").await;
    assert_eq!(read.text(), events);
    let row = program.settled_call("read").await;
    assert_eq!(
        (&row["outcome"], &row["cost_usd"]),
        (&"success".into(), &NanoUsd::ZERO.to_string().into()),
        "{row:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_deletes_a_background_answer_before_it_is_counted_pays_what_it_holds() {
    let upstream = Upstream::start(|request| match request.method.as_str() {
        "POST" => Reply::json(200, &response("queued", true)),
        _ => Reply::json(404, &json!({"error": {"message": "no such response"}})),
    })
    .await;
    let program = start(background(&upstream)).await;
    let client = Http::new(&program.base(), USER).with("x-request-id", "deleted");
    let body = json!({"model": "m", "input": "hi", "background": true, "max_output_tokens": 5_000});
    assert_eq!(client.post("/v1/responses", &body).await.status, 200);
    tollgate_testkit::wait::eventually("it is in doubt", crate::SOON, || async {
        let rows = program.calls();
        let row = rows.iter().find(|row| row["request_id"] == "deleted").ok_or("no row")?;
        let held = row["outcome"] == "in_doubt" && upstream.count() > 1;
        if held && row["output_tokens"] == 5_000 { Ok(()) } else { Err(format!("{row:#}")) }
    })
    .await;
    let quota = client.get("/api/billing").await;
    assert_ne!(quota.json()["total_cost_usd"], NanoUsd::ZERO.to_string(), "{}", quota.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_is_not_charged_again_when_it_is_fetched_after_a_restart() {
    let upstream = Upstream::always(Reply::json(200, &response("completed", false))).await;
    let mut program = start(background(&upstream)).await;
    let made = program.client().with("x-request-id", "made");
    let body = json!({"model": "m", "input": "hi"});
    assert_eq!(made.post("/v1/responses", &body).await.status, 200);
    assert_eq!(program.settled_call("made").await["output_tokens"], 2_000);
    program.restart().await;
    let fetched = program.client().with("x-request-id", "fetched");
    assert_eq!(fetched.get("/v1/responses/resp_1").await.status, 200);
    let row = program.settled_call("fetched").await;
    assert_eq!(row["cost_usd"], NanoUsd::ZERO.to_string(), "{row:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_answer_is_not_charged_again_when_another_key_fetches_it_after_a_restart() {
    let upstream = Upstream::start(|request| match request.method.as_str() {
        "POST" => Reply::json(200, &response("queued", true)),
        _ => Reply::json(200, &response("completed", true)),
    })
    .await;
    let mut program = start(background(&upstream)).await;
    let made = Http::new(&program.base(), USER).with("x-request-id", "made");
    let body = json!({"model": "m", "input": "hi", "background": true});
    assert_eq!(made.post("/v1/responses", &body).await.status, 200);
    assert_eq!(program.settled_call("made").await["output_tokens"], 2_000);
    program.restart().await;
    let fetched = program.client().with("x-request-id", "fetched");
    assert_eq!(fetched.get("/v1/responses/resp_1").await.status, 200);
    let row = program.settled_call("fetched").await;
    assert_eq!(row["cost_usd"], NanoUsd::ZERO.to_string(), "{row:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_translated_call_asks_for_as_much_output_as_its_client_does() {
    let upstream = Upstream::always(Reply::json(
        200,
        &json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-6",
            "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "output_tokens": 1}}),
    ))
    .await;
    let config = Config::new().provider("anthropic", "anthropic", &upstream.url("")).price(
        "anthropic",
        "claude-opus-4-6",
        &RATES,
    );
    let program = start(config).await;
    for (asked, sent) in [(Some(20_000), 20_000), (None, 4_096)] {
        let mut body = json!({"model": "claude-opus-4-6",
            "messages": [{"role": "user", "content": "hi"}]});
        if let Some(asked) = asked {
            body["max_completion_tokens"] = json!(asked);
        }
        let answer = program.client().post("/v1/chat/completions", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(upstream.last().json()["max_tokens"], sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_here_for_a_vendor_without_the_responses_form() {
    let upstream = Upstream::always(Reply::status(404)).await;
    let config = Config::new()
        .provider_with("up", "openai", &upstream.url("/v1"), "responses = false")
        .price("up", "m", &RATES);
    let program = start(config).await;
    let body = json!({"model": "m", "input": "one two three"});
    let counted = program.client().post("/v1/responses/input_tokens", &body).await;
    assert_eq!(counted.status, 200, "{}", counted.text());
    assert!(counted.json()["input_tokens"].as_u64() > Some(2), "{}", counted.text());
    assert_eq!(upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_from_an_answer_of_somebody_else() {
    let upstream = Upstream::always(Reply::json(200, &response("completed", false))).await;
    let other = "tg_other_for_tests_0123456789abcdef";
    let program = start(background(&upstream).key("other", other, "user")).await;
    let body = json!({"model": "m", "input": "hi"});
    let client = Http::new(&program.base(), USER);
    assert_eq!(client.post("/v1/responses", &body).await.status, 200);
    let next = json!({"model": "m", "input": "say it again", "previous_response_id": "resp_1"});
    let stranger = Http::new(&program.base(), other).post("/v1/responses", &next).await;
    assert_eq!(stranger.status, 404, "{}", stranger.text());
    assert_eq!(upstream.count(), 1);
    assert_eq!(client.post("/v1/responses", &next).await.status, 200);
}
