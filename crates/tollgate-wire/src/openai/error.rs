//! Reads the errors of providers, in every form that vendors of this dialect use.

use crate::facts::InbandError;
use crate::json::Text;
use crate::json::lenient::Pull;

use super::answer::seconds;

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
pub(super) fn error_value(pull: &mut Pull<'_>) -> Option<InbandError> {
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
pub(super) fn error_fields(pull: &mut Pull<'_>) -> Option<InbandError> {
    if !pull.enter_object() {
        pull.skip();
        return None;
    }
    let mut error = InbandError::default();
    let mut inner = None;
    while let Some(key) = pull.next_key() {
        match key {
            b"message" | b"detail" => error.message = message(pull),
            b"type" | b"status" => error.kind = word(pull.skip()).or(error.kind),
            b"code" => error.code = word(pull.skip()),
            b"status_code" | b"raw_status_code" => {
                let status = seconds(pull.skip()).and_then(|n| u16::try_from(n).ok());
                error.status = status.or(error.status);
            }
            b"error" => inner = error_value(pull).or(inner),
            _ => {
                pull.skip();
            }
        }
    }
    Some(inner.unwrap_or(error))
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
