//! What the tests of this crate share: calls, their lines, and how sinks are set up for a test.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tollgate_domain::call::{CacheState, CallRecord, Dialect, Outcome};
use tollgate_domain::clock::Clock;
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;
use tollgate_testkit::upstream::Received;

use crate::event::Call;
use crate::progress::{Progress, Say};
use crate::settings::{HttpConfig, Place, TlsConfig};

/// The time of the first call, in milliseconds since the epoch: 2026-11-21T12:22:23Z.
pub(crate) const BEGIN: i64 = 1_795_263_743_000;

/// A call that succeeded; each `n` has its own id and its own millisecond.
pub(crate) fn call(n: u64) -> Call {
    Arc::new(record(n))
}

/// The same, to be changed.
pub(crate) fn record(n: u64) -> CallRecord {
    let millis = BEGIN + i64::try_from(n).unwrap();
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    CallRecord {
        call_id: CallId::new(u64::try_from(millis).unwrap(), random),
        request_id: format!("req-{n}").into(),
        time: jiff::Timestamp::from_millisecond(millis).unwrap(),
        user: "alice".into(),
        key: Some("backend".into()),
        team: None,
        ip: Some("10.0.0.1".into()),
        session: None,
        feature: None,
        tags: Vec::new(),
        dialect: Dialect::Openai,
        endpoint: "/v1/chat/completions".into(),
        provider: "openai".into(),
        model_asked: "gpt-4o-mini".into(),
        model: "gpt-4o-mini-2024-07-18".into(),
        stream: false,
        status: 200,
        outcome: Outcome::Success,
        error_type: None,
        attempts: 1,
        cache: CacheState::Miss,
        usage: Usage::tokens(40, 20),
        cost: NanoUsd::from_nanos(18_000),
        provider_cost: None,
        price_version: "book 1 openai/gpt-4o-mini".into(),
        estimated: false,
        latency_us: 412_345,
        ttft_us: Some(398_000),
        trace: None,
        decision: None,
        tries: Vec::new(),
        saved: NanoUsd::ZERO,
        repetition: None,
    }
}

/// A line with a few of the fields that the program writes.
pub(crate) fn line(call: &CallRecord, out: &mut Vec<u8>) {
    let level = if call.status >= 500 { "error" } else { "info" };
    let line = json!({
        "time": call.time.to_string(), "level": level, "request_id": &*call.request_id,
        "call_id": call.call_id, "status": call.status, "cost_usd": call.cost,
    });
    // The program's own line keeps its order; the sinks ask only that it begins with a name.
    out.extend(line.to_string().into_bytes());
    out.push(b'\n');
}

/// The number of a call, from its line.
pub(crate) fn number(line: &Value) -> u64 {
    line["request_id"].as_str().unwrap().strip_prefix("req-").unwrap().parse().unwrap()
}

/// Counts of a sink under test.
pub(crate) fn progress() -> Arc<Progress> {
    let say = Say::new(|_| ());
    Arc::new(Progress::new("test".into(), say, Clock::system()))
}

/// A service at a URL, without TLS.
pub(crate) fn http(url: &str) -> HttpConfig {
    let tls = TlsConfig::default();
    HttpConfig { place: Place::http(url).unwrap(), headers: Vec::new(), gzip: true, tls }
}

/// TLS that trusts nobody; for services without TLS.
pub(crate) fn no_tls() -> Arc<rustls::ClientConfig> {
    let roots = rustls::RootCertStore::empty();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    Arc::new(config.with_no_client_auth())
}

/// How long a service may take in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The body of a request, with its compression undone.
pub(crate) fn body(request: &Received) -> Vec<u8> {
    if request.header("content-encoding") != Some("gzip") {
        return request.body.to_vec();
    }
    let mut body = Vec::new();
    GzDecoder::new(&*request.body).read_to_end(&mut body).unwrap();
    body
}

/// The JSON values of a text with one a line.
pub(crate) fn json_lines(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
