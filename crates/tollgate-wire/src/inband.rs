//! Reads the errors of providers, in every form that they use.

use std::time::Duration;

use crate::facts::InbandError;
use crate::json::Text;
use crate::json::lenient::Pull;

/// How much of an error's message is kept.
const MESSAGE: usize = 1024;

/// Reads the error of a body with an error status, in any of the forms that vendors use:
/// `{"error":{…}}`, `{"error":"…"}`, `{"message":…}`, `{"detail":…}`, or the first of a list.
pub fn read_error(body: &[u8]) -> Option<InbandError> {
    let mut pull = Pull::new(body);
    if pull.enter_array() && !pull.next_item() {
        return None;
    }
    error_fields(&mut pull).filter(|error| *error != InbandError::default())
}

/// The value of an `error` member; `null`, `false` and an empty text are no error.
pub(crate) fn error_value(pull: &mut Pull<'_>) -> Option<InbandError> {
    match pull.next_byte() {
        Some(b'{') => error_fields(pull),
        Some(b'"') => {
            let message = short(pull.string()?);
            (!message.is_empty()).then(|| InbandError { message, ..InbandError::default() })
        }
        _ => {
            pull.skip();
            None
        }
    }
}

/// The members of an error object, or of a body that holds one.
pub(crate) fn error_fields(pull: &mut Pull<'_>) -> Option<InbandError> {
    if pull.next_byte() != Some(b'{') {
        pull.skip();
        return None;
    }
    let mut error = InbandError::default();
    let (mut inner, mut details, mut canonical) = (None, Details::default(), false);
    pull.object(|pull, key| match key {
        b"message" | b"detail" => error.message = message(pull),
        b"type" => error.kind = word(pull.skip()).or_else(|| error.kind.take()),
        b"status" => {
            let status = word(pull.skip());
            canonical = status.as_deref().is_some_and(is_canonical);
            error.kind = status.or_else(|| error.kind.take());
        }
        b"code" => error.code = word(pull.skip()),
        b"status_code" | b"raw_status_code" => {
            let status = pull.whole().and_then(|n| u16::try_from(n).ok());
            error.status = status.or(error.status);
        }
        b"error" => inner = error_value(pull).or_else(|| inner.take()),
        b"details" => details = Details::read(pull),
        _ => {
            pull.skip();
        }
    });
    if canonical {
        // The code beside a canonical status is the HTTP status.
        error.status = error.code.take().and_then(|code| code.parse().ok()).or(error.status);
    }
    error.code = details.reason.or(error.code);
    Some(inner.unwrap_or(error))
}

/// How long a provider asks to wait in the details of an error (Google's `RetryInfo`), where others
/// use a header.
pub fn retry_after(body: &[u8]) -> Option<Duration> {
    let mut delay = None;
    let mut pull = Pull::new(body);
    if pull.enter_array() && !pull.next_item() {
        return None;
    }
    pull.object(|pull, key| match key {
        b"error" => pull.object(|pull, key| match key {
            b"details" => delay = Details::read(pull).delay,
            _ => {
                pull.skip();
            }
        }),
        _ => {
            pull.skip();
        }
    });
    delay
}

/// What the details of an error say: an object (Anthropic), or a list of typed ones (Google).
#[derive(Default)]
struct Details {
    reason: Option<Box<str>>,
    delay: Option<Duration>,
}

impl Details {
    fn read(pull: &mut Pull<'_>) -> Self {
        let mut read = Self::default();
        if pull.next_byte() == Some(b'[') {
            pull.array(|pull| read.detail(pull));
        } else {
            read.detail(pull);
        }
        read
    }

    fn detail(&mut self, pull: &mut Pull<'_>) {
        pull.object(|pull, key| match key {
            b"error_code" | b"reason" => pull.keep(&mut self.reason),
            b"retryDelay" => {
                let text = pull.string_or_skip().and_then(Text::decode);
                self.delay = text.and_then(|text| seconds(&text)).or(self.delay);
            }
            _ => {
                pull.skip();
            }
        });
    }
}

/// A duration as protobuf writes it: `34s`, `34.074s`.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, part) = match text.strip_suffix('s')?.split_once('.') {
        Some((whole, part)) => (whole, part),
        None => (text.strip_suffix('s')?, ""),
    };
    let digits: String = part.chars().chain("000000000".chars()).take(9).collect();
    Some(Duration::new(whole.parse().ok()?, digits.parse().ok()?))
}

/// Whether a status is one of the canonical words, such as `NOT_FOUND`.
fn is_canonical(status: &str) -> bool {
    !status.is_empty() && status.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

fn message(pull: &mut Pull<'_>) -> Box<str> {
    if pull.next_byte() == Some(b'"') {
        return pull.string().map(short).unwrap_or_default();
    }
    let raw = pull.skip().filter(|raw| *raw != b"null").unwrap_or_default();
    clip(&String::from_utf8_lossy(raw))
}

fn word(raw: Option<&[u8]>) -> Option<Box<str>> {
    let raw = raw.filter(|raw| *raw != b"null")?;
    let bare = raw.strip_prefix(b"\"").and_then(|r| r.strip_suffix(b"\"")).unwrap_or(raw);
    Some(clip(&Text { raw: bare }.decode_lossy()))
}

fn short(text: Text<'_>) -> Box<str> {
    // Six bytes of escape are the most that one byte of meaning takes.
    let raw = text.raw.get(..MESSAGE * 6).unwrap_or(text.raw);
    clip(&Text { raw }.decode_lossy())
}

fn clip(text: &str) -> Box<str> {
    Box::from(text.get(..text.floor_char_boundary(MESSAGE)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spend_limit_of_the_provider_is_told_from_a_rate_limit_by_its_code() {
        let body = br#"{"type":"error","error":{"type":"rate_limit_error","message":"m","details":
            {"error_code":"enforced_spend_limit_reached"}},"request_id":"req_1"}"#;
        let error = read_error(body).unwrap();
        assert_eq!(error.kind.as_deref(), Some("rate_limit_error"));
        assert_eq!(error.code.as_deref(), Some("enforced_spend_limit_reached"));
    }

    #[test]
    fn google_states_the_http_status_as_code_and_the_pause_in_the_details() {
        let body =
            br#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[
            {"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"q"}]},
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.074s"}]}}]"#;
        let error = read_error(body).unwrap();
        assert_eq!((error.code.as_deref(), error.status), (None, Some(429)));
        assert_eq!(error.kind.as_deref(), Some("RESOURCE_EXHAUSTED"));
        assert_eq!(retry_after(body), Some(Duration::from_millis(34_074)));
        let bad_key =
            br#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[
            {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
        assert_eq!(read_error(bad_key).unwrap().code.as_deref(), Some("API_KEY_INVALID"));
        assert_eq!(retry_after(bad_key), None);
    }

    #[test]
    fn durations_that_are_none_are_not_stated() {
        for (text, expected) in [
            ("34s", Some(Duration::from_secs(34))),
            ("0.5s", Some(Duration::from_millis(500))),
            ("0.1234567899s", Some(Duration::from_nanos(123_456_789))),
            ("34", None),
            ("-1s", None),
            ("s", None),
            ("1.xs", None),
            ("\u{e9}s", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
