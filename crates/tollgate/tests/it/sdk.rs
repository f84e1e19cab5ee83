//! Real clients, in Python and Node, against the running program. They need what
//! `scripts/setup-sdk` installs, so they run only when asked for: `scripts/test-sdk`.

mod alerts;
mod checks;
mod fixture;
mod matrix;
mod otlp;
mod received;
mod refusals;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tollgate_testkit::config::{Config, KEY};
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Received, Reply, Upstream};

use crate::start;

const RATES: [(&str, &str); 2] = [("input", "1.00"), ("output", "2.00")];

/// Models of the scripted provider, by the variable under which a client finds them.
const SCRIPTED: [(&str, &str); 10] = [
    ("MODEL_CHAT", "sdk-chat"),
    ("MODEL_TOOLS", "sdk-tools"),
    ("MODEL_STRUCTURED", "sdk-structured"),
    ("MODEL_EMBED", "sdk-embed"),
    ("MODEL_RESPONSES", "sdk-responses"),
    ("MODEL_BAD_REQUEST", "sdk-400"),
    ("MODEL_RATE_LIMITED", "sdk-429"),
    ("MODEL_FAILING", "sdk-500"),
    ("MODEL_QUOTA", "sdk-quota"),
    ("MODEL_RATE", "sdk-rate"),
];

/// One call a day, and one in two seconds.
const LIMITS: [&str; 2] = [
    r#"{ name = "quota", metric = "requests", window = "day", max = 1, models = ["sdk-quota"] }"#,
    r#"{ name = "rate", metric = "requests", window = "sliding 2s", max = 1, models = ["sdk-rate"] }"#,
];

fn error(status: u16, kind: &str) -> Reply {
    let error = json!({"message": "a scripted failure", "type": kind, "param": null, "code": null});
    Reply::json(status, &json!({"error": error}))
}

fn completion(message: &Value, finish: &str) -> Reply {
    Reply::json(
        200,
        &json!({
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_764_000_000,
            "model": "sdk-chat",
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": null}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
        }),
    )
}

fn streamed(include_usage: bool) -> Reply {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_764_000_000,
            "model": "sdk-chat", "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": null}]);
    let mut events = vec![
        chunk(choice(json!({"role": "assistant", "content": ""}), Value::Null), Value::Null),
        chunk(choice(json!({"content": "Hello"}), Value::Null), Value::Null),
        chunk(choice(json!({"content": "!"}), Value::Null), Value::Null),
        chunk(choice(json!({}), json!("stop")), Value::Null),
    ];
    if include_usage {
        let usage = json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8});
        events.push(chunk(json!([]), usage));
    }
    events.push("data: [DONE]\n\n".to_owned());
    Reply::events(events)
}

fn response(status: &str) -> Value {
    let done = status == "completed";
    let text = json!({"type": "output_text", "text": "Hello!", "annotations": []});
    let message = json!({
        "type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [text],
    });
    json!({
        "id": "resp_1", "object": "response", "created_at": 1_764_000_000, "status": status,
        "model": "sdk-responses", "error": null, "incomplete_details": null, "instructions": null,
        "metadata": {}, "parallel_tool_calls": true, "temperature": 1.0, "top_p": 1.0,
        "tool_choice": "auto", "tools": [],
        "output": if done { json!([message]) } else { json!([]) },
        "usage": if done {
            json!({
                "input_tokens": 5, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 8,
            })
        } else {
            Value::Null
        },
    })
}

fn response_events() -> Reply {
    let mut events = vec![
        json!({"type": "response.created", "response": response("in_progress")}),
        json!({"type": "response.in_progress", "response": response("in_progress")}),
        json!({
            "type": "response.output_item.added", "output_index": 0,
            "item": {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant",
                     "content": []},
        }),
        json!({
            "type": "response.content_part.added", "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []},
        }),
    ];
    for delta in ["Hello", "!"] {
        events.push(json!({
            "type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "delta": delta, "logprobs": [],
        }));
    }
    events.push(json!({"type": "response.completed", "response": response("completed")}));
    let events = events.into_iter().enumerate().map(|(at, mut event)| {
        event["sequence_number"] = json!(at);
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
    });
    Reply::events(events)
}

fn embeddings(body: &Value) -> Reply {
    let count = body["input"].as_array().map_or(1, Vec::len);
    // Two floats, 1.0 and -2.0, little-endian in base64 where that form is asked for.
    let vector = if body["encoding_format"] == "base64" {
        json!("AACAPwAAAMA=")
    } else {
        json!([1.0, -2.0])
    };
    let data: Vec<Value> = (0..count)
        .map(|at| json!({"object": "embedding", "index": at, "embedding": vector}))
        .collect();
    let usage = json!({"prompt_tokens": 2, "total_tokens": 2});
    Reply::json(200, &json!({"object": "list", "model": "sdk-embed", "data": data, "usage": usage}))
}

fn scripted(request: &Received) -> Reply {
    let body = request.json();
    let stream = body["stream"] == true;
    match body["model"].as_str().unwrap_or_default() {
        "sdk-chat" if stream => streamed(body["stream_options"]["include_usage"] == true),
        "sdk-chat" | "sdk-quota" | "sdk-rate" => {
            completion(&json!({"role": "assistant", "content": "Hello!"}), "stop")
        }
        "sdk-tools" => {
            let call = json!({
                "id": "call_1", "type": "function",
                "function": {"name": "weather", "arguments": "{\"city\":\"Seoul\"}"},
            });
            let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
            completion(&message, "tool_calls")
        }
        "sdk-structured" => {
            let content = "{\"name\":\"Seoul\",\"population\":9400000}";
            completion(&json!({"role": "assistant", "content": content}), "stop")
        }
        "sdk-embed" => embeddings(&body),
        "sdk-responses" if stream => response_events(),
        "sdk-responses" => Reply::json(200, &response("completed")),
        "sdk-400" => error(400, "invalid_request_error"),
        "sdk-429" => error(429, "rate_limit_error").header("retry-after", "1"),
        "sdk-500" => error(500, "server_error"),
        other => panic!("no script for {other:?} at {}", request.path),
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sdk")
}

fn run_clients(program: &Program, models: &[(&str, &str)]) {
    let python = tests().join("../../.cache/venv/bin/python");
    let mut commands = [Command::new(python), Command::new("node")];
    commands[0].arg(tests().join("python/test_openai.py"));
    commands[1].args(["--test", "--test-reporter=spec"]).arg(tests().join("node/openai.test.mjs"));
    let mut failed = Vec::new();
    for command in &mut commands {
        command
            .env("TOLLGATE_BASE_URL", format!("{}/v1", program.base()))
            .env("TOLLGATE_KEY", KEY)
            .envs(models.iter().copied());
        let output = command.output().expect("run scripts/setup-sdk first");
        println!("{}", String::from_utf8_lossy(&output.stdout));
        println!("{}", String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            failed.push(command.get_program().to_owned());
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs scripts/setup-sdk; run by scripts/test-sdk"]
async fn clients_work_before_a_scripted_provider() {
    let upstream = Upstream::start(scripted).await;
    let mut config = Config::new()
        .provider("up", "openai", &upstream.url("/v1"))
        .plan("limited", &LIMITS)
        .default_plan("limited");
    for (_, model) in SCRIPTED {
        config = config.model(model, "up", model).price("up", model, &RATES);
    }
    let program = start(config).await;
    run_clients(&program, &SCRIPTED);
    for row in program.calls() {
        if row["outcome"] == "success" {
            assert_eq!(row["estimated"], false, "{row:#}");
            assert_ne!(row["cost_usd"], "0.000000000", "{row:#}");
        }
    }
    for client in ["python", "node"] {
        assert_eq!(outcomes(&program, &format!("quota-{client}")), ["refused"], "sent once");
        let waited = outcomes(&program, &format!("rate-{client}"));
        let (last, refused) = waited.split_first().unwrap();
        assert_eq!(last, "success", "{waited:?}");
        assert!(!refused.is_empty() && refused.iter().all(|it| it == "refused"), "{waited:?}");
    }
    program.cli(&["ledger", "verify"]);
}

/// How the requests with this id ended, newest first: an SDK sends the id again when it tries again.
fn outcomes(program: &Program, request_id: &str) -> Vec<String> {
    let rows = program.cli(&["calls", "--request-id", request_id, "--format", "json"]).rows();
    rows.iter().map(|row| row["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs scripts/setup-sdk; run by scripts/test-sdk"]
async fn clients_work_before_the_simulated_provider() {
    let config = Config::new()
        .section("[providers.sim]\nkind = \"simulated\"\nlatency = \"5ms\"\nerror_rate = 0.0")
        .model("sim-large", "sim", "sim-large")
        .price("sim", "sim-large", &RATES);
    let program = start(config).await;
    run_clients(&program, &[("MODEL_CHAT", "sim-large")]);
    program.cli(&["ledger", "verify"]);
}
