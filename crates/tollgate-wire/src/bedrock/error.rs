//! Reads the errors of AWS: the body says only what is wrong, a header says which error it is.

use super::converse::{keep, skip};
use crate::facts::InbandError;
use crate::figures::{count, object};
use crate::json::Text;
use crate::json::lenient::Pull;

/// How much of an error's message is kept.
const MESSAGE: usize = 1024;

/// Reads the error of a body with an error status; `error_type` is the header `x-amzn-errortype`
/// (`ValidationException:http://…`), which wins over a type in the body.
pub fn read_error(body: &[u8], error_type: Option<&str>) -> Option<InbandError> {
    let mut error = fields(body);
    if let Some(kind) = error_type.map(plain_type).filter(|kind| !kind.is_empty()) {
        error.kind = Some(kind.into());
    }
    (error != InbandError::default()).then_some(error)
}

/// The error of an exception inside a stream, after a status of 200.
pub(super) fn exception(kind: &[u8], payload: &[u8]) -> InbandError {
    let mut error = fields(payload);
    let kind = String::from_utf8_lossy(kind);
    error.status = error.status.or_else(|| meant_status(&kind));
    error.kind = Some((*kind).into());
    error
}

/// The status with which the same error comes where no stream has begun.
fn meant_status(kind: &str) -> Option<u16> {
    Some(match kind {
        "validationException" => 400,
        "modelTimeoutException" => 408,
        "modelStreamErrorException" => 424,
        "throttlingException" => 429,
        "internalServerException" => 500,
        "serviceUnavailableException" => 503,
        _ => return None,
    })
}

fn fields(body: &[u8]) -> InbandError {
    let mut error = InbandError::default();
    let mut kind = None;
    object(&mut Pull::new(body), |key, pull| match key {
        b"message" | b"Message" => {
            error.message = pull.string_or_skip().map(clipped).unwrap_or_default();
        }
        b"__type" => keep(&mut kind, pull.string_or_skip()),
        b"originalStatusCode" => {
            error.status =
                pull.skip().and_then(count).and_then(|status| u16::try_from(status).ok());
        }
        _ => skip(pull),
    });
    error.kind = kind.map(|kind| plain_type(&kind).into());
    error
}

/// `com.amazon.coral#ThrottlingException:http://…` is a throttling exception.
fn plain_type(kind: &str) -> &str {
    let kind = kind.split(':').next().unwrap_or_default();
    kind.rsplit('#').next().unwrap_or_default().trim()
}

fn clipped(text: Text<'_>) -> Box<str> {
    let raw = text.raw.get(..MESSAGE * 6).unwrap_or(text.raw);
    let text = Text { raw }.decode_lossy();
    text.get(..text.floor_char_boundary(MESSAGE)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_the_error_and_the_body_says_what_is_wrong() {
        let body = br#"{"message":"The provided model identifier is invalid."}"#;
        let header = Some("ValidationException:http://internal.amazon.com/coral/com.amazon.b/");
        let error = read_error(body, header).unwrap();
        assert_eq!(&*error.message, "The provided model identifier is invalid.");
        assert_eq!(error.kind.as_deref(), Some("ValidationException"));
        let gateway = br#"{"__type":"com.amazon.coral.service#AccessDenied","Message":"no"}"#;
        let error = read_error(gateway, None).unwrap();
        assert_eq!((error.kind.as_deref(), &*error.message), (Some("AccessDenied"), "no"));
        assert_eq!(read_error(b"<html>", None), None);
        assert!(read_error(b"", header).is_some());
    }

    #[test]
    fn an_exception_in_a_stream_has_the_status_that_it_would_have_had() {
        let error = exception(b"throttlingException", br#"{"message":"Too many","p":"ab"}"#);
        assert_eq!((error.status, &*error.message), (Some(429), "Too many"));
        assert_eq!(error.kind.as_deref(), Some("throttlingException"));
        let payload = br#"{"message":"m","originalStatusCode":503}"#;
        assert_eq!(exception(b"modelStreamErrorException", payload).status, Some(503));
        assert_eq!(exception(b"newException", b"").status, None);
    }
}
