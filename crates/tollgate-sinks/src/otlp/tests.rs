//! The sink against a collector: what it is told of a call in each generation of the conventions,
//! what is counted once, what is sent again. That the bytes are protobuf is tested with the classes of
//! `opentelemetry-proto` as well (`scripts/test-sdk`).

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::usage::Usage;
use tollgate_testkit::upstream::{Received, Reply, Upstream};

use super::*;
use crate::event::{Call, Event as _};
use crate::sample::{PATIENCE, body, call, http, line, no_tls, record};
use crate::worker::{Delivery, Sink as _};

const LATEST: Conventions = Conventions { old: false, latest: true };
const OLD: Conventions = Conventions { old: true, latest: false };

fn config(upstream: &Upstream, conventions: Conventions, encoding: Encoding) -> OtlpConfig {
    let vendor = Vendor {
        name: "azure.ai.openai".to_owned(),
        system: "az.ai.openai".to_owned(),
        host: Some("east.example.com".to_owned()),
        port: Some(443),
    };
    OtlpConfig {
        http: http(&upstream.url("")),
        encoding,
        traces: true,
        metrics: true,
        logs: true,
        sample_per_million: 1_000_000,
        conventions,
        resource: BTreeMap::from([("deployment.environment.name".to_owned(), "test".to_owned())]),
        vendors: BTreeMap::from([("openai".to_owned(), vendor)]),
    }
}

fn sink(config: &OtlpConfig) -> Otlp {
    Otlp::new(config, (line, Clock::system()), no_tls(), PATIENCE)
}

async fn collector() -> Upstream {
    Upstream::always(Reply::json(200, &json!({}))).await
}

/// The attributes of an item, as a map from name to value.
fn attributes(item: &Value) -> BTreeMap<String, Value> {
    let all = item["attributes"].as_array().unwrap();
    let pair = |each: &Value| {
        let value = each["value"].as_object().unwrap().values().next().unwrap().clone();
        (each["key"].as_str().unwrap().to_owned(), value)
    };
    all.iter().map(pair).collect()
}

/// The items of the last request to a path.
fn items(upstream: &Upstream, path: &str) -> Vec<Value> {
    let received = upstream.received();
    let request = received.iter().rfind(|it| it.path == path).unwrap_or_else(|| panic!("{path}"));
    let message: Value = serde_json::from_slice(&body(request)).unwrap();
    let (resources, scopes, items) = match path {
        "/v1/traces" => ("resourceSpans", "scopeSpans", "spans"),
        "/v1/logs" => ("resourceLogs", "scopeLogs", "logRecords"),
        _ => ("resourceMetrics", "scopeMetrics", "metrics"),
    };
    let resource = &message[resources][0];
    assert_eq!(attributes(&resource["resource"])["service.name"], "tollgate");
    assert_eq!(attributes(&resource["resource"])["deployment.environment.name"], "test");
    resource[scopes][0][items].as_array().unwrap().clone()
}

fn streamed() -> CallRecord {
    let usage = Usage {
        cache_read: 10,
        cache_write: 5,
        reasoning: 7,
        input_text: 30,
        input_image: 10,
        ..Usage::tokens(40, 21)
    };
    CallRecord { stream: true, usage, session: Some("run-7".into()), ..record(1) }
}

#[tokio::test]
async fn a_span_says_in_the_latest_words_what_was_called_and_what_it_used() {
    let upstream = collector().await;
    let config = config(&upstream, LATEST, Encoding::Json);
    assert_eq!(sink(&config).send(&[Arc::new(streamed())]).await, Delivery::taken());
    let [span] = &items(&upstream, "/v1/traces")[..] else { panic!() };
    assert_eq!((&span["name"], &span["kind"]), (&json!("chat gpt-4o-mini"), &json!(3)));
    assert_eq!(span["startTimeUnixNano"], "1795263743001000000");
    assert_eq!(span["endTimeUnixNano"], "1795263743413345000");
    assert_eq!(span["traceId"], record(1).call_id.to_string().replace('-', ""));
    assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
    assert_eq!(span.get("status"), None);
    let all = attributes(span);
    for (name, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("azure.ai.openai")),
        ("gen_ai.request.model", json!("gpt-4o-mini")),
        ("gen_ai.response.model", json!("gpt-4o-mini-2024-07-18")),
        ("gen_ai.request.stream", json!(true)),
        ("gen_ai.response.time_to_first_chunk", json!(0.398)),
        ("gen_ai.conversation.id", json!("run-7")),
        ("gen_ai.usage.input_tokens", json!("40")),
        ("gen_ai.usage.output_tokens", json!("21")),
        ("gen_ai.usage.cache_read.input_tokens", json!("10")),
        ("gen_ai.usage.cache_write.input_tokens", json!("5")),
        ("gen_ai.usage.reasoning.output_tokens", json!("7")),
        ("gen_ai.usage.image.input_tokens", json!("10")),
        ("server.address", json!("east.example.com")),
        ("server.port", json!("443")),
        ("tollgate.cost.usd", json!("0.000018000")),
        ("tollgate.cost.nano_usd", json!("18000")),
    ] {
        assert_eq!(all.get(name), Some(&value), "{name}");
    }
    assert!(!all.contains_key("gen_ai.system") && !all.contains_key("error.type"));
    assert!(!all.contains_key("gen_ai.usage.cache_creation.input_tokens"));
}

#[tokio::test]
async fn the_old_words_and_both_are_sent_where_they_are_wanted() {
    for conventions in [OLD, Conventions { old: true, latest: true }] {
        let upstream = collector().await;
        let config = config(&upstream, conventions, Encoding::Json);
        assert_eq!(sink(&config).send(&[Arc::new(streamed())]).await, Delivery::taken());
        let all = attributes(&items(&upstream, "/v1/traces")[0]);
        assert_eq!(all["gen_ai.system"], "az.ai.openai");
        assert_eq!(all["gen_ai.usage.cache_creation.input_tokens"], "5");
        assert_eq!(all.contains_key("gen_ai.usage.cache_write.input_tokens"), conventions.latest);
        let names = names(&items(&upstream, "/v1/metrics"));
        assert!(names.contains(&"gen_ai.client.token.usage".to_owned()), "{names:?}");
        let latest = "gen_ai.client.inference.usage.input_tokens".to_owned();
        assert_eq!(names.contains(&latest), conventions.latest);
    }
}

fn names(metrics: &[Value]) -> Vec<String> {
    metrics.iter().map(|metric| metric["name"].as_str().unwrap().to_owned()).collect()
}

fn metric(metrics: &[Value], name: &str) -> Value {
    let found = metrics.iter().find(|metric| metric["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not among {:?}", names(metrics))).clone()
}

#[tokio::test]
async fn metrics_add_up_over_batches_and_count_a_repeated_batch_once() {
    let upstream = collector().await;
    let mut sink = sink(&config(&upstream, LATEST, Encoding::Json));
    assert_eq!(sink.send(&[Arc::new(streamed()), call(2)]).await, Delivery::taken());
    let failing = Mutex::new(true);
    upstream.answer_with(move |request| {
        let fails = request.path == "/v1/metrics" && std::mem::take(&mut *failing.lock());
        if fails { Reply::status(503) } else { Reply::json(200, &json!({})) }
    });
    let mut failed = record(3);
    (failed.status, failed.outcome) = (502, Outcome::Failed);
    failed.error_type = Some("upstream_error".into());
    let batch: Vec<Call> = vec![Arc::new(failed)];
    assert!(matches!(sink.send(&batch).await, Delivery::Later { .. }));
    let before = paths(&upstream).len();
    assert_eq!(sink.send(&batch).await, Delivery::taken());
    assert_eq!(paths(&upstream)[before..], ["/v1/metrics", "/v1/logs"], "it has the spans");
    let metrics = items(&upstream, "/v1/metrics");
    let input = metric(&metrics, "gen_ai.client.inference.usage.input_tokens");
    assert_eq!((&input["sum"]["isMonotonic"], &input["unit"]), (&json!(true), &json!("{token}")));
    let points = input["sum"]["dataPoints"].as_array().unwrap();
    let by_modality: BTreeMap<String, &str> = points
        .iter()
        .map(|point| {
            let modality = attributes(point)["gen_ai.token.modality"].as_str().unwrap().to_owned();
            (modality, point["asInt"].as_str().unwrap())
        })
        .collect();
    let expected = [("image", "10"), ("text", "30"), ("unknown", "80")];
    assert_eq!(by_modality, expected.map(|(name, sum)| (name.to_owned(), sum)).into());
    let duration = metric(&metrics, "gen_ai.client.inference.duration");
    let points = duration["histogram"]["dataPoints"].as_array().unwrap();
    let counts: Vec<&Value> = points.iter().map(|point| &point["count"]).collect();
    assert_eq!(counts, ["2", "1"], "the failed one has an error.type");
    assert_eq!(attributes(&points[1])["error.type"], "upstream_error");
    assert_eq!(points[0]["bucketCounts"].as_array().unwrap().len(), 15);
    let cost = &metric(&metrics, "tollgate.cost")["sum"]["dataPoints"][0]["asDouble"];
    assert!((cost.as_f64().unwrap() - 0.000_054).abs() < 1e-12, "{cost}");
}

fn paths(upstream: &Upstream) -> Vec<String> {
    upstream.received().into_iter().map(|request| request.path).collect()
}

#[tokio::test]
async fn a_refused_call_is_a_record_and_no_span() {
    let upstream = collector().await;
    let mut refused = record(1);
    refused.provider = "".into();
    (refused.outcome, refused.status) = (Outcome::Refused, 429);
    let config = config(&upstream, LATEST, Encoding::Json);
    assert_eq!(sink(&config).send(&[Arc::new(refused)]).await, Delivery::taken());
    assert_eq!(paths(&upstream), ["/v1/metrics", "/v1/logs"]);
    let [record] = &items(&upstream, "/v1/logs")[..] else { panic!() };
    assert_eq!(attributes(record)["http.response.status_code"], "429");
    assert_eq!(
        (&record["severityNumber"], &record["eventName"]),
        (&json!(9), &json!("tollgate.call"))
    );
    let body: Value =
        serde_json::from_str(record["body"]["stringValue"].as_str().unwrap()).unwrap();
    assert_eq!(body["request_id"], "req-1");
}

#[tokio::test]
async fn what_a_collector_rejects_of_a_batch_is_counted() {
    let partial = |count: Value| json!({"partialSuccess": {"rejectedSpans": count}});
    for (encoding, reply) in [
        (Encoding::Json, Reply::json(200, &partial(json!("3")))),
        (Encoding::Json, Reply::json(200, &partial(json!(3)))),
        (Encoding::Protobuf, Reply::status(200).whole(vec![0x0a, 2, 0x08, 3])),
    ] {
        let upstream = Upstream::always(reply).await;
        let config =
            OtlpConfig { metrics: false, logs: false, ..config(&upstream, LATEST, encoding) };
        let batch: Vec<Call> = (0..10).map(call).collect();
        let delivery = sink(&config).send(&batch).await;
        assert!(matches!(delivery, Delivery::Taken { refused: 3, .. }), "{delivery:?}");
        let wanted = config.encoding.content_type();
        assert_eq!(upstream.last().header("content-type"), Some(wanted));
    }
}

#[tokio::test]
async fn what_is_too_much_at_once_is_sent_in_halves() {
    let answer = |request: &Received| {
        let spans = serde_json::from_slice::<Value>(&body(request)).unwrap();
        let spans = spans["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().len();
        if spans > 3 { Reply::status(413) } else { Reply::json(200, &json!({})) }
    };
    let upstream = Upstream::start(answer).await;
    let config =
        OtlpConfig { metrics: false, logs: false, ..config(&upstream, LATEST, Encoding::Json) };
    let batch: Vec<Call> = (0..10).map(call).collect();
    assert_eq!(sink(&config).send(&batch).await, Delivery::taken());
    assert_eq!(upstream.count(), 7);
}

#[test]
fn a_share_of_the_calls_is_sampled_always_the_same() {
    let sampled = |per_million| (0..4_000).filter(|n| is_sampled(&spread(*n), per_million)).count();
    assert_eq!((sampled(0), sampled(1_000_000)), (0, 4_000));
    let tenth = sampled(100_000);
    assert!((300..500).contains(&tenth), "{tenth}");
}

/// A call whose id looks random.
fn spread(n: u64) -> CallRecord {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    CallRecord { call_id: tollgate_domain::id::CallId::new(1, random), ..record(n) }
}

/// A call in the trace of its client.
fn traced(n: u64, traceparent: &str) -> Call {
    Arc::new(CallRecord { trace: Some(traceparent.parse().unwrap()), ..spread(n) })
}

#[tokio::test]
async fn a_call_in_a_clients_trace_is_a_span_below_the_clients() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";
    let upstream = collector().await;
    // The client's word on what is recorded comes before the share.
    let config = OtlpConfig { sample_per_million: 0, ..config(&upstream, LATEST, Encoding::Json) };
    let batch = [
        traced(1, &format!("00-{TRACE}-{SPAN}-01")),
        traced(2, &format!("00-{TRACE}-{SPAN}-00")),
        call(3),
    ];
    assert_eq!(sink(&config).send(&batch).await, Delivery::taken());
    let [span] = &items(&upstream, "/v1/traces")[..] else { panic!() };
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(SPAN)));
    assert_eq!(span["flags"], 0x301, "sampled, and the parent is in another program");
    let id = spread(1).call_id.to_string().replace('-', "");
    assert_eq!(span["spanId"].as_str(), id.get(16..));
    let records = items(&upstream, "/v1/logs");
    assert_eq!((&records[0]["traceId"], &records[0]["spanId"]), (&json!(TRACE), &span["spanId"]));
    let flags = records.iter().map(|record| record.get("flags").cloned());
    assert_eq!(flags.collect::<Vec<_>>(), [Some(json!(1)), Some(json!(0)), None]);
    assert_eq!(records[2]["traceId"], record(3).call_id.to_string().replace('-', ""));
}

#[test]
fn a_call_that_waited_on_disk_is_still_in_its_trace_and_an_old_one_in_its_own() {
    let joined = traced(1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let bytes = joined.encode();
    assert_eq!(Call::decode(&bytes).unwrap().trace, joined.trace);
    // What was spooled before there were traces, and what has none, names none.
    let alone = call(2).encode();
    assert!(!String::from_utf8(alone.clone()).unwrap().contains("traceparent"));
    assert_eq!(Call::decode(&alone).unwrap().trace, None);
}

#[test]
fn endpoints_are_the_operations_of_the_conventions() {
    for (endpoint, name) in [
        ("/v1/chat/completions", "chat"),
        ("/v1/completions", "text_completion"),
        ("/v1/messages", "chat"),
        ("/v1/responses", "chat"),
        ("/v1/embeddings", "embeddings"),
        ("/v1beta/models:streamGenerateContent", "generate_content"),
        ("/v1beta/models:batchEmbedContents", "embeddings"),
        ("/v1/images/generations", "generate_image"),
    ] {
        assert_eq!(operation(endpoint), name);
    }
}

#[test]
fn protobuf_is_written_as_the_encoding_guide_says() {
    use super::sheet::{Protobuf, Sheet as _};
    let mut sheet = Protobuf::default();
    sheet.int((1, "a"), 150);
    sheet.text((2, "b"), "testing");
    sheet.message((3, "c"), &mut |within| within.int((1, "a"), 150));
    sheet.int((4, "d"), -1);
    sheet.fixeds((16, "e"), &[1]);
    sheet.fixed_word((16, "f"), 0x301);
    let expected: Vec<u8> = [
        &[0x08, 0x96, 0x01][..],
        &[0x12, 0x07],
        b"testing",
        &[0x1a, 0x03, 0x08, 0x96, 0x01],
        &[0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x82, 0x01, 0x08, 1, 0, 0, 0, 0, 0, 0, 0],
        &[0x85, 0x01, 0x01, 0x03, 0, 0],
    ]
    .concat();
    assert_eq!(sheet.finish(), expected);
}
