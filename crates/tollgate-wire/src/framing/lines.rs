//! A stream of JSON documents, one a line.

use std::borrow::Cow;

use super::{Event, MAX_EVENT, Step, TooLarge};

/// Finds the ends of lines.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    kept: Vec<u8>,
}

impl Scanner {
    /// A scanner of a stream that has begun with `kept`.
    pub(crate) fn after(kept: Vec<u8>) -> Self {
        Self { kept }
    }

    pub(crate) fn step(&mut self, chunk: &[u8], from: usize) -> Result<Step, TooLarge> {
        let rest = chunk.get(from..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).map(|at| at + 1);
        let more = length.unwrap_or(rest.len());
        if self.kept.len().saturating_add(more) > MAX_EVENT {
            return Err(TooLarge);
        }
        if let Some(length) = length {
            return Ok(Step::Event { end: from + length });
        }
        self.kept.extend_from_slice(rest);
        Ok(Step::More)
    }

    pub(crate) fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }
}

/// The document of a line.
pub(crate) fn read(line: &[u8]) -> Event<'_> {
    let data = line.trim_ascii();
    Event { name: b"", data: (!data.is_empty()).then_some(Cow::Borrowed(data)) }
}
