//! The errors of providers in the words of the client's dialect.
//!
//! The provider's message and code stay: they say what is wrong. Only the shape changes, and the
//! status where a dialect's clients do not know it.

use bytes::Bytes;
use tollgate_domain::call::Dialect;

use crate::endpoint::Endpoint;
use crate::error::{provider_error, provider_status};
use crate::facts::InbandError;
use crate::openai::read_error;

/// An error answer of a provider for the client: the status and the body.
///
/// A body that says nothing is given a message that names the status.
pub fn translate_error(
    client: Endpoint,
    status: u16,
    body: &[u8],
    request_id: Option<&str>,
) -> (u16, Bytes) {
    let dialect: Dialect = client.dialect();
    let mut error = read_error(body).unwrap_or_default();
    if error.message.is_empty() {
        error.message = format!("the provider answered with status {status}").into();
    }
    let status = provider_status(dialect, status);
    error.status = Some(status);
    (status, provider_error(dialect, &error, request_id))
}

/// The same for an error inside an answer of status 200.
pub(crate) fn inband(client: Dialect, error: &InbandError) -> Bytes {
    provider_error(client, error, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn an_error_keeps_message_and_code_in_every_clients_shape() {
        let body = br#"{"error":{"message":"no such model","type":"invalid_request_error",
            "param":null,"code":"model_not_found"}}"#;
        for (client, place, code) in [
            (Endpoint::Responses, "/error/type", "/error/code"),
            (Endpoint::Messages, "/error/type", "/error/code"),
            (Endpoint::GenerateContent, "/error/status", "/error/details/0/reason"),
        ] {
            let (status, body) = translate_error(client, 404, body, Some("req_1"));
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(status, 404);
            assert_eq!(body.pointer("/error/message").unwrap(), "no such model");
            assert_eq!(body.pointer(code).unwrap(), "model_not_found");
            assert!(body.pointer(place).is_some(), "{body}");
        }
    }

    #[test]
    fn a_body_that_says_nothing_is_given_a_message() {
        for body in [&b""[..], b"<html>", b"{}"] {
            let (status, body) = translate_error(Endpoint::ChatCompletions, 529, body, None);
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(status, 503);
            assert_eq!(body["error"]["message"], "the provider answered with status 529");
            assert_eq!(body["error"]["type"], "server_error");
        }
    }
}
