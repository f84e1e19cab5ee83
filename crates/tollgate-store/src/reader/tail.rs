//! How far the journal of a running server reaches, seen from outside.

use std::fs;
use std::io;

use crate::error::StoreError;
use crate::journal::Position;
use crate::journal::dir::{Dir, HEADER};
use crate::journal::frame::{Frames, Item, Kind};

/// The end of the last closed call behind `applied`; `None` where there is none.
///
/// A segment that vanishes while this looks has been folded and needs no waiting for.
pub(crate) fn last_closed(dir: &Dir, applied: Position) -> Result<Option<Position>, StoreError> {
    for number in dir.segments()?.into_iter().rev().take_while(|n| *n >= applied.segment) {
        let path = dir.segment(number);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let folded = if number == applied.segment { applied.offset } else { 0 };
        let start = usize::try_from(folded).unwrap_or(usize::MAX).max(HEADER);
        if let Some(offset) = last_closed_end(&bytes, start) {
            return Ok(Some(Position { segment: number, offset }));
        }
    }
    Ok(None)
}

fn last_closed_end(bytes: &[u8], start: usize) -> Option<u64> {
    Frames::new(bytes, start)
        .filter_map(|item| match item {
            Item::Frame(frame) if frame.kind == Kind::Closed => u64::try_from(frame.end).ok(),
            _ => None,
        })
        .last()
}
