//! PRIVACY-1, as a stranger would check it: strings that stand in keys, prompts, answers and headers
//! of many different calls are looked for in everything that the program writes and sends of itself,
//! while bodies are off.
//!
//! `TOLLGATE_CANARY_CALLS` makes it more calls than the usual ones.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};
use tollgate_testkit::client::Http;
use tollgate_testkit::config::{Config, KEY};
use tollgate_testkit::program::Program;
use tollgate_testkit::raw::Raw;
use tollgate_testkit::upstream::{Piece, Received, Reply, Upstream};
use tollgate_testkit::wait::eventually;

use super::metric;
use super::services::{Elastic, Logstash, QUICK, bodies};
use crate::{SOON, start};

/// Calls in a usual run.
const USUAL: u64 = 400;
/// Stands in every prompt.
const PROMPT: &str = "canary-prompt-5b1f0c";
/// Stands in every answer.
const ANSWER: &str = "canary-answer-9d27ae";
/// Stands in headers and queries that mean nothing to the program.
const HEADER: &str = "canary-header-3c88d4";
/// Keys that are good, and one that is not.
const GOOD_KEY: &str = "tg_canary_good_0123456789abcdef0123";
const WRONG_KEY: &str = "tg_canary_wrong_0123456789abcdef012";
/// What the provider is shown.
const PROVIDER_KEY: &str = "canary-provider-key-77aa10";

const CANARIES: [&str; 6] = [PROMPT, ANSWER, HEADER, GOOD_KEY, WRONG_KEY, PROVIDER_KEY];

#[tokio::test(flavor = "multi_thread")]
async fn no_prompt_answer_key_or_header_leaves_a_trace() {
    let calls = std::env::var("TOLLGATE_CANARY_CALLS").map_or(USUAL, |it| it.parse().unwrap());
    let upstream = Upstream::start(answer).await;
    let elastic = Elastic::start().await;
    let loki = Upstream::always(Reply::status(204)).await;
    let collector = Upstream::always(Reply::status(200)).await;
    let sentry = Upstream::always(Reply::status(200)).await;
    let logstash = Logstash::start().await;
    let sinks = [
        elastic.sink(""),
        format!("[[logs.sinks]]\nkind = \"loki\"\nurl = \"{}\"\n{QUICK}", loki.url("")),
        format!(
            "[[logs.sinks]]\nkind = \"otlp\"\nurl = \"{}\"\nconventions = \"both\"\n{QUICK}",
            collector.url("")
        ),
        format!(
            "[[logs.sinks]]\nkind = \"logstash\"\nurl = \"tcp://{}\"\n{QUICK}",
            logstash.address
        ),
        format!("[[logs.sinks]]\nkind = \"file\"\nurl = \"file://calls.jsonl\"\n{QUICK}"),
        format!(
            "[sentry]\ndsn = \"{}\"\ntraces_sample_rate = 1",
            sentry.url("/7").replace("http://", "http://abc@")
        ),
    ];
    let config = sinks.iter().fold(config(&upstream), |config, sink| config.section(sink));
    let mut program = start(config).await;
    make_calls(&program, calls).await;
    eventually("every line has left", SOON * 6, || async {
        let sent = metric(&program, "tollgate_sink_sent_total", "elasticsearch").await;
        let there = u64::try_from(lines_of_calls(&program).len()).unwrap();
        if sent == there { Ok(()) } else { Err(format!("{sent} of {there}")) }
    })
    .await;
    let metrics = program.admin().get("/metrics").await.text();
    let listed = program.admin().get("/admin/api/v1/calls?limit=500").await.text();
    program.sigterm();
    assert!(program.exited(SOON * 2).await.unwrap().success());
    let lines = u64::try_from(lines_of_calls(&program).len()).unwrap();
    assert!(lines >= calls * 9 / 10, "{lines} lines: too few calls came through");
    for (what, bytes) in [
        ("the log", program.log().into_bytes()),
        ("the metrics", metrics.into_bytes()),
        ("the list of calls", listed.into_bytes()),
        ("elasticsearch", bodies(&elastic.upstream)),
        ("loki", bodies(&loki)),
        ("the collector", bodies(&collector)),
        ("sentry", bodies(&sentry)),
        ("logstash", logstash.text()),
    ] {
        assert!(!bytes.is_empty(), "{what} has nothing");
        look_through(what, &bytes);
    }
    look_through_files(&program);
}

/// The lines of calls on standard output.
fn lines_of_calls(program: &Program) -> Vec<Value> {
    let log = program.log();
    log.lines()
        .filter(|line| line.starts_with("{\"time\""))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn look_through(what: &str, bytes: &[u8]) {
    for canary in CANARIES {
        let found = bytes.windows(canary.len()).position(|window| window == canary.as_bytes());
        let around = found.map(|at| {
            let range = at.saturating_sub(200)..(at + 200).min(bytes.len());
            String::from_utf8_lossy(&bytes[range]).into_owned()
        });
        assert_eq!(around, None, "{canary} is in {what}");
    }
}

/// Ledger, journal, spools, files of lines: everything but the configuration, which holds the keys.
fn look_through_files(program: &Program) {
    let mut folders = vec![program.folder().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path != program.config_path() {
                files += 1;
                look_through(&name_of(&path), &std::fs::read(&path).unwrap());
            }
        }
    }
    assert!(files >= 4, "database, journal, log and lines are files");
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn config(upstream: &Upstream) -> Config {
    let provider = format!(
        "[providers.up]\nkind = \"openai\"\nbase_url = \"{}\"\napi_key = \"{PROVIDER_KEY}\"\n\
         unmetered = \"allow\"\n\
         timeout = {{ connect = \"3s\", first_byte = \"5s\", idle = \"5s\", total = \"20s\" }}\n\
         retry = {{ attempts = 1, base = \"1s\", max = \"1s\" }}\n\
         breaker = {{ error_rate = 1.0, window = \"30s\", min_calls = 1000000, open_for = \"1s\", \
         slow_first_byte = \"60s\" }}",
        upstream.url("/v1")
    );
    Config::new()
        .key("canary", GOOD_KEY, "service")
        .section(&provider)
        .model("m", "up", "m")
        .model("e", "up", "e")
        .price("up", "m", &[("input", "1"), ("output", "2")])
        .price("up", "e", &[("input", "1"), ("output", "2")])
}

/// What the provider answers: good and bad, whole and in pieces, each with the canary in it.
fn answer(request: &Received) -> Reply {
    let body = request.json();
    let text = String::from_utf8_lossy(&request.body);
    if text.contains("fail-500") {
        return Reply::status(500).whole(format!("<html>{ANSWER}</html>"));
    }
    if text.contains("fail-400") {
        let error = json!({"message": ANSWER, "type": "invalid_request_error", "param": null, "code": null});
        return Reply::json(400, &json!({"error": error}));
    }
    if text.contains("garbage") {
        return Reply::garbage(ANSWER);
    }
    if request.path.ends_with("/embeddings") {
        let data = json!([{"object": "embedding", "index": 0, "embedding": [0.5]}]);
        let usage = json!({"prompt_tokens": 5, "total_tokens": 5});
        return Reply::json(
            200,
            &json!({"object": "list", "data": data, "model": "e", "usage": usage}),
        );
    }
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13});
    if body["stream"] != true {
        let choice = json!({"index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": ANSWER}});
        let answer = json!({"id": "c-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [choice], "usage": usage});
        return Reply::json(200, &answer).header("x-provider-says", ANSWER);
    }
    let chunk = |delta: Value, finish: Value| {
        let choice = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        let chunk = json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1,
            "model": "m", "choices": choice});
        format!("data: {chunk}\n\n")
    };
    let last = json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [], "usage": usage});
    let events = [
        chunk(json!({"role": "assistant", "content": ANSWER}), Value::Null),
        chunk(json!({"content": ANSWER}), Value::Null),
        chunk(json!({}), json!("stop")),
        format!("data: {last}\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ];
    let reply = Reply::events(events);
    if text.contains("cut-me") { reply.cut(2, Piece::Reset) } else { reply }
}

async fn make_calls(program: &Program, calls: u64) {
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..4 {
        let (base, address) = (program.base(), program.address());
        tasks.spawn(async move {
            for number in (0..calls).filter(|number| number % 4 == lane) {
                one_call(&base, &address, number / 4).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// One of many kinds of calls. What comes of it is not asked here.
async fn one_call(base: &str, address: &str, number: u64) {
    let client = client(base, number);
    let prompt = format!("{PROMPT} number {number}");
    let chat =
        json!({"model": "m", "messages": [{"role": "user", "content": prompt}], "user": PROMPT});
    let with = |name: &str, value: Value| {
        let mut body = chat.clone();
        body[name] = value;
        body
    };
    let said = |word: &str| json!([{"role": "user", "content": format!("{prompt} {word}")}]);
    let contents = json!([{"role": "user", "parts": [{"text": prompt}]}]);
    let tool = json!([{"type": "function", "function": {"name": "look_up", "description": PROMPT,
        "parameters": {"type": "object", "properties": {}}}}]);
    let (path, body) = match number % 20 {
        0 => ("/v1/chat/completions".to_owned(), chat),
        1 => ("/v1/chat/completions".to_owned(), with("stream", json!(true))),
        2 => ("/v1/messages".to_owned(), with("max_tokens", json!(50))),
        3 => ("/v1beta/models/m:generateContent".to_owned(), json!({"contents": contents})),
        4 => (
            "/v1beta/models/m:streamGenerateContent?alt=sse".to_owned(),
            json!({"contents": contents}),
        ),
        5 => (
            "/v1/responses".to_owned(),
            json!({"model": "m", "input": prompt, "instructions": PROMPT}),
        ),
        6 => ("/v1/embeddings".to_owned(), json!({"model": "e", "input": prompt})),
        7 => ("/v1/chat/completions".to_owned(), with("messages", said("fail-500"))),
        8 => ("/v1/chat/completions".to_owned(), with("messages", said("fail-400"))),
        9 => ("/v1/chat/completions".to_owned(), with("messages", said("garbage"))),
        10 => {
            let mut body = with("messages", said("cut-me"));
            body["stream"] = json!(true);
            ("/v1/chat/completions".to_owned(), body)
        }
        11 => ("/providers/up/v1/chat/completions".to_owned(), chat),
        12 => (format!("/providers/up/v1/other/{HEADER}?secret={HEADER}"), chat),
        13 => ("/v1/chat/completions".to_owned(), with("model", json!(PROMPT))),
        14 => (format!("/v1/{HEADER}?key={WRONG_KEY}"), chat),
        15 => ("/v1/messages/count_tokens".to_owned(), with("max_tokens", json!(50))),
        16 => ("/v1/chat/completions".to_owned(), with("tools", tool)),
        17 => ("/v1/messages".to_owned(), with("unknown_field", json!(PROMPT))),
        18 => ("/v1/chat/completions".to_owned(), json!(format!("{PROMPT} and no object"))),
        _ => return hang_up(address, &with("stream", json!(true))).await,
    };
    let mut bytes = serde_json::to_vec(&body).unwrap();
    if number % 40 == 18 {
        // Cut in the midst of the prompt.
        bytes.truncate(bytes.len() / 2);
    }
    drop(client.send(Method::POST, &path, bytes.into()).await);
}

/// Different ways to say who calls.
fn client(base: &str, number: u64) -> Http {
    let client = Http::without_key(base).with("x-canary", HEADER).with("cookie", HEADER);
    match number % 7 {
        0 => client.with("x-api-key", GOOD_KEY),
        1 => client.with("x-goog-api-key", GOOD_KEY),
        2 => client.with("authorization", &format!("Bearer {WRONG_KEY}")),
        3 => client.with("authorization", &format!("Bearer {KEY}")).with("user-agent", HEADER),
        _ => client.with("authorization", &format!("Bearer {GOOD_KEY}")),
    }
}

/// Reads the beginning of a stream and leaves.
async fn hang_up(address: &str, body: &Value) {
    let body = body.to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {HEADER}\r\nauthorization: Bearer {GOOD_KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut raw = Raw::connect(address).await;
    if raw.send(request).await {
        raw.read_until(b"\n\n", SOON).await;
    }
}
