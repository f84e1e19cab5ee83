//! Identifiers: what names a call, and what may travel in a header as a request id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id of one call: a `UUIDv7`, so that ids sort by time of admission and fill a B-tree in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(Uuid);

impl CallId {
    /// Makes an id from a time in milliseconds since the epoch and ten random bytes.
    pub fn new(unix_millis: u64, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid())
    }

    /// The sixteen bytes of the id, as the ledger stores them.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id that these sixteen bytes are.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id of the call's span in a trace: its second half, which is random but for the bits that
    /// make it no zero.
    pub fn span_id(&self) -> [u8; 8] {
        self.as_bytes().last_chunk::<8>().copied().unwrap_or_default()
    }

    /// Writes the hyphenated form into `buffer` and returns it as text, without allocating.
    pub fn encode<'a>(&self, buffer: &'a mut [u8; 36]) -> &'a str {
        self.0.hyphenated().encode_lower(buffer)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a call id.
#[derive(Debug, thiserror::Error)]
#[error("not a call id: expected a UUID such as 0190a5c2-7b4e-7c3a-9d55-2f6f1c3b8a01")]
pub struct InvalidCallId(#[from] uuid::Error);

impl FromStr for CallId {
    type Err = InvalidCallId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Uuid::try_parse(text)?))
    }
}

/// Whether a client's `x-request-id` may be kept: 1 to 128 of `[A-Za-z0-9._-]`.
///
/// Anything else is replaced by one of our own, so that log lines and headers cannot be forged.
pub fn is_sane_request_id(text: &[u8]) -> bool {
    (1..=128).contains(&text.len())
        && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let early = CallId::new(1_700_000_000_000, [0xff; 10]);
        let late = CallId::new(1_700_000_000_001, [0; 10]);
        assert!(early < late);
        assert_eq!(late.to_string().parse::<CallId>().unwrap(), late);
        assert_eq!(CallId::from_bytes(*late.as_bytes()), late);
        assert_eq!(late.encode(&mut [0; 36]), late.to_string());
        assert!("nonsense".parse::<CallId>().is_err());
    }

    #[test]
    fn request_ids_with_control_characters_are_not_kept() {
        assert!(is_sane_request_id(b"req_01.A-b"));
        for bad in [&b""[..], b"a b", b"a\nb", "\u{d55c}".as_bytes(), &[b'x'; 129]] {
            assert!(!is_sane_request_id(bad));
        }
    }
}
