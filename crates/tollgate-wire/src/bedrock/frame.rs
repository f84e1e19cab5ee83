//! Frames of an AWS event stream: where one ends, and what it says.
//!
//! A frame is a prelude (its length, the length of its headers, a checksum of both), headers,
//! a payload and a checksum of all that. [`Frames`] finds the ends in bytes as they arrive and
//! leaves the bytes alone; it has the step interface of [`crate::sse::Scanner`], so that one relay
//! serves both. A length is believed only after its checksum: bytes that are no frames are refused
//! at once and not collected until a length that they seem to state. Only frames whose second
//! checksum holds as well are given out. Source: the specification of
//! `application/vnd.amazon.eventstream` in the AWS SDKs.

use std::borrow::Cow;

use crate::framing::{Event, Step};
use crate::json::push_string;

/// The largest frame, as AWS bounds it.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;
/// Lengths and their checksum.
const PRELUDE: usize = 12;
/// A frame without headers and payload.
const EMPTY: usize = PRELUDE + 4;
/// The type of a header whose value is a text.
const TEXT: u8 = 7;

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It states more bytes than [`MAX_FRAME`].
    #[error("a frame of the stream is larger than 16 MiB")]
    TooLarge,
    /// The stated lengths contradict each other, or the headers do not fill theirs.
    #[error("a frame of the stream contradicts its own lengths")]
    Lengths,
    /// A checksum does not fit: the bytes were damaged, or are no frame.
    #[error("a frame of the stream does not have the checksum that it states")]
    Checksum,
}

/// Finds the ends of frames.
#[derive(Debug)]
pub struct Frames {
    kept: Vec<u8>,
    limit: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self::with_limit(MAX_FRAME)
    }
}

impl Frames {
    /// A scanner that refuses frames larger than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { kept: Vec::new(), limit }
    }

    /// Looks for the end of the frame that goes on in `chunk` at the byte `from`.
    ///
    /// A [`Step::Event`] is a frame; there is no [`Step::Tail`] here. After an error nothing
    /// that follows can be trusted.
    pub fn step(&mut self, chunk: &[u8], from: usize) -> Result<Step, FrameError> {
        let rest = chunk.get(from..).unwrap_or_default();
        let held = self.kept.len();
        let mut prelude = [0; PRELUDE];
        let known = prelude
            .iter_mut()
            .zip(self.kept.iter().chain(rest))
            .map(|(slot, byte)| *slot = *byte)
            .count();
        if known == PRELUDE {
            let length = frame_length(&prelude, self.limit)?;
            if held + rest.len() >= length {
                let end = length.saturating_sub(held);
                self.check(rest.get(..end).unwrap_or_default())?;
                return Ok(Step::Event { end: from + end });
            }
        }
        self.kept.extend_from_slice(rest);
        Ok(Step::More)
    }

    /// Checks what is kept and what completes it against the checksum at the end.
    fn check(&self, rest: &[u8]) -> Result<(), FrameError> {
        let covered = (self.kept.len() + rest.len()).saturating_sub(4);
        let (first, _) = self.kept.split_at(covered.min(self.kept.len()));
        let (second, _) = rest.split_at(covered.saturating_sub(self.kept.len()));
        let mut sum = crc32fast::Hasher::new();
        sum.update(first);
        sum.update(second);
        let mut stated = [0; 4];
        let bytes = self.kept.iter().chain(rest).skip(covered);
        stated.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
        let fits = sum.finalize() == u32::from_be_bytes(stated);
        if fits { Ok(()) } else { Err(FrameError::Checksum) }
    }

    /// Whether a frame has begun and not ended.
    pub fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Takes what was kept of the frame that has just ended.
    pub fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }
}

/// The length that a prelude states, once its checksum holds.
fn frame_length(prelude: &[u8; PRELUDE], limit: usize) -> Result<usize, FrameError> {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *prelude;
    if crc32fast::hash(&[a, b, c, d, e, f, g, h]) != u32::from_be_bytes([i, j, k, l]) {
        return Err(FrameError::Checksum);
    }
    let size = |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    let (total, headers) = (size([a, b, c, d]), size([e, f, g, h]));
    if total > limit {
        return Err(FrameError::TooLarge);
    }
    if total < EMPTY || headers > total - EMPTY { Err(FrameError::Lengths) } else { Ok(total) }
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    headers: &'a [u8],
    /// What it carries, mostly JSON.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads one whole frame and checks both checksums.
    pub fn read(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (prelude, rest) = bytes.split_first_chunk::<PRELUDE>().ok_or(FrameError::Lengths)?;
        if frame_length(prelude, usize::MAX)? != bytes.len() {
            return Err(FrameError::Lengths);
        }
        let (body, stated) = rest.split_last_chunk::<4>().ok_or(FrameError::Lengths)?;
        let covered = bytes.get(..bytes.len() - 4).unwrap_or_default();
        if crc32fast::hash(covered) != u32::from_be_bytes(*stated) {
            return Err(FrameError::Checksum);
        }
        let [_, _, _, _, e, f, g, h, ..] = *prelude;
        let length = usize::try_from(u32::from_be_bytes([e, f, g, h])).unwrap_or(usize::MAX);
        let (headers, payload) = body.split_at_checked(length).ok_or(FrameError::Lengths)?;
        let mut rest = headers;
        while !rest.is_empty() {
            rest = header(rest).ok_or(FrameError::Lengths)?.2;
        }
        Ok(Self { headers, payload })
    }

    /// The text of a header; the first of its name counts. `None` where its value is no text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.headers;
        while let Some((found, value, tail)) = header(rest) {
            if found == name.as_bytes() {
                return value.and_then(|value| str::from_utf8(value).ok());
            }
            rest = tail;
        }
        None
    }

    /// `event`, `exception` or `error`.
    pub fn message_type(&self) -> &'a str {
        self.header(":message-type").unwrap_or("event")
    }
}

/// What a frame says, in the terms of all framings: events by their type, exceptions by theirs, and
/// what a gateway of AWS calls an error as `error` with its members in the body.
pub(crate) fn event(bytes: &[u8]) -> Event<'_> {
    let Ok(frame) = Frame::read(bytes) else { return Event::default() };
    let of = |name| frame.header(name).unwrap_or_default();
    let payload = Some(Cow::Borrowed(frame.payload));
    match frame.message_type() {
        "exception" => Event { name: of(":exception-type").as_bytes(), data: payload },
        "error" => {
            let mut data = b"{\"__type\":".to_vec();
            push_string(&mut data, of(":error-code"));
            data.extend_from_slice(b",\"message\":");
            push_string(&mut data, of(":error-message"));
            data.push(b'}');
            Event { name: b"error", data: Some(Cow::Owned(data)) }
        }
        _ => Event { name: of(":event-type").as_bytes(), data: payload },
    }
}

/// A header's name, its value where that is a text, and what follows.
type Header<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

/// Reads the header that stands first. `None` where there is none, or a broken one.
fn header(bytes: &[u8]) -> Option<Header<'_>> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let fixed = match kind {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        9 => 16,
        6 | &TEXT => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (value, tail) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            return Some((name, (*kind == TEXT).then_some(value), tail));
        }
        _ => return None,
    };
    let (_, tail) = rest.split_at_checked(fixed)?;
    Some((name, None, tail))
}

/// Appends a frame with these headers, all texts, and this payload.
///
/// A name is at most 255 bytes and a value at most 65 535: what is longer is clipped, so that a
/// frame is whole whatever its headers say.
pub fn push_frame(out: &mut Vec<u8>, headers: &[(&str, &str)], payload: &[u8]) {
    let mut block = Vec::with_capacity(128);
    for (name, value) in headers {
        let name = name.get(..name.floor_char_boundary(usize::from(u8::MAX))).unwrap_or_default();
        let value =
            value.get(..value.floor_char_boundary(usize::from(u16::MAX))).unwrap_or_default();
        block.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        block.extend_from_slice(name.as_bytes());
        block.push(TEXT);
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        block.extend_from_slice(&length.to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let start = out.len();
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&size(EMPTY + block.len() + payload.len()));
    out.extend_from_slice(&size(block.len()));
    push_checksum(out, start);
    out.extend_from_slice(&block);
    out.extend_from_slice(payload);
    push_checksum(out, start);
}

/// Appends an event of the kind that Bedrock's streams consist of.
pub fn push_event(out: &mut Vec<u8>, event_type: &str, payload: &[u8]) {
    let headers = [
        (":event-type", event_type),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    push_frame(out, &headers, payload);
}

fn push_checksum(out: &mut Vec<u8>, start: usize) {
    let sum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_frame(&mut out, headers, payload);
        out
    }

    /// Every whole frame in these chunks, and what is left over.
    fn frames(chunks: &[&[u8]]) -> Result<(Vec<Vec<u8>>, Vec<u8>), FrameError> {
        let mut scanner = Frames::default();
        let mut found = Vec::new();
        for chunk in chunks {
            let mut from = 0;
            while from < chunk.len() {
                let Step::Event { end } = scanner.step(chunk, from)? else { break };
                let mut whole = scanner.take_kept();
                whole.extend_from_slice(&chunk[from..end]);
                found.push(whole);
                from = end;
            }
        }
        Ok((found, scanner.take_kept()))
    }

    #[test]
    fn an_empty_frame_is_the_one_of_the_specification() {
        // The vector `empty_message` of the SDKs.
        let bytes = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(frame(&[], b""), bytes);
        assert_eq!(Frame::read(&bytes).unwrap().payload, b"");
    }

    #[test]
    fn headers_of_every_type_are_passed_over_and_texts_are_read() {
        let mut block = Vec::new();
        for (kind, value) in [
            (0u8, &b""[..]),
            (1, b""),
            (2, b"1"),
            (3, b"12"),
            (4, b"1234"),
            (5, b"12345678"),
            (6, b"\0\x03abc"),
            (8, b"12345678"),
            (9, b"1234567812345678"),
            (7, b"\0\x02hi"),
        ] {
            block.extend_from_slice(&[2, b'k', b'0' + kind, kind]);
            block.extend_from_slice(value);
        }
        let parsed = Frame { headers: &block, payload: b"" };
        assert_eq!(parsed.header("k7"), Some("hi"));
        assert_eq!(parsed.header("k6"), None, "bytes are no text");
        assert_eq!(parsed.header("k"), None);
        assert_eq!(parsed.message_type(), "event");
    }

    #[test]
    fn a_damaged_byte_anywhere_is_noticed() {
        let whole = frame(&[(":event-type", "metadata")], b"{\"usage\":{}}");
        assert!(Frame::read(&whole).is_ok());
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            assert!(Frame::read(&damaged).is_err(), "byte {at}");
        }
        assert_eq!(Frame::read(&whole[..whole.len() - 1]), Err(FrameError::Lengths));
        assert_eq!(Frame::read(b""), Err(FrameError::Lengths));
    }

    #[test]
    fn a_damaged_frame_ends_the_stream_wherever_it_was_cut() {
        let mut whole = frame(&[(":event-type", "metadata")], b"{\"usage\":{}}");
        for at in 0..whole.len() {
            assert_eq!(frames(&[&whole[..at], &whole[at..]]).unwrap().0.len(), 1, "sound");
        }
        let middle = whole.len() / 2;
        whole[middle] ^= 1;
        for at in 0..whole.len() {
            let found = frames(&[&whole[..at], &whole[at..]]);
            assert_eq!(found, Err(FrameError::Checksum), "cut at {at}");
        }
    }

    #[test]
    fn exceptions_and_errors_are_events_by_their_own_names() {
        let exception =
            [(":message-type", "exception"), (":exception-type", "throttlingException")];
        let whole = frame(&exception, b"{\"message\":\"m\"}");
        let found = event(&whole);
        assert_eq!(found.name, b"throttlingException");
        assert_eq!(found.data.as_deref(), Some(&b"{\"message\":\"m\"}"[..]));
        let error =
            [(":message-type", "error"), (":error-code", "Internal"), (":error-message", "a\"b")];
        let found = event(&frame(&error, b"")).data.unwrap().into_owned();
        assert_eq!(found, br#"{"__type":"Internal","message":"a\"b"}"#);
        assert_eq!(event(b"junk"), Event::default());
    }

    #[test]
    fn a_frame_beyond_the_bound_is_refused_before_it_is_collected() {
        let whole = frame(&[], &[7; 100]);
        let mut scanner = Frames::with_limit(115);
        assert_eq!(scanner.step(&whole[..12], 0), Err(FrameError::TooLarge));
        let mut scanner = Frames::with_limit(116);
        assert_eq!(scanner.step(&whole, 0), Ok(Step::Event { end: 116 }));
    }

    #[test]
    fn bytes_that_are_no_frames_are_refused_at_once() {
        let html = b"<html><body>upstream connect error</body></html>";
        assert_eq!(Frames::default().step(html, 0), Err(FrameError::Checksum));
    }

    #[test]
    fn headers_that_are_too_long_are_clipped_and_the_frame_stays_whole() {
        let whole = frame(&[(&"n".repeat(300), &"v".repeat(70_000))], b"x");
        let parsed = Frame::read(&whole).unwrap();
        assert_eq!(parsed.header(&"n".repeat(255)).map(str::len), Some(65_535));
        assert_eq!(parsed.payload, b"x");
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_same_frames_come_out(
            payloads in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..40), 0..6),
            cuts in proptest::collection::vec(0usize..600, 0..12),
            lost in 0usize..20,
        ) {
            let written: Vec<Vec<u8>> =
                payloads.iter().map(|payload| frame(&[(":event-type", "chunk")], payload)).collect();
            let mut bytes = written.concat();
            bytes.truncate(bytes.len().saturating_sub(lost));
            let mut ends: Vec<usize> = cuts.into_iter().filter(|at| *at < bytes.len()).collect();
            ends.extend([0, bytes.len()]);
            ends.sort_unstable();
            let chunks: Vec<&[u8]> = ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let (found, left) = frames(&chunks).unwrap();
            prop_assert!(written.starts_with(&found));
            prop_assert_eq!([found.concat(), left].concat(), bytes);
            for (frame, payload) in found.iter().zip(&payloads) {
                let parsed = Frame::read(frame).unwrap();
                prop_assert_eq!(parsed.payload, payload);
                prop_assert_eq!(parsed.header(":event-type"), Some("chunk"));
            }
        }

        #[test]
        fn no_bytes_whatever_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            headers in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = Frame::read(&bytes);
            drop(frames(&[&bytes]));
            let mut whole = Vec::new();
            push_frame(&mut whole, &[], &headers);
            // The payload taken for headers: lengths are mended, so that the headers are read.
            whole[4..8].copy_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
            let sum = crc32fast::hash(&whole[..8]).to_be_bytes();
            whole[8..12].copy_from_slice(&sum);
            let end = whole.len() - 4;
            let sum = crc32fast::hash(&whole[..end]).to_be_bytes();
            whole[end..].copy_from_slice(&sum);
            if let Ok(parsed) = Frame::read(&whole) {
                prop_assert_eq!(parsed.payload, b"");
                parsed.header("x");
            }
        }
    }
}
