//! The trace that a client's call belongs to: `traceparent` of W3C Trace Context
//! (<https://www.w3.org/TR/trace-context/>), read strictly and written again without allocating.
//!
//! What is not exactly as the document says is no trace at all, so that nobody's spans hang on an id
//! that another reader of the same header understands in another way. Span ids of our own are those
//! of calls ([`CallId::span_id`]), never drawn, so that what is told twice is the same span.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::CallId;

/// Length of a `traceparent` of version 00, in bytes.
pub const LENGTH: usize = 55;
/// The bit of the flags that says that the caller may have recorded its span. The others are not
/// defined in version 00 and are not passed on.
const SAMPLED: u8 = 1;

/// A place in a trace: the trace, a span in it, and whether that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

impl TraceParent {
    /// Reads the value of a header. `None` where it is malformed: version `ff`, ids of zeros only,
    /// capital letters, anything more than version 00 has. Of a later version the fields that are
    /// known are read, and what follows them after a dash is left alone.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, more) = value.split_first_chunk::<LENGTH>()?;
        let [high, low, b'-', ids @ .., b'-', f1, f2] = head else { return None };
        let version = octet([*high, *low])?;
        let continues = version > 0 && more.first() == Some(&b'-');
        if version == u8::MAX || !(more.is_empty() || continues) {
            return None;
        }
        let (trace, span) = ids.split_first_chunk::<32>()?;
        let trace = octets(trace)?;
        let span = octets(span.strip_prefix(b"-")?)?;
        let known = trace != [0; 16] && span != [0; 8];
        let sampled = octet([*f1, *f2])? & SAMPLED != 0;
        known.then_some(Self { trace, span, sampled })
    }

    /// The id of the trace.
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace
    }

    /// The id of the span.
    pub const fn span_id(&self) -> [u8; 8] {
        self.span
    }

    /// Whether the span may be recorded by whoever made it.
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The span of a call in the same trace: what a service that the call asks gets to know.
    #[must_use]
    pub fn at(self, call: CallId) -> Self {
        Self { span: call.span_id(), ..self }
    }

    /// The value of the header, in version 00.
    pub fn encode(&self) -> [u8; LENGTH] {
        let flags = [u8::from(self.sampled)];
        let fields: [&[u8]; 4] = [&[0], &self.trace, &self.span, &flags];
        let mut text = [b'-'; LENGTH];
        let mut places = text.iter_mut();
        for field in fields {
            let digits = field.iter().flat_map(|octet| [octet >> 4, octet & 0x0f]).map(digit);
            for (digit, place) in digits.zip(places.by_ref()) {
                *place = digit;
            }
            // The dash after it stands there.
            places.next();
        }
        text
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.encode().iter().try_for_each(|byte| fmt::Write::write_char(f, char::from(*byte)))
    }
}

/// A text that is no `traceparent`.
#[derive(Debug, thiserror::Error)]
#[error("not a traceparent: expected 00-<32 hexadecimal digits>-<16>-<2>, in small letters")]
pub struct InvalidTraceParent;

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes()).ok_or(InvalidTraceParent)
    }
}

impl TryFrom<String> for TraceParent {
    type Error = InvalidTraceParent;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(trace: TraceParent) -> Self {
        trace.to_string()
    }
}

const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn octet([high, low]: [u8; 2]) -> Option<u8> {
    Some(value(high)? << 4 | value(low)?)
}

/// The octets that exactly twice as many digits are.
fn octets<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, odd) = digits.as_chunks::<2>();
    if pairs.len() != N || !odd.is_empty() {
        return None;
    }
    let mut octets = [0; N];
    for (place, pair) in octets.iter_mut().zip(pairs) {
        *place = octet(*pair)?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn what_the_document_allows_is_read_and_nothing_else() {
        let of = |text: &str| text.replace('T', TRACE).replace('S', SPAN);
        // The header, and what the same is in version 00.
        let table = [
            ("00-T-S-01", Some("00-T-S-01")),
            ("00-T-S-00", Some("00-T-S-00")),
            // Flags that version 00 does not know are not passed on.
            ("00-T-S-03", Some("00-T-S-01")),
            ("00-T-S-fe", Some("00-T-S-00")),
            // A later version: what is known of it, whatever follows after a dash.
            ("01-T-S-01", Some("00-T-S-01")),
            ("cc-T-S-01-what-comes.then", Some("00-T-S-01")),
            ("fe-T-S-00-", Some("00-T-S-00")),
            ("01-T-S-01x", None),
            ("01-T-S-01.x", None),
            // Version 00 has nothing after its flags, and ff is none.
            ("00-T-S-01-", None),
            ("00-T-S-01-more", None),
            ("ff-T-S-01", None),
            ("ff-T-S-01-more", None),
            // No ids of zeros only.
            ("00-00000000000000000000000000000000-S-01", None),
            ("00-T-0000000000000000-01", None),
            // Small letters only, hexadecimal digits only, each field of its length.
            ("00-0AF7651916CD43DD8448EB211C80319C-S-01", None),
            ("00-T-B7AD6B7169203331-01", None),
            ("00-T-S-0A", None),
            ("0A-T-S-01", None),
            ("00-T-S-0g", None),
            ("00-gaf7651916cd43dd8448eb211c80319c-S-01", None),
            ("00-T-b7ad6b716920333 -01", None),
            ("00-T-S-1", None),
            ("00-T-S-", None),
            ("00-T-S", None),
            ("0-T-S-01", None),
            ("00-T0-S-01", None),
            ("00-T-0S-1", None),
            ("00_T_S_01", None),
            ("00-T-S_01", None),
            ("00TS01", None),
            (" 00-T-S-01", None),
            ("00-T-S-01 ", None),
            ("00-T-S-01,00-T-S-01", None),
            ("", None),
            ("-", None),
            ("00-aa-bb-01", None),
        ];
        for (text, read) in table {
            let found = TraceParent::parse(of(text).as_bytes());
            assert_eq!(found.map(|it| it.to_string()), read.map(of), "{text}");
        }
        let korean = "\u{d55c}".repeat(18) + "1";
        assert_eq!((korean.len(), TraceParent::parse(korean.as_bytes())), (LENGTH, None));
    }

    #[test]
    fn a_call_in_a_trace_is_its_own_span_and_always_the_same() {
        let client: TraceParent = format!("00-{TRACE}-{SPAN}-01").parse().unwrap();
        let call = CallId::new(1_795_263_743_000, [7; 10]);
        let here = client.at(call);
        assert_eq!((here.trace_id(), here.span_id()), (client.trace_id(), call.span_id()));
        assert_ne!(here.span_id(), client.span_id());
        assert_eq!(here, client.at(call));
        assert!(here.is_sampled());
        assert_eq!(TraceParent::parse(&here.encode()), Some(here));
        assert_eq!(here.to_string().as_bytes(), here.encode());
    }
}
