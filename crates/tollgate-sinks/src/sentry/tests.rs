//! The sink against a receiver of envelopes.

use parking_lot::Mutex;
use serde_json::Value;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_testkit::upstream::{Received, Reply, Upstream};

use super::report::{Frame, Panic};
use super::*;
use crate::event::Event as _;
use crate::sample::{PATIENCE, body, call, no_tls, record};
use crate::settings::Dsn;
use crate::worker::{Delivery, Sink as _};

fn config(upstream: &Upstream) -> SentryConfig {
    let url = upstream.url("/42").replace("http://", "http://publickey@");
    SentryConfig {
        dsn: Dsn::read(&url).unwrap(),
        environment: "test".to_owned(),
        release: "tollgate@1".to_owned(),
        upstream: true,
        sample_per_million: 0,
    }
}

fn sink(upstream: &Upstream) -> Sentry {
    Sentry::new(&config(upstream), Clock::system(), no_tls(), PATIENCE)
}

fn failing(n: u64, status: u16, code: &str) -> CallRecord {
    let outcome = Outcome::Failed;
    CallRecord { status, outcome, error_type: Some(code.into()), ..record(n) }
}

fn failed(n: u64) -> Report {
    Report::Failed(Arc::new(failing(n, 502, "upstream_error")))
}

/// Header, then kinds and payloads of the items, with their lengths checked.
fn envelope(request: &Received) -> (Value, Vec<(String, Value)>) {
    let text = String::from_utf8(body(request)).unwrap();
    let mut lines = text.lines();
    let header = serde_json::from_str(lines.next().unwrap()).unwrap();
    let mut items = Vec::new();
    while let Some(item) = lines.next() {
        let item: Value = serde_json::from_str(item).unwrap();
        let payload = lines.next().unwrap();
        assert_eq!(item["length"], payload.len());
        let kind = item["type"].as_str().unwrap().to_owned();
        items.push((kind, serde_json::from_str(payload).unwrap()));
    }
    (header, items)
}

#[tokio::test]
async fn a_failed_call_is_an_event_with_environment_release_and_trace() {
    let upstream = Upstream::always(Reply::status(200)).await;
    assert_eq!(sink(&upstream).send(&[failed(1)]).await, Delivery::taken());
    let request = upstream.last();
    assert_eq!(request.path, "/api/42/envelope/");
    assert_eq!(request.header("content-type"), Some("application/x-sentry-envelope"));
    let auth = request.header("x-sentry-auth").unwrap();
    assert!(
        auth.starts_with("Sentry sentry_version=7, ") && auth.ends_with("sentry_key=publickey")
    );
    let (header, items) = envelope(&request);
    let [(kind, event)] = &items[..] else { panic!("{items:?}") };
    assert_eq!((kind.as_str(), &header["event_id"]), ("event", &event["event_id"]));
    assert_eq!(event["event_id"], record(1).call_id.to_string().replace('-', ""));
    assert_eq!((&event["environment"], &event["release"]), (&"test".into(), &"tollgate@1".into()));
    assert_eq!(event["exception"]["values"][0]["type"], "upstream_error");
    assert_eq!(event["exception"]["values"][0]["value"], "502 on /v1/chat/completions from openai");
    assert_eq!(event["contexts"]["trace"]["trace_id"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn a_traced_call_is_a_transaction_with_an_id_of_its_own() {
    let upstream = Upstream::always(Reply::status(200)).await;
    assert_eq!(sink(&upstream).send(&[Report::Traced(call(1))]).await, Delivery::taken());
    let (_, items) = envelope(&upstream.last());
    let (kind, event) = &items[0];
    assert_eq!((kind.as_str(), &event["type"]), ("transaction", &"transaction".into()));
    assert_eq!(event["start_timestamp"], "2026-11-21T12:22:23.001Z");
    assert_eq!(event["timestamp"], "2026-11-21T12:22:23.413345Z");
    assert_ne!(event["event_id"], event["contexts"]["trace"]["trace_id"]);
}

#[tokio::test]
async fn a_limited_kind_is_dropped_counted_and_reported_later() {
    let upstream = Upstream::always(Reply::status(200)).await;
    let replies = Mutex::new(vec![
        Reply::status(200),
        Reply::status(429).header("x-sentry-rate-limits", "60:error:organization"),
    ]);
    upstream.answer_with(move |_| replies.lock().pop().unwrap());
    let mut sink = sink(&upstream);
    let batch = [failed(1), failed(2), failed(3), Report::Traced(call(4))];
    let delivery = sink.send(&batch).await;
    assert!(matches!(delivery, Delivery::Taken { refused: 3, .. }), "{delivery:?}");
    assert_eq!(upstream.count(), 2, "two were not even sent");
    let (_, items) = envelope(&upstream.last());
    let (kind, report) = &items[1];
    assert_eq!(kind, "client_report");
    let discarded = &report["discarded_events"][0];
    assert_eq!((&discarded["category"], &discarded["quantity"]), (&"error".into(), &2.into()));
}

#[tokio::test]
async fn what_came_after_a_failure_is_sent_again_and_nothing_before_it() {
    let upstream = Upstream::always(Reply::status(200)).await;
    let replies = Mutex::new(vec![Reply::status(503), Reply::status(200)]);
    upstream.answer_with(move |_| replies.lock().pop().unwrap());
    let delivery = sink(&upstream).send(&[failed(1), failed(2), failed(3)]).await;
    let why = "it answers 503".to_owned();
    assert_eq!(delivery, Delivery::Partly { again: vec![1, 2], refused: 0, why });
}

#[test]
fn our_own_faults_are_reported_and_those_of_providers_as_configured() {
    let filter = |upstream| {
        Filter::new(&SentryConfig {
            dsn: Dsn::read("https://k@h/1").unwrap(),
            environment: String::new(),
            release: String::new(),
            upstream,
            sample_per_million: 0,
        })
    };
    for (status, code, own, all) in [
        (500, "internal", true, true),
        (503, "degraded", true, true),
        (502, "upstream_error", false, true),
        (504, "upstream_timeout", false, true),
        (529, "overloaded_error", false, true),
        (503, "kill_switch", false, false),
        (429, "rate_limited", false, false),
        (400, "invalid_request", false, false),
    ] {
        let call = Arc::new(failing(1, status, code));
        assert_eq!(filter(false).reports(&call).count() == 1, own, "{code}");
        assert_eq!(filter(true).reports(&call).count() == 1, all, "{code}");
    }
}

#[tokio::test]
async fn a_panic_is_a_fatal_event_and_survives_the_spool() {
    let upstream = Upstream::always(Reply::status(200)).await;
    let panic = Panic {
        id: "0".repeat(32),
        time: record(1).time,
        message: None,
        place: "src/work.rs:17:3".to_owned(),
        thread: "tollgate".to_owned(),
        frames: vec![Frame { function: "main".to_owned(), ..Frame::default() }],
    };
    let report = Report::Panicked(Arc::new(panic));
    let report = Report::decode(&report.encode()).unwrap();
    assert_eq!(sink(&upstream).send(&[report]).await, Delivery::taken());
    let (_, items) = envelope(&upstream.last());
    let event = &items[0].1;
    assert_eq!((&event["level"], &event["tags"]["thread"]), (&"fatal".into(), &"tollgate".into()));
    let value = &event["exception"]["values"][0];
    assert_eq!(value["value"], "a message that may quote data is not sent (src/work.rs:17:3)");
    assert_eq!(value["stacktrace"]["frames"][0]["function"], "main");
}
