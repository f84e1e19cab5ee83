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
    let (lengths, stated) = prelude.split_last_chunk::<4>().ok_or(FrameError::Lengths)?;
    if crc32fast::hash(lengths) != u32::from_be_bytes(*stated) {
        return Err(FrameError::Checksum);
    }
    let (total, headers) = lengths_of(prelude);
    if total > limit {
        return Err(FrameError::TooLarge);
    }
    if total < EMPTY || headers > total - EMPTY { Err(FrameError::Lengths) } else { Ok(total) }
}

/// The length of the frame and of its headers.
fn lengths_of(prelude: &[u8; PRELUDE]) -> (usize, usize) {
    let size = |word: &[u8; 4]| usize::try_from(u32::from_be_bytes(*word)).unwrap_or(usize::MAX);
    match prelude.as_chunks::<4>().0 {
        [total, headers, ..] => (size(total), size(headers)),
        _ => (0, 0),
    }
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
        let (_, length) = lengths_of(prelude);
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
mod tests;
