//! Calls that nobody could settle: in doubt at what they hold, and nowhere missing.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Gate, Piece, Reply, Upstream};
use tollgate_testkit::wait::eventually;

use crate::{SOON, start};

/// A program before a provider that promises an answer in the background and then answers a
/// question for it with `reply`.
async fn promised(reply: Reply) -> (Upstream, Program) {
    let promise = json!({"id": "resp_1", "object": "response", "status": "queued",
        "background": true, "model": oracle::MODEL, "output": []});
    let upstream = Upstream::start(move |request| {
        if request.method == "POST" { Reply::json(200, &promise) } else { reply.clone() }
    })
    .await;
    let config = Config::new().provider("openai", "openai", &upstream.url("/v1")).price(
        "openai",
        oracle::MODEL,
        &oracle::PRICES,
    );
    let program = start(config).await;
    let body = json!({"model": oracle::MODEL, "input": "hi", "background": true,
        "max_output_tokens": 100});
    let client = program.client().with("x-request-id", "promise");
    assert_eq!(client.post("/v1/responses", &body).await.status, 200);
    (upstream, program)
}

fn samples<'a>(metrics: &'a str, name: &'a str) -> impl Iterator<Item = f64> + 'a {
    let lines = metrics.lines().filter(move |line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_gone_is_in_the_ledger_and_in_the_metrics() {
    let (_upstream, program) = promised(Reply::status(404)).await;
    let metrics = eventually("the call is counted", SOON, || async {
        let text = program.admin().get("/metrics").await.text();
        let counted = samples(&text, "tollgate_requests_total{").sum::<f64>();
        if counted > 0.5 { Ok(text) } else { Err(text) }
    })
    .await;
    let rows = program.calls();
    assert_eq!((rows.len(), &rows[0]["outcome"]), (1, &json!("in_doubt")), "{rows:#?}");
    let cost: NanoUsd = rows[0]["cost_usd"].as_str().unwrap().parse().unwrap();
    assert!(cost > NanoUsd::ZERO, "{rows:#?}");
    let near = |name: &str, expected: f64| {
        let sum: f64 = samples(&metrics, name).sum();
        assert!((sum - expected).abs() < 1e-12, "{name}: {sum} is not {expected}\n{metrics}");
    };
    near("tollgate_requests_total{", 1.0);
    near("tollgate_cost_usd_total{", cost.to_string().parse().unwrap());
    near("tollgate_inflight", 0.0);
    let tokens = |field: &str| rows[0][field].as_f64().unwrap();
    near("tollgate_tokens_total{", tokens("input_tokens") + tokens("output_tokens"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_end_of_the_program_leaves_open_has_its_line_in_the_log() {
    let gate = Gate::new();
    let pending = json!({"id": "resp_1", "object": "response", "status": "in_progress",
        "background": true, "model": oracle::MODEL, "output": []});
    let reply = Reply::json(200, &pending).first(Piece::Gate(gate.clone()));
    let (_upstream, mut program) = promised(reply).await;
    tokio::time::timeout(SOON, gate.reached()).await.expect("the answer was not asked for");
    program.sigterm();
    let status = program.exited(Duration::from_secs(20)).await.expect("the program did not end");
    assert_eq!(status.code(), Some(0), "{}", program.log());
    let log = program.log();
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["request_id"] == "promise")
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    let rows = program.calls();
    assert_eq!((rows.len(), &rows[0]["outcome"]), (1, &json!("in_doubt")), "{rows:#?}");
    assert_eq!(lines[0]["cost_usd"], rows[0]["cost_usd"], "{log}");
}
