//! What the OTLP sink sends, decoded by the classes of `opentelemetry-proto`: an encoder that nobody
//! here wrote.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tollgate_testkit::oracle;
use tollgate_testkit::upstream::{Reply, Upstream};
use tollgate_testkit::wait::eventually;

use super::tests;
use crate::{SOON, oracle_config, start};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs scripts/setup-sdk"]
async fn the_messages_of_the_otlp_sink_are_what_its_definitions_say() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let collector = Upstream::always(Reply::status(200)).await;
    let config = oracle_config(&upstream).section(&format!(
        "[[logs.sinks]]\nkind = \"otlp\"\nurl = \"{}\"\ngzip = false\nconventions = \"both\"\n\
         batch = {{ age = \"20ms\" }}",
        collector.url("")
    ));
    let program = start(config).await;
    for number in 0..20 {
        let request = oracle::request(number, true);
        let answer = program.client().post("/v1/chat/completions", &request).await;
        assert_eq!(answer.status, 200);
    }
    let folder = tempfile::tempdir().unwrap();
    let decoded = eventually("all calls are there", SOON, || async {
        for (at, request) in collector.received().iter().enumerate() {
            let signal = request.path.trim_start_matches("/v1/");
            std::fs::write(folder.path().join(format!("{at:04}.{signal}")), &request.body).unwrap();
        }
        let decoded = decode(folder.path());
        if decoded["spans"] == 20 && decoded["records"] == 20 {
            Ok(decoded)
        } else {
            Err(decoded.to_string())
        }
    })
    .await;
    let usage = (0..20).map(oracle::usage);
    let (input, output) = usage.fold((0, 0), |sum, it| (sum.0 + it.input, sum.1 + it.output));
    assert_eq!(
        (&decoded["input_tokens"], &decoded["output_tokens"]),
        (&input.into(), &output.into())
    );
    let cost: i64 = (0..20).map(|number| oracle::cost(number).nanos()).sum();
    assert_eq!(decoded["cost_nano_usd"], cost);
    assert_eq!(decoded["calls_timed"], 20);
    assert_eq!(decoded["unknown_fields"], 0, "{decoded}");
}

fn decode(folder: &std::path::Path) -> Value {
    let python = tests().join("../../.cache/venv/bin/python");
    let output = Command::new(python)
        .arg(tests().join("python/otlp.py"))
        .arg(folder)
        .output()
        .expect("run scripts/setup-sdk first");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}
