//! Server-sent events: where one ends, and what it says.
//!
//! The scanner (see [`crate::framing`]) takes LF, CRLF and CR, comments, several `data` lines and a
//! byte order mark. Source: the WHATWG specification of server-sent events.

use std::borrow::Cow;

use crate::framing::{Event, MAX_EVENT, Step, TooLarge};

/// What a carriage return at the end of a chunk was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AfterReturn {
    #[default]
    Nothing,
    /// The end of a line.
    Line,
    /// The end of an event.
    Event,
}

/// Finds the ends of events.
#[derive(Debug)]
pub struct Scanner {
    kept: Vec<u8>,
    line_has_bytes: bool,
    after_return: AfterReturn,
    first: bool,
    limit: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::with_limit(MAX_EVENT)
    }
}

impl Scanner {
    /// A scanner that refuses events larger than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            kept: Vec::new(),
            line_has_bytes: false,
            after_return: AfterReturn::Nothing,
            first: true,
            limit,
        }
    }

    /// A scanner of a stream that has begun with the white space `kept`.
    pub(crate) fn after(kept: Vec<u8>) -> Self {
        let line_has_bytes = kept.last().is_some_and(|last| !matches!(last, b'\n' | b'\r'));
        Self { kept, line_has_bytes, ..Self::default() }
    }

    /// Looks for the end of the next event in `chunk`, from the byte `from` on.
    pub fn step(&mut self, chunk: &[u8], from: usize) -> Result<Step, TooLarge> {
        let mut at = from;
        if let Some(byte) = chunk.get(at) {
            let after = std::mem::take(&mut self.after_return);
            match (after, byte) {
                (AfterReturn::Event, b'\n') => return Ok(Step::Tail { end: at + 1 }),
                (AfterReturn::Line, b'\n') => at += 1,
                _ => {}
            }
        }
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(hit) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.line_has_bytes = true;
                break;
            };
            let blank = hit == 0 && !self.line_has_bytes;
            let bare = rest.get(hit) == Some(&b'\r');
            let pair = bare && rest.get(hit + 1) == Some(&b'\n');
            at += hit + 1 + usize::from(pair);
            self.line_has_bytes = false;
            if bare && !pair && at == chunk.len() {
                self.after_return = if blank { AfterReturn::Event } else { AfterReturn::Line };
            }
            if blank {
                return self.bounded(at - from).map(|()| Step::Event { end: at });
            }
        }
        let tail = chunk.get(from..).unwrap_or_default();
        self.bounded(tail.len())?;
        self.kept.extend_from_slice(tail);
        Ok(Step::More)
    }

    /// Whether an event has begun and not ended.
    pub fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Takes what was kept of the event that has just ended.
    pub fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }

    /// Reads an event; the first of a stream may start with a byte order mark.
    pub fn read<'e>(&mut self, event: &'e [u8]) -> Event<'e> {
        let bare = match event.strip_prefix(b"\xef\xbb\xbf") {
            Some(bare) if self.first => bare,
            _ => event,
        };
        self.first = false;
        Event::read(bare)
    }

    fn bounded(&self, more: usize) -> Result<(), TooLarge> {
        if self.kept.len().saturating_add(more) > self.limit { Err(TooLarge) } else { Ok(()) }
    }
}

impl<'a> Event<'a> {
    /// Reads the lines of one server-sent event: the value of the last `event` line, and the `data`
    /// lines joined by line feeds.
    pub fn read(event: &'a [u8]) -> Self {
        let mut read = Self::default();
        let mut rest = event;
        while !rest.is_empty() {
            let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let (line, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            let tail = match tail {
                [b'\r', b'\n', tail @ ..] | [_, tail @ ..] => tail,
                [] => tail,
            };
            rest = tail;
            if let Some(value) = field(line, b"data") {
                read.data = Some(match read.data.take() {
                    None => Cow::Borrowed(value),
                    Some(before) => {
                        let mut joined = before.into_owned();
                        joined.push(b'\n');
                        joined.extend_from_slice(value);
                        Cow::Owned(joined)
                    }
                });
            } else if let Some(value) = field(line, b"event") {
                read.name = value;
            }
        }
        read
    }
}

/// The value of a line of this field, without the one space that may stand before it.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None => rest.is_empty().then_some(rest),
    }
}
