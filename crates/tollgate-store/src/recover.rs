//! What a start finds in the journal: closed calls that are not in the database yet are folded,
//! intents without an end become rows marked `in_doubt`, and the segments go.
//!
//! Everything before the applied position is skipped, and the id of a call is unique, so recovery
//! may itself be cut off and repeated. A segment with unreadable bytes is kept under another name.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

use crate::codec;
use crate::error::StoreError;
use crate::fold::{BATCH, Folder, applied};
use crate::journal::Position;
use crate::journal::dir::{Dir, HEADER, header};
use crate::journal::frame::{Frame, Frames, Item, Kind};
use crate::options::{InDoubt, Recovery};

/// Brings the database up to date with the journal and empties it; gives what was found and the
/// number of the segment to begin with.
pub(crate) fn recover(
    dir: &Dir,
    folder: &mut Folder,
    in_doubt: InDoubt,
) -> Result<(Recovery, u64), StoreError> {
    let segments = dir.segments()?;
    let mut replay = Replay::new(applied(folder.connection())?);
    for (index, number) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        let bytes =
            fs::read(dir.segment(*number)).map_err(StoreError::io("read", dir.segment(*number)))?;
        let unreadable = replay.segment(*number, &bytes, is_last, folder)?;
        if unreadable > 0 {
            replay.found.corrupt_bytes += unreadable;
            replay.damaged.push(*number);
        }
    }
    replay.flush(folder)?;
    replay.mark(folder, in_doubt)?;
    for number in &segments {
        remove(dir, *number, replay.damaged.contains(number), &mut replay.found)?;
    }
    let last = segments.last().copied().unwrap_or(0).max(replay.reached.segment);
    Ok((replay.found, last + 1))
}

fn remove(dir: &Dir, number: u64, damaged: bool, found: &mut Recovery) -> Result<(), StoreError> {
    let path = dir.segment(number);
    if damaged {
        let aside = path.with_extension("tgj.corrupt");
        fs::rename(&path, &aside).map_err(StoreError::io("rename", &path))?;
        found.corrupt.push(aside);
        return Ok(());
    }
    fs::remove_file(&path).map_err(StoreError::io("delete", Path::new(&path)))
}

struct Replay {
    /// What was in the database at the start.
    applied: Position,
    reached: Position,
    /// Intents whose end has not been met: id and encoded record.
    open: HashMap<CallId, Vec<u8>>,
    batch: Vec<CallRecord>,
    damaged: Vec<u64>,
    found: Recovery,
}

impl Replay {
    fn new(applied: Position) -> Self {
        Self {
            applied,
            reached: applied,
            open: HashMap::new(),
            batch: Vec::new(),
            damaged: Vec::new(),
            found: Recovery::default(),
        }
    }

    /// Reads one segment; gives the number of bytes that should have been readable and were not.
    fn segment(
        &mut self,
        number: u64,
        bytes: &[u8],
        is_last: bool,
        folder: &mut Folder,
    ) -> Result<u64, StoreError> {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        if bytes.len() < HEADER && is_last {
            self.found.torn_bytes += wide(bytes.len());
            return Ok(0);
        }
        let sound = bytes.starts_with(&header(number));
        let mut unreadable = if sound { 0 } else { wide(HEADER) };
        for item in Frames::new(bytes, HEADER) {
            match item {
                Item::Frame(frame) => {
                    let end = Position { segment: number, offset: wide(frame.end) };
                    if !self.frame(&frame, end, folder)? {
                        unreadable += wide(frame.bytes.len());
                    }
                }
                Item::Torn(count) if is_last => self.found.torn_bytes += wide(count),
                Item::Torn(count) | Item::Damage(count) => unreadable += wide(count),
            }
        }
        Ok(unreadable)
    }

    /// Takes one record; `false` where its payload is none that this program can read.
    fn frame(
        &mut self,
        frame: &Frame<'_>,
        end: Position,
        folder: &mut Folder,
    ) -> Result<bool, StoreError> {
        let Some(call) = codec::call_id(frame.payload) else { return Ok(false) };
        if frame.kind == Kind::Intent {
            self.open.insert(call, frame.payload.to_vec());
            return Ok(true);
        }
        self.open.remove(&call);
        if end <= self.applied {
            return Ok(true);
        }
        let Some(record) = codec::decode(frame.payload) else { return Ok(false) };
        self.batch.push(record);
        self.reached = end;
        if self.batch.len() >= BATCH {
            self.flush(folder)?;
        }
        Ok(true)
    }

    fn flush(&mut self, folder: &mut Folder) -> Result<(), StoreError> {
        if !self.batch.is_empty() {
            self.found.replayed += folder.apply(self.batch.iter(), self.reached)?;
            self.batch.clear();
        }
        Ok(())
    }

    /// Makes rows of the intents that remain.
    fn mark(&mut self, folder: &mut Folder, in_doubt: InDoubt) -> Result<(), StoreError> {
        let mut records: Vec<_> = self
            .open
            .values()
            .filter_map(|payload| codec::decode(payload))
            .map(|record| as_in_doubt(record, in_doubt))
            .collect();
        records.sort_by_key(|record| record.call_id);
        for part in records.chunks(BATCH) {
            self.found.in_doubt += folder.apply(part.iter(), self.reached)?;
        }
        Ok(())
    }
}

fn as_in_doubt(mut record: CallRecord, in_doubt: InDoubt) -> CallRecord {
    record.outcome = Outcome::InDoubt;
    if in_doubt == InDoubt::Release {
        record.cost = NanoUsd::ZERO;
        record.usage = Usage::default();
    }
    record
}

#[cfg(test)]
mod tests;
