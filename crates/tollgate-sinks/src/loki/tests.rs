//! The sink against a receiver of pushes.

use serde_json::{Value, json};
use tollgate_testkit::upstream::{Reply, Upstream};

use super::*;
use crate::event::Call;
use crate::sample::{PATIENCE, body, call, http, line, no_tls, record};
use crate::settings::Secret;
use crate::worker::{Delivery, Sink as _};

fn sink(upstream: &Upstream) -> Loki {
    let mut http = http(&upstream.url(""));
    http.headers = vec![("x-scope-orgid".to_owned(), Secret::new("team-a"))];
    let labels = [("service_name", "tollgate"), ("env", "test"), ("level", "mine")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Loki::new(&LokiConfig { http, labels }, line, no_tls(), PATIENCE)
}

#[tokio::test]
async fn lines_are_pushed_in_few_streams_with_ids_as_metadata() {
    let upstream = Upstream::always(Reply::status(204)).await;
    let mut failed = record(3);
    failed.status = 502;
    let batch: Vec<Call> = vec![call(2), Arc::new(failed), call(1)];
    assert_eq!(sink(&upstream).send(&batch).await, Delivery::taken());
    let request = upstream.last();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/loki/api/v1/push"));
    assert_eq!(request.header("x-scope-orgid"), Some("team-a"));
    let push: Value = serde_json::from_slice(&body(&request)).unwrap();
    let streams = push["streams"].as_array().unwrap();
    let labels: Vec<&Value> = streams.iter().map(|stream| &stream["stream"]).collect();
    let stream = |level| json!({"service_name": "tollgate", "env": "test", "level": level});
    assert_eq!(labels, [&stream("info"), &stream("error")]);
    let values = streams[0]["values"].as_array().unwrap();
    let times: Vec<&Value> = values.iter().map(|value| &value[0]).collect();
    assert_eq!(times, ["1795263743001000000", "1795263743002000000"], "in order");
    let line: Value = serde_json::from_str(values[0][1].as_str().unwrap()).unwrap();
    assert_eq!(line["request_id"], "req-1");
    let metadata = json!({"call_id": call(1).call_id, "request_id": "req-1",
        "provider": "openai", "model": "gpt-4o-mini-2024-07-18", "status": "200"});
    assert_eq!(values[0][2], metadata);
}

#[tokio::test]
async fn refusals_are_divided_and_overload_waits() {
    let upstream = Upstream::always(Reply::status(400)).await;
    let mut sink = sink(&upstream);
    assert!(matches!(sink.send(&[call(1)]).await, Delivery::Divide { .. }));
    upstream.answer(Reply::status(429).header("retry-after", "3"));
    let after = Some(Duration::from_secs(3));
    assert_eq!(
        sink.send(&[call(1)]).await,
        Delivery::Later { why: "it answers 429".into(), after }
    );
}
