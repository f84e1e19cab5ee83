//! One JSON array that comes in pieces: its elements are the events.
//!
//! What stands between two elements belongs to the second, so that whatever has passed is the
//! beginning of an array. A single object instead of an array (an error) is one event.

use std::borrow::Cow;

use super::{Event, MAX_EVENT, Step, TooLarge};

/// Where the scanner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the array.
    Before,
    /// In the array, between elements.
    Between,
    /// In an element that these brackets enclose, `depth` of them open.
    Inside { open: u8, close: u8, depth: u64 },
    /// Behind the document.
    After,
}

/// Finds the ends of the elements.
#[derive(Debug)]
pub(crate) struct Scanner {
    kept: Vec<u8>,
    place: Place,
    wrapped: bool,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    /// A scanner of a stream that has begun with the white space `kept`.
    pub(crate) fn after(kept: Vec<u8>) -> Self {
        Self { kept, place: Place::Before, wrapped: false, in_string: false, escaped: false }
    }

    pub(crate) fn step(&mut self, chunk: &[u8], from: usize) -> Result<Step, TooLarge> {
        if self.place == Place::After {
            return Ok(Step::Tail { end: chunk.len() });
        }
        let mut at = from;
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            let (length, ends) = if self.in_string {
                (self.string(rest), false)
            } else if let Place::Inside { open, close, depth } = self.place {
                self.inside(rest, (open, close), depth)
            } else {
                self.between(rest)
            };
            at += length;
            if ends {
                return self.bounded(at - from).map(|()| Step::Event { end: at });
            }
        }
        let tail = chunk.get(from..).unwrap_or_default();
        self.bounded(tail.len())?;
        self.kept.extend_from_slice(tail);
        Ok(Step::More)
    }

    /// Passes the inside of a string.
    fn string(&mut self, rest: &[u8]) -> usize {
        if std::mem::take(&mut self.escaped) {
            return 1;
        }
        let Some(at) = memchr::memchr2(b'"', b'\\', rest) else {
            return rest.len();
        };
        self.escaped = rest.get(at) == Some(&b'\\');
        self.in_string = self.escaped;
        at + 1
    }

    /// Passes an element up to the next bracket or string.
    fn inside(&mut self, rest: &[u8], (open, close): (u8, u8), depth: u64) -> (usize, bool) {
        let Some(at) = memchr::memchr3(b'"', open, close, rest) else {
            return (rest.len(), false);
        };
        let depth = match rest.get(at) {
            Some(byte) if *byte == open => depth.saturating_add(1),
            Some(byte) if *byte == close => depth.saturating_sub(1),
            _ => {
                self.in_string = true;
                depth
            }
        };
        let ends = depth == 0;
        self.place = match (ends, self.wrapped) {
            (false, _) => Place::Inside { open, close, depth },
            (true, true) => Place::Between,
            (true, false) => Place::After,
        };
        (at + 1, ends)
    }

    /// Passes one byte between elements.
    fn between(&mut self, rest: &[u8]) -> (usize, bool) {
        let enter = |open, close| Place::Inside { open, close, depth: 1 };
        match rest.first() {
            Some(b'[') if self.place == Place::Before => {
                self.wrapped = true;
                self.place = Place::Between;
            }
            Some(b'[') => self.place = enter(b'[', b']'),
            Some(b'{') => self.place = enter(b'{', b'}'),
            Some(b'"') => self.in_string = true,
            Some(b']') => {
                self.place = Place::After;
                return (1, true);
            }
            _ => {}
        }
        (1, false)
    }

    pub(crate) fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }

    fn bounded(&self, more: usize) -> Result<(), TooLarge> {
        if self.kept.len().saturating_add(more) > MAX_EVENT { Err(TooLarge) } else { Ok(()) }
    }
}

/// The element of an event, without what stands before it; the closing bracket at the end.
pub(crate) fn read(event: &[u8]) -> Event<'_> {
    let before = |byte: &&u8| byte.is_ascii_whitespace() || matches!(**byte, b',' | b'[');
    let skipped = event.iter().take_while(before).count();
    let data = event.get(skipped..).unwrap_or_default().trim_ascii_end();
    Event { name: b"", data: (!data.is_empty()).then_some(Cow::Borrowed(data)) }
}
