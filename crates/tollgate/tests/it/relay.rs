//! The relay: bytes, headers and time. What a client sees must be what the provider said, when it
//! said it.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::client::Http;
use tollgate_testkit::oracle;
use tollgate_testkit::upstream::{Answered, Gate, Piece, Reply, Upstream};

use crate::{SOON, assert_charged_as_foretold, oracle_config, oracle_pair, start};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_chunk_arrives_before_the_provider_sends_the_second() {
    let gate = Gate::new();
    let events = oracle::events(7, true);
    let reply = Reply::events(events.clone()).after(1, Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let program = start(oracle_config(&upstream)).await;
    let mut body = oracle::request(7, true);
    body["stream_options"] = json!({"include_usage": true});

    let mut stream = program.client().stream(CHAT, &body).await;
    assert_eq!(stream.status, 200);
    let first = tokio::time::timeout(SOON, stream.next()).await.expect("the chunk was held back");
    assert_eq!(first.unwrap().unwrap(), events[0]);
    assert_eq!(upstream.last().answer, Answered::Running);
    gate.open();
    assert_eq!(stream.rest().await, events[1..].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_stream_arrives_before_its_first_event() {
    let gate = Gate::new();
    let reply = Reply::events(oracle::events(8, true)).after(0, Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let program = start(oracle_config(&upstream)).await;
    let mut stream = program.client().stream(CHAT, &oracle::request(8, true)).await;
    assert_eq!(stream.status, 200);
    gate.open();
    assert!(stream.rest().await.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_tells_who_served_it_and_under_which_id() {
    let (_upstream, program) = oracle_pair(Duration::ZERO).await;
    let answer = program
        .client()
        .with("x-request-id", "mine-1")
        .post(CHAT, &oracle::request(1, false))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json(), oracle::answer(1));
    let call_id = answer.header("x-tollgate-call-id").to_owned();
    assert_eq!(call_id.len(), 36, "{call_id:?}");
    assert_eq!(answer.header("x-request-id"), "mine-1");
    assert_eq!(answer.header("x-tollgate-provider"), "up");
    assert_eq!(answer.header("x-tollgate-model"), oracle::MODEL);
    assert_eq!(answer.header("x-tollgate-attempts"), "1");
    let row = program.settled_call("mine-1").await;
    assert_eq!(row["call_id"], call_id);
    assert_eq!(row["key"], "backend");
    assert_eq!(row["outcome"], "success");
    assert_charged_as_foretold(&row, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insane_request_id_is_replaced() {
    let (_upstream, program) = oracle_pair(Duration::ZERO).await;
    for insane in ["x".repeat(10_000), "a b\tc".to_owned(), "{\"a\":1}\"".to_owned()] {
        let client = program.client().with("x-request-id", &insane);
        let answer = client.post(CHAT, &oracle::request(2, false)).await;
        let given = answer.header("x-request-id");
        assert!(!given.is_empty() && given != insane, "kept {given:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_key_names_the_end_user_and_labels_of_a_call() {
    let (_upstream, program) = oracle_pair(Duration::ZERO).await;
    let client = program
        .client()
        .with("x-request-id", "labels")
        .with("x-tollgate-user", "alice")
        .with("x-tollgate-session", "run-1")
        .with("x-tollgate-feature", "diary_analysis")
        .with("x-tollgate-tags", "team=blue,env=prod");
    assert_eq!(client.post(CHAT, &oracle::request(3, false)).await.status, 200);
    let row = program.settled_call("labels").await;
    assert_eq!(row["user"], "alice");
    assert_eq!(row["session"], "run-1");
    assert_eq!(row["feature"], "diary_analysis");
    assert_eq!(row["tags"], json!({"team": "blue", "env": "prod"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_caller_that_are_ours_do_not_reach_the_provider() {
    let (upstream, program) = oracle_pair(Duration::ZERO).await;
    let client = program
        .client()
        .with("x-tollgate-user", "alice")
        .with("x-api-key", "tg_other")
        .with("cookie", "session=secret")
        .with("openai-organization", "org-1");
    client.post(CHAT, &oracle::request(4, false)).await;
    client.post(CHAT, &oracle::request(5, false)).await;
    for received in upstream.received() {
        for (name, value) in &received.headers {
            assert!(!name.starts_with("x-tollgate"), "{name}: {value}");
            assert!(!value.contains("tg_"), "{name}: {value}");
            assert_ne!(name, "cookie");
        }
        assert_eq!(received.header("authorization"), Some("Bearer upstream-secret"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_credentials_and_models_are_listed_for_those_who_have_them() {
    let (upstream, program) = oracle_pair(Duration::ZERO).await;
    let anonymous = Http::without_key(&program.base());
    let health = anonymous.get("/health").await;
    assert_eq!(health.status, 200);
    assert_eq!(health.json()["status"], "ok");
    assert!(health.json()["uptime"].is_number(), "{}", health.text());
    for path in ["/livez", "/readyz"] {
        assert_eq!(anonymous.get(path).await.status, 200, "{path}");
    }
    assert!([401, 403].contains(&anonymous.get("/v1/models").await.status));
    let models = program.client().get("/v1/models").await;
    assert_eq!(models.status, 200);
    assert_eq!(models.json()["object"], "list");
    let data = models.json()["data"].as_array().cloned().unwrap();
    let listed = data.iter().find(|model| model["id"] == oracle::MODEL).expect("the model");
    assert_eq!(listed["object"], "model");
    assert_eq!(upstream.count(), 0, "listing models asks no provider");
    assert!(program.calls().is_empty(), "listing models is no call");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_a_stream_is_finished_and_the_program_leaves_with_zero() {
    let gate = Gate::new();
    let reply = Reply::events(oracle::events(9, true)).after(2, Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let mut program = start(oracle_config(&upstream)).await;
    let client = program.client().with("x-request-id", "last");
    let mut stream = client.stream(CHAT, &oracle::request(9, true)).await;
    assert!(stream.next().await.unwrap().is_some());

    program.sigterm();
    let refused = async {
        // New connections are refused, at once or as soon as the signal is handled.
        while tokio::net::TcpStream::connect(program.address()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, refused).await.expect("new connections are still accepted");
    gate.open();
    assert!(stream.rest().await.ends_with(b"data: [DONE]\n\n"));
    drop(stream);
    let status = program.exited(SOON).await.expect("the program did not end");
    assert_eq!(status.code(), Some(0), "{}", program.log());

    let row = program.settled_call("last").await;
    assert_eq!(row["outcome"], "success");
    assert_charged_as_foretold(&row, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_a_stream_that_never_ends_is_cut_after_the_grace_and_settled() {
    let reply = Reply::events(oracle::events(10, true)).after(2, Piece::Hang);
    let upstream = Upstream::always(reply).await;
    let mut program = start(oracle_config(&upstream).grace("500ms")).await;
    let client = program.client().with("x-request-id", "cut");
    let mut stream = client.stream(CHAT, &oracle::request(10, true)).await;
    assert!(stream.next().await.unwrap().is_some());
    program.sigterm();
    let status = program.exited(SOON).await.expect("the program did not end");
    assert_eq!(status.code(), Some(0), "{}", program.log());
    let rows = program.calls();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_ne!(rows[0]["outcome"], "in_doubt", "what remains is settled: {:#}", rows[0]);
    assert_ne!(rows[0]["outcome"], "success", "{:#}", rows[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_keep_alive_connection_does_not_delay_the_end() {
    let (_upstream, mut program) = oracle_pair(Duration::ZERO).await;
    let client = program.client();
    assert_eq!(client.post(CHAT, &oracle::request(11, false)).await.status, 200);
    program.sigterm();
    let status = program.exited(Duration::from_secs(5)).await.expect("the program did not end");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_one_line_a_call_and_no_secret_or_prompt() {
    let (_upstream, mut program) = oracle_pair(Duration::ZERO).await;
    let client = program.client();
    for (nonce, id) in [(20, "log-20"), (21, "log-21")] {
        client.with("x-request-id", id).post(CHAT, &oracle::request(nonce, nonce == 21)).await;
        program.settled_call(id).await;
    }
    program.sigterm();
    program.exited(SOON).await.expect("the program did not end");
    let log = program.log();
    for id in ["log-20", "log-21"] {
        let lines: Vec<Value> = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| line["request_id"] == id)
            .collect();
        assert_eq!(lines.len(), 1, "{id}: {lines:#?}\n{log}");
        assert_eq!(lines[0]["status"], 200);
        assert_eq!(lines[0]["model"], oracle::MODEL);
    }
    for secret in ["please count", "answer-0000", "tg_backend_for", "upstream-secret"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
