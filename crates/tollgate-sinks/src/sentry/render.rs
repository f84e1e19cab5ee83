//! Envelopes: a header, then for each item a header and its payload, a line each
//! (`application/x-sentry-envelope`). Every field is named here; nothing is passed through.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tollgate_domain::call::CallRecord;

use super::report::{Panic, Report};
use crate::event::hex;
use crate::otlp::operation;
use crate::settings::SentryConfig;

/// Turns the id of a call into that of its transaction.
const OTHER: u8 = 0x5a;

impl Report {
    /// The kind that limits name.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Failed(_) | Self::Panicked(_) => "error",
            Self::Traced(_) => "transaction",
        }
    }

    /// Names the report; the same however often it is sent, so that Sentry keeps it once.
    fn id(&self) -> String {
        match self {
            Self::Failed(call) => id_of(call, 0),
            Self::Traced(call) => id_of(call, OTHER),
            Self::Panicked(panic) => panic.id.clone(),
        }
    }
}

fn id_of(call: &CallRecord, turn: u8) -> String {
    hex(call.call_id.as_bytes().iter().map(|byte| byte ^ turn))
}

/// Reports that were dropped, by kind.
pub(super) type Discarded = BTreeMap<&'static str, u64>;

/// The envelope of a report, and of what was dropped before it.
pub(super) fn envelope(
    report: &Report,
    config: &SentryConfig,
    now: Timestamp,
    discarded: &Discarded,
) -> Vec<u8> {
    let (kind, payload) = match report {
        Report::Failed(call) => ("event", failed(report, call, config)),
        Report::Traced(call) => ("transaction", traced(report, call, config)),
        Report::Panicked(panic) => ("event", panicked(panic, config)),
    };
    let sdk = json!({"name": "tollgate", "version": env!("CARGO_PKG_VERSION")});
    let header = json!({"event_id": report.id(), "sent_at": now.to_string(), "sdk": sdk});
    let mut text = format!("{header}\n");
    item(kind, &payload, &mut text);
    if !discarded.is_empty() {
        let events: Vec<Value> = discarded
            .iter()
            .map(|(kind, count)| {
                json!({"reason": "ratelimit_backoff", "category": kind, "quantity": count})
            })
            .collect();
        let payload = json!({"timestamp": now.to_string(), "discarded_events": events});
        item("client_report", &payload, &mut text);
    }
    text.into_bytes()
}

fn item(kind: &str, payload: &Value, text: &mut String) {
    let payload = payload.to_string();
    text.push_str(&json!({"type": kind, "length": payload.len()}).to_string());
    text.push('\n');
    text.push_str(&payload);
    text.push('\n');
}

fn failed(report: &Report, call: &CallRecord, config: &SentryConfig) -> Value {
    let code = call.error_type.as_deref().unwrap_or("upstream_error");
    let what = match &*call.provider {
        "" => format!("{} on {}", call.status, call.endpoint),
        provider => format!("{} on {} from {provider}", call.status, call.endpoint),
    };
    let mut event = base(report, call, config);
    let fields = json!({
        "level": "error",
        "logger": "tollgate",
        "timestamp": end_of(call).to_string(),
        "fingerprint": ["tollgate", code, &*call.provider, &*call.endpoint],
        "exception": {"values": [{"type": code, "value": what}]},
        "extra": {
            "call_id": call.call_id, "request_id": &*call.request_id, "attempts": call.attempts,
            "latency_ms": call.latency_us / 1_000, "input_tokens": call.usage.input,
            "output_tokens": call.usage.output, "cost_usd": call.cost,
        },
    });
    merge(&mut event, fields);
    event
}

fn traced(report: &Report, call: &CallRecord, config: &SentryConfig) -> Value {
    let mut event = base(report, call, config);
    let fields = json!({
        "type": "transaction",
        "start_timestamp": call.time.to_string(),
        "timestamp": end_of(call).to_string(),
        "transaction_info": {"source": "route"},
        "spans": [],
        "extra": {
            "call_id": call.call_id, "request_id": &*call.request_id,
            "input_tokens": call.usage.input, "output_tokens": call.usage.output,
            "cost_usd": call.cost,
        },
    });
    merge(&mut event, fields);
    event
}

/// What both have.
fn base(report: &Report, call: &CallRecord, config: &SentryConfig) -> Value {
    let trace = id_of(call, 0);
    let span: String = trace.chars().skip(16).collect();
    let status = if call.status < 400 { "ok" } else { "internal_error" };
    json!({
        "event_id": report.id(),
        "platform": "other",
        "environment": config.environment,
        "release": config.release,
        "transaction": &*call.endpoint,
        "tags": {
            "provider": &*call.provider, "model": &*call.model_asked, "status": call.status.to_string(),
            "error_type": call.error_type, "outcome": call.outcome.as_str(),
            "dialect": call.dialect.as_str(), "stream": call.stream.to_string(),
        },
        "contexts": {"trace": {
            "trace_id": trace, "span_id": span, "status": status,
            "op": format!("gen_ai.{}", operation(&call.endpoint)),
        }},
    })
}

fn panicked(panic: &Panic, config: &SentryConfig) -> Value {
    let message = panic.message.as_deref().unwrap_or("a message that may quote data is not sent");
    json!({
        "event_id": panic.id,
        "platform": "native",
        "level": "fatal",
        "logger": "panic",
        "timestamp": panic.time.to_string(),
        "environment": config.environment,
        "release": config.release,
        "tags": {"thread": panic.thread},
        "extra": {"place": panic.place},
        "exception": {"values": [{
            "type": "panic",
            "value": format!("{message} ({})", panic.place),
            "mechanism": {"type": "panic", "handled": false},
            "stacktrace": {"frames": panic.frames},
        }]},
    })
}

fn end_of(call: &CallRecord) -> Timestamp {
    let took = SignedDuration::from_micros(i64::try_from(call.latency_us).unwrap_or_default());
    call.time.checked_add(took).unwrap_or(call.time)
}

fn merge(event: &mut Value, fields: Value) {
    if let (Value::Object(event), Value::Object(fields)) = (event, fields) {
        event.extend(fields);
    }
}
