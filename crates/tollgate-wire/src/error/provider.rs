//! The errors of providers, told to a client of another dialect.
//!
//! The type goes by the status, as SDKs choose their exceptions by it; the provider's own code and
//! message stay beside it.

use bytes::Bytes;
use tollgate_domain::call::Dialect;

use crate::facts::InbandError;
use crate::json::{push_fmt, push_optional, push_string};

use super::{anthropic_type, gemini_status, openai_type};

/// The status by which a client of this dialect understands what the provider's meant.
pub(crate) const fn provider_status(client: Dialect, status: u16) -> u16 {
    match (client, status) {
        // Only Anthropic's clients know that this one passes.
        (Dialect::Openai | Dialect::Gemini, 529) => 503,
        _ => status,
    }
}

/// The body of an error answer.
pub(crate) fn provider_error(
    client: Dialect,
    error: &InbandError,
    request_id: Option<&str>,
) -> Bytes {
    let mut out = Vec::with_capacity(256);
    push_error(&mut out, client, error, request_id);
    out.into()
}

/// Appends an error as an event of a stream that has begun. `sequence` is the number of the event
/// in the responses form; `None` means another form.
pub(crate) fn provider_event(
    out: &mut Vec<u8>,
    client: Dialect,
    error: &InbandError,
    sequence: Option<u64>,
) {
    if let (Dialect::Openai, Some(sequence)) = (client, sequence) {
        out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"code\":");
        push_optional(out, code(error));
        out.extend_from_slice(b",\"message\":");
        push_string(out, &error.message);
        push_fmt(out, format_args!(",\"param\":null,\"sequence_number\":{sequence}}}\n\n"));
        return;
    }
    if client == Dialect::Anthropic {
        out.extend_from_slice(b"event: error\n");
    }
    out.extend_from_slice(b"data: ");
    push_error(out, client, error, None);
    out.extend_from_slice(if client == Dialect::Gemini { b"\r\n\r\n" } else { b"\n\n" });
}

fn push_error(out: &mut Vec<u8>, client: Dialect, error: &InbandError, request_id: Option<&str>) {
    let status = provider_status(client, meant(error));
    let head = match client {
        Dialect::Openai => format_args!("{{\"error\":{{\"type\":\"{}\"", openai_type(status)),
        Dialect::Anthropic => {
            format_args!("{{\"type\":\"error\",\"error\":{{\"type\":\"{}\"", anthropic_type(status))
        }
        Dialect::Gemini => {
            format_args!("{{\"error\":{{\"code\":{status},\"status\":\"{}\"", gemini_status(status))
        }
    };
    push_fmt(out, head);
    out.extend_from_slice(b",\"message\":");
    push_string(out, &error.message);
    match client {
        Dialect::Openai => {
            out.extend_from_slice(b",\"param\":null,\"code\":");
            push_optional(out, code(error));
            out.extend_from_slice(b"}}");
        }
        Dialect::Anthropic => {
            out.extend_from_slice(b",\"code\":");
            push_optional(out, code(error));
            out.extend_from_slice(b"},\"request_id\":");
            push_optional(out, request_id);
            out.push(b'}');
        }
        Dialect::Gemini => {
            out.extend_from_slice(b",\"details\":[");
            if let Some(code) = code(error) {
                out.extend_from_slice(
                    b"{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":",
                );
                push_string(out, code);
                out.extend_from_slice(b",\"domain\":\"provider\"}");
            }
            out.extend_from_slice(b"]}}");
        }
    }
}

/// The provider's word for what is wrong; a code that is a status says less than the class.
pub(crate) fn provider_word(error: &InbandError) -> Option<&str> {
    let word = |code: &&str| !code.bytes().all(|b| b.is_ascii_digit());
    error.code.as_deref().filter(word).or(error.kind.as_deref())
}

fn code(error: &InbandError) -> Option<&str> {
    provider_word(error).or(error.code.as_deref())
}

/// The HTTP status that an error means: the one it states, else by its class.
pub fn meant(error: &InbandError) -> u16 {
    let stated = error.code.as_deref().and_then(|code| code.parse().ok());
    let stated = error.status.or(stated).filter(|status| (400..600).contains(status));
    stated.unwrap_or_else(|| match error.kind.as_deref().or(error.code.as_deref()) {
        Some(
            "invalid_request_error"
            | "invalid_prompt"
            | "context_length_exceeded"
            | "content_policy_violation"
            | "content_filter"
            | "INVALID_ARGUMENT"
            | "validationException",
        ) => 400,
        Some("authentication_error" | "UNAUTHENTICATED") => 401,
        Some("permission_error" | "PERMISSION_DENIED") => 403,
        Some("not_found_error" | "NOT_FOUND") => 404,
        Some("request_too_large") => 413,
        Some(
            "rate_limit_error"
            | "rate_limit_exceeded"
            | "insufficient_quota"
            | "RESOURCE_EXHAUSTED"
            | "throttlingException",
        ) => 429,
        Some("overloaded_error") => 529,
        Some("UNAVAILABLE" | "serviceUnavailableException") => 503,
        Some("timeout_error" | "DEADLINE_EXCEEDED") => 504,
        _ => 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::read_error;
    use serde_json::{Value, json};

    fn told(client: Dialect, body: &Value) -> Value {
        let error = read_error(body.to_string().as_bytes()).unwrap();
        serde_json::from_slice(&provider_error(client, &error, Some("req_1"))).unwrap()
    }

    #[test]
    fn an_overload_of_anthropic_is_a_server_error_to_clients_of_openai() {
        let body = json!({"type": "error", "request_id": "x",
            "error": {"type": "overloaded_error", "message": "Overloaded"}});
        let expected = json!({"error": {"type": "server_error", "message": "Overloaded",
            "param": null, "code": "overloaded_error"}});
        assert_eq!(told(Dialect::Openai, &body), expected);
        assert_eq!(told(Dialect::Gemini, &body)["error"]["code"], 503);
        assert_eq!(told(Dialect::Gemini, &body)["error"]["status"], "UNAVAILABLE");
        assert_eq!(told(Dialect::Anthropic, &body)["error"]["type"], "overloaded_error");
    }

    #[test]
    fn an_error_of_gemini_keeps_its_word_and_message() {
        let body = json!({"error": {"code": 429, "message": "too much",
            "status": "RESOURCE_EXHAUSTED"}});
        let expected = json!({"type": "error", "request_id": "req_1", "error": {
            "type": "rate_limit_error", "message": "too much", "code": "RESOURCE_EXHAUSTED"}});
        assert_eq!(told(Dialect::Anthropic, &body), expected);
        assert_eq!(told(Dialect::Openai, &body)["error"]["type"], "rate_limit_error");
    }

    #[test]
    fn an_error_without_a_status_is_the_servers() {
        let body = json!({"error": {"message": "oh"}});
        assert_eq!(told(Dialect::Openai, &body)["error"]["type"], "server_error");
        assert_eq!(told(Dialect::Gemini, &body)["error"]["details"], json!([]));
    }
}
