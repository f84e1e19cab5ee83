//! Calls in the trace of their client: one trace from the application over Tollgate to the provider.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::client::Http;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Received, Reply, Upstream};
use tollgate_testkit::wait::eventually;

use super::services::{Away, QUICK, collected};
use super::{CHAT, RECORDS, SPANS, oracle_upstream};
use crate::{SOON, start};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

/// The span id of a call, from its id without dashes.
fn span_of(id: &str) -> &str {
    id.get(16..).unwrap()
}

/// A provider, a collector, and the program between them.
struct Traced {
    upstream: Upstream,
    collector: Away,
    program: Program,
}

impl Traced {
    async fn start() -> Self {
        let upstream = oracle_upstream().await;
        let collector = Away::start(200).await;
        let url = collector.upstream.url("");
        let lines = "responses = false\nretry = { attempts = 2, base = \"20ms\", max = \"2s\" }";
        let program = start(
            Config::new()
                .provider_with("up", "openai", &upstream.url("/v1"), lines)
                .model(oracle::MODEL, "up", oracle::MODEL)
                .price("up", oracle::MODEL, &oracle::PRICES)
                .section(&format!(
                    "[[logs.sinks]]\nkind = \"otlp\"\nurl = \"{url}\"\n{QUICK}gzip = false\n\
                     encoding = \"json\"\nsignals = [\"traces\", \"logs\"]\n"
                )),
        )
        .await;
        Self { upstream, collector, program }
    }

    /// A client with these headers of a trace.
    fn client(&self, parent: Option<&str>) -> Http {
        let client = self.program.client().with("tracestate", STATE).with("baggage", "plan=gold");
        match parent {
            Some(parent) => client.with("traceparent", parent),
            None => client,
        }
    }

    /// Makes a call; gives its id without dashes and what the provider was sent.
    async fn call(&self, client: &Http, (path, body): (&str, &Value)) -> (String, Received) {
        self.upstream.forget();
        let answer = client.post(path, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.headers.get("traceparent"), None, "it is for the provider");
        (answer.header("x-tollgate-call-id").replace('-', ""), self.upstream.last())
    }

    /// The log record of a call, and its span where there is one.
    async fn told(&self, id: &str) -> (Value, Option<Value>) {
        let of = |items: Vec<Value>| items.into_iter().find(|item| item["spanId"] == span_of(id));
        let record = eventually("the collector has the call", SOON, || async {
            let records = collected(&self.collector.taken(), "/v1/logs", RECORDS);
            of(records).ok_or_else(|| "not yet".to_owned())
        })
        .await;
        // Spans of a batch are sent before its records.
        (record, of(collected(&self.collector.taken(), "/v1/traces", SPANS)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_a_clients_trace_joins_it_and_takes_the_provider_along() {
    let traced = Traced::start().await;
    let client = traced.client(Some(&format!("00-{TRACE}-{SPAN}-01")));
    let text = oracle::request(2, false)["messages"][0]["content"].clone();
    let message = json!({"model": oracle::MODEL, "max_tokens": 64,
                         "messages": [{"role": "user", "content": text}]});
    // Relayed as it is, as a stream, and translated.
    let calls = [
        (CHAT, oracle::request(0, false)),
        (CHAT, oracle::request(1, true)),
        ("/v1/messages", message),
    ];
    for (path, body) in &calls {
        let (id, sent) = traced.call(&client, (path, body)).await;
        let ours = format!("00-{TRACE}-{}-01", span_of(&id));
        assert_eq!(sent.header("traceparent"), Some(&*ours), "{path}");
        assert_eq!(sent.header("tracestate"), Some(STATE), "{path}");
        assert_eq!(sent.header("baggage"), None, "{path}");
        let (record, span) = traced.told(&id).await;
        let span = span.unwrap();
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(SPAN)));
        assert_eq!((&record["traceId"], &record["flags"]), (&json!(TRACE), &json!(1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_records_nothing_gets_no_span_and_its_trace_goes_on() {
    let traced = Traced::start().await;
    let client = traced.client(Some(&format!("00-{TRACE}-{SPAN}-00")));
    let (id, sent) = traced.call(&client, (CHAT, &oracle::request(0, false))).await;
    let ours = format!("00-{TRACE}-{}-00", span_of(&id));
    assert_eq!(sent.header("traceparent"), Some(&*ours));
    let (record, span) = traced.told(&id).await;
    assert_eq!((&record["traceId"], span), (&json!(TRACE), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_trace_is_ignored_and_goes_nowhere() {
    let traced = Traced::start().await;
    let wrong = [
        None,
        Some(format!("ff-{TRACE}-{SPAN}-01")),
        Some(format!("00-{}-{SPAN}-01", TRACE.to_uppercase())),
        Some(format!("00-{TRACE}-0000000000000000-01")),
        Some("00-aa-bb-01".to_owned()),
    ];
    for (number, parent) in (0..).zip(wrong) {
        let client = traced.client(parent.as_deref());
        let (id, sent) = traced.call(&client, (CHAT, &oracle::request(number, false))).await;
        let told = (sent.header("traceparent"), sent.header("tracestate"));
        assert_eq!(told, (None, None), "{parent:?}");
        let span = traced.told(&id).await.1.unwrap();
        assert_eq!((&span["traceId"], span.get("parentSpanId")), (&json!(id), None), "{parent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_of_a_call_is_below_the_span_of_the_call() {
    let traced = Traced::start().await;
    let failing = AtomicBool::new(true);
    traced.upstream.answer_with(move |request| {
        if failing.swap(false, Ordering::AcqRel) {
            return Reply::status(503);
        }
        oracle::reply(request, Duration::ZERO)
    });
    let client = traced.client(Some(&format!("00-{TRACE}-{SPAN}-01")));
    let (id, _) = traced.call(&client, (CHAT, &oracle::request(0, false))).await;
    let parents: Vec<_> = traced
        .upstream
        .received()
        .iter()
        .map(|it| it.header("traceparent").unwrap().to_owned())
        .collect();
    assert_eq!(parents, vec![format!("00-{TRACE}-{}-01", span_of(&id)); 2]);
    traced.told(&id).await;
    let spans = collected(&traced.collector.taken(), "/v1/traces", SPANS);
    assert_eq!(spans.len(), 1, "a call is one span, whatever its attempts");
}
