//! Errors in the shape of the dialect that was called, so that every SDK raises its own typed
//! exception; the stable code of SPEC §3 travels in each of them.
//!
//! Sources: the error types of the official SDKs of the three dialects.

mod provider;

use bytes::Bytes;
use tollgate_domain::call::Dialect;
use tollgate_domain::fault::Code;
use tollgate_domain::limit::Metric;
use tollgate_domain::money::NanoUsd;

use crate::json::{push_fmt, push_optional, push_string};

pub use provider::meant;
pub(crate) use provider::{provider_error, provider_event, provider_status, provider_word};

/// An error to tell the caller.
#[derive(Clone, Copy, Debug)]
pub struct ErrorView<'a> {
    /// Its stable code.
    pub code: Code,
    /// The HTTP status that it is sent with; mostly `code.status()`.
    pub status: u16,
    /// What is wrong and what would help.
    pub message: &'a str,
    /// The field of the request that is meant.
    pub param: Option<&'a str>,
    /// The limit that refused.
    pub limit: Option<LimitView<'a>>,
    /// Seconds after which a retry can help.
    pub retry_after: Option<u64>,
    /// The request id.
    pub request_id: Option<&'a str>,
}

impl<'a> ErrorView<'a> {
    /// An error with the status of its code and nothing else to say.
    pub fn new(code: Code, message: &'a str) -> Self {
        Self {
            code,
            status: code.status(),
            message,
            param: None,
            limit: None,
            retry_after: None,
            request_id: None,
        }
    }
}

/// The limit that refused, as it stood (SPEC §18).
#[derive(Clone, Copy, Debug)]
pub struct LimitView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whose counter it is.
    pub scope: &'a str,
    /// What it counts; amounts of money are written as decimals in USD.
    pub metric: Metric,
    /// Its window, as configured.
    pub window: &'a str,
    /// The maximum.
    pub max: i64,
    /// What is used.
    pub used: i64,
    /// What is set aside for calls in flight.
    pub reserved: i64,
    /// When something is freed (RFC 3339); `None` where waiting frees nothing.
    pub frees_at: Option<&'a str>,
}

/// The body of an error answer.
pub fn error_body(dialect: Dialect, error: &ErrorView<'_>) -> Bytes {
    let mut out = Vec::with_capacity(384);
    push_body(&mut out, dialect, error);
    out.into()
}

/// An error as an event of a stream that has begun. `sequence` is the number of the event in the
/// responses form; `None` means another form.
pub fn error_event(dialect: Dialect, error: &ErrorView<'_>, sequence: Option<u64>) -> Bytes {
    let mut out = Vec::with_capacity(448);
    match (dialect, sequence) {
        (Dialect::Openai, Some(sequence)) => {
            out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"code\":");
            push_string(&mut out, error.code.as_str());
            out.extend_from_slice(b",\"message\":");
            push_string(&mut out, error.message);
            out.extend_from_slice(b",\"param\":");
            push_optional(&mut out, error.param);
            push_fmt(&mut out, format_args!(",\"sequence_number\":{sequence}}}"));
        }
        (Dialect::Anthropic, _) => {
            out.extend_from_slice(b"event: error\ndata: ");
            push_body(&mut out, dialect, error);
        }
        (Dialect::Openai | Dialect::Gemini, _) => {
            out.extend_from_slice(b"data: ");
            push_body(&mut out, dialect, error);
        }
    }
    let blank: &[u8] = if dialect == Dialect::Gemini { b"\r\n\r\n" } else { b"\n\n" };
    out.extend_from_slice(blank);
    out.into()
}

fn push_body(out: &mut Vec<u8>, dialect: Dialect, error: &ErrorView<'_>) {
    match dialect {
        Dialect::Openai => openai(out, error),
        Dialect::Anthropic => anthropic(out, error),
        Dialect::Gemini => gemini(out, error),
    }
}

fn openai(out: &mut Vec<u8>, error: &ErrorView<'_>) {
    out.extend_from_slice(b"{\"error\":{\"message\":");
    push_string(out, error.message);
    push_fmt(out, format_args!(",\"type\":\"{}\",\"param\":", openai_type(error.status)));
    push_optional(out, error.param);
    push_code(out, error);
    push_limit(out, error.limit.as_ref());
    out.extend_from_slice(b"}}");
}

fn anthropic(out: &mut Vec<u8>, error: &ErrorView<'_>) {
    push_fmt(
        out,
        format_args!(
            "{{\"type\":\"error\",\"error\":{{\"type\":\"{}\",\"message\":",
            anthropic_type(error.status)
        ),
    );
    push_string(out, error.message);
    push_code(out, error);
    push_limit(out, error.limit.as_ref());
    out.extend_from_slice(b"},\"request_id\":");
    push_optional(out, error.request_id);
    out.push(b'}');
}

fn gemini(out: &mut Vec<u8>, error: &ErrorView<'_>) {
    push_fmt(out, format_args!("{{\"error\":{{\"code\":{},\"message\":", error.status));
    push_string(out, error.message);
    push_fmt(
        out,
        format_args!(
            ",\"status\":\"{}\",\"details\":[{{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\
             \"reason\":\"{}\",\"domain\":\"tollgate\"",
            gemini_status(error.status),
            error.code.as_str()
        ),
    );
    push_limit(out, error.limit.as_ref());
    out.push(b'}');
    if let Some(seconds) = error.retry_after {
        push_fmt(
            out,
            format_args!(
                ",{{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\
                 \"retryDelay\":\"{seconds}s\"}}"
            ),
        );
    }
    out.extend_from_slice(b"]}}");
}

fn push_code(out: &mut Vec<u8>, error: &ErrorView<'_>) {
    push_fmt(out, format_args!(",\"code\":\"{}\"", error.code.as_str()));
}

fn push_limit(out: &mut Vec<u8>, limit: Option<&LimitView<'_>>) {
    let Some(limit) = limit else { return };
    out.extend_from_slice(b",\"limit\":{\"name\":");
    push_string(out, limit.name);
    out.extend_from_slice(b",\"scope\":");
    push_string(out, limit.scope);
    push_fmt(out, format_args!(",\"metric\":\"{}\",\"window\":", metric(limit.metric)));
    push_string(out, limit.window);
    for (name, amount) in [("max", limit.max), ("used", limit.used), ("reserved", limit.reserved)] {
        if limit.metric == Metric::CostUsd {
            let amount = NanoUsd::from_nanos(amount);
            push_fmt(out, format_args!(",\"{name}\":\"{amount}\""));
        } else {
            push_fmt(out, format_args!(",\"{name}\":{amount}"));
        }
    }
    out.extend_from_slice(b",\"frees_at\":");
    push_optional(out, limit.frees_at);
    out.push(b'}');
}

const fn metric(metric: Metric) -> &'static str {
    match metric {
        Metric::Requests => "requests",
        Metric::Successes => "successes",
        Metric::InputTokens => "input_tokens",
        Metric::OutputTokens => "output_tokens",
        Metric::Tokens => "tokens",
        Metric::CostUsd => "cost_usd",
        Metric::Concurrency => "concurrency",
        Metric::Units => "units",
    }
}

const fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

const fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

const fn gemini_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        502 | 503 => "UNAVAILABLE",
        408 | 504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn quota() -> ErrorView<'static> {
        let limit = LimitView {
            name: "daily",
            scope: "user",
            metric: Metric::Successes,
            window: "day",
            max: 10,
            used: 10,
            reserved: 0,
            frees_at: Some("2026-11-22T00:00:00+09:00"),
        };
        ErrorView {
            limit: Some(limit),
            retry_after: Some(34),
            request_id: Some("req_1"),
            ..ErrorView::new(Code::QuotaExhausted, "no \"more\"\ntoday")
        }
    }

    fn parse(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_refusal_in_the_openai_dialect_is_the_one_of_the_contract() {
        let expected = json!({"error": {"message": "no \"more\"\ntoday", "type": "rate_limit_error",
            "param": null, "code": "quota_exhausted", "limit": {"name": "daily", "scope": "user",
            "metric": "successes", "window": "day", "max": 10, "used": 10, "reserved": 0,
            "frees_at": "2026-11-22T00:00:00+09:00"}}});
        assert_eq!(parse(&error_body(Dialect::Openai, &quota())), expected);
    }

    #[test]
    fn money_in_a_limit_is_a_decimal_of_nine_places() {
        let mut error = quota();
        let limit = error.limit.as_mut().unwrap();
        limit.metric = Metric::CostUsd;
        limit.max = 5_000_000_000;
        let body = parse(&error_body(Dialect::Openai, &error));
        assert_eq!(body["error"]["limit"]["max"], "5.000000000");
        assert_eq!(body["error"]["limit"]["metric"], "cost_usd");
    }

    #[test]
    fn every_code_has_a_type_in_every_dialect() {
        for code in Code::ALL {
            let error = ErrorView { request_id: Some("r"), ..ErrorView::new(*code, "m") };
            let openai = parse(&error_body(Dialect::Openai, &error));
            assert_eq!(openai["error"]["code"], code.as_str());
            let anthropic = parse(&error_body(Dialect::Anthropic, &error));
            assert_eq!(anthropic["type"], "error");
            assert_eq!(anthropic["request_id"], "r");
            assert_eq!(anthropic["error"]["code"], code.as_str());
            let gemini = parse(&error_body(Dialect::Gemini, &error));
            assert_eq!(gemini["error"]["code"], code.status());
            assert_eq!(gemini["error"]["details"][0]["reason"], code.as_str());
        }
        let gemini = parse(&error_body(Dialect::Gemini, &quota()));
        assert_eq!(gemini["error"]["status"], "RESOURCE_EXHAUSTED");
        assert_eq!(gemini["error"]["details"][1]["retryDelay"], "34s");
    }

    #[test]
    fn metrics_are_spelled_as_the_domain_serialises_them() {
        for each in [
            Metric::Requests,
            Metric::Successes,
            Metric::InputTokens,
            Metric::OutputTokens,
            Metric::Tokens,
            Metric::CostUsd,
            Metric::Concurrency,
            Metric::Units,
        ] {
            assert_eq!(serde_json::to_value(each).unwrap(), metric(each));
        }
    }

    #[test]
    fn errors_inside_a_stream_are_events_of_its_form() {
        let events = [
            (Dialect::Openai, None, "data: {\"error\":", "\n\n"),
            (Dialect::Openai, Some(7), "event: error\ndata: {\"type\":\"error\"", "\n\n"),
            (Dialect::Anthropic, None, "event: error\ndata: {\"type\":\"error\"", "\n\n"),
            (Dialect::Gemini, None, "data: {\"error\":", "\r\n\r\n"),
        ];
        for (dialect, sequence, start, end) in events {
            let event = error_event(dialect, &quota(), sequence);
            let text = str::from_utf8(&event).unwrap();
            assert!(text.starts_with(start) && text.ends_with(end), "{text}");
            let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            assert!(serde_json::from_str::<Value>(data).is_ok());
        }
    }
}
