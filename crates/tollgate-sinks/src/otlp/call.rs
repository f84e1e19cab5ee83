//! A call as a span and as a log record.

use jiff::Timestamp;
use serde::Deserialize;
use tollgate_domain::call::{CallRecord, Outcome};

use super::View;
use super::genai::{attributes, error_type, operation};
use super::message::{LogRecord, Span, Value};
use crate::event::WriteLine;

/// The fields of a line that are derived from a call, as the line itself says them.
#[derive(Deserialize)]
struct Derived<'a> {
    #[serde(borrow, default)]
    level: &'a str,
    #[serde(borrow, default)]
    latency_category: &'a str,
    #[serde(borrow, default)]
    error_type: Option<&'a str>,
    #[serde(borrow, default)]
    tags: Vec<&'a str>,
}

/// Nanoseconds since the epoch.
pub(super) fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or_default()
}

/// The ids of a call's span. The trace is the one that its client began, else a new one that is
/// named by the whole id of the call. Both are the same however often the span is sent.
fn ids(call: &CallRecord) -> ([u8; 16], [u8; 8]) {
    let own = *call.call_id.as_bytes();
    (call.trace.map_or(own, |client| client.trace_id()), call.call_id.span_id())
}

/// Whether the span of a call is sent. In a client's trace the client has decided, so that a trace
/// is whole or is not there; of other calls it is a share.
pub(super) fn is_wanted(call: &CallRecord, per_million: u32) -> bool {
    call.trace.map_or_else(|| is_sampled(call, per_million), |client| client.is_sampled())
}

/// Whether a call is among so many parts per million: by its id, so that every program and every
/// repetition decides alike.
pub(crate) fn is_sampled(call: &CallRecord, per_million: u32) -> bool {
    let [first, rest @ ..] = call.call_id.span_id();
    // The two highest bits are the same in all ids.
    let [a, b, c, ..] = rest;
    let draw = u32::from_be_bytes([0, a, b, c]) ^ u32::from(first & 0x3f);
    u64::from(draw) * 1_000_000 < u64::from(per_million) << 24
}

/// The span of a call; `None` for one that no provider was asked for.
pub(super) fn span(view: &View<'_>, call: &CallRecord) -> Option<Span> {
    if call.outcome == Outcome::Refused || call.provider.is_empty() {
        return None;
    }
    let (trace, id) = ids(call);
    let start = nanos(call.time);
    Some(Span {
        trace,
        id,
        parent: call.trace,
        name: format!("{} {}", operation(&call.endpoint), call.model_asked),
        start,
        end: start.saturating_add(call.latency_us.saturating_mul(1_000)),
        attributes: attributes(view, call),
        error: error_type(call),
    })
}

/// The log record of a call.
pub(super) fn record(
    view: &View<'_>,
    call: &CallRecord,
    line: WriteLine,
    observed: u64,
) -> LogRecord {
    let mut text = Vec::new();
    line(call, &mut text);
    let body = String::from_utf8_lossy(&text).trim_end().to_owned();
    let derived = serde_json::from_str::<Derived<'_>>(&body).ok();
    let (trace, span) = ids(call);
    let mut all = attributes(view, call);
    let mut severity = (9, "INFO");
    if let Some(derived) = derived {
        severity = match derived.level {
            "error" => (17, "ERROR"),
            "warn" => (13, "WARN"),
            _ => severity,
        };
        all.push(("tollgate.latency_category", derived.latency_category.into()));
        if let Some(class) = derived.error_type {
            all.push(("tollgate.error_class", class.into()));
        }
        let tags = derived.tags.into_iter().map(str::to_owned).collect();
        all.push(("tollgate.tags", Value::Texts(tags)));
    }
    LogRecord {
        trace,
        span,
        parent: call.trace,
        time: nanos(call.time),
        observed,
        severity,
        body,
        attributes: all,
    }
}
