//! One file of the journal, and the rule that it ends with a whole record whatever happened.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use tollgate_domain::id::CallId;

use super::dir::{Dir, HEADER};
use super::queue::Position;

/// Where a record lies in its segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    offset: u64,
    length: u32,
}

/// A write that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: io::Error,
    /// Whether what was partly written could not be removed.
    pub(super) unsound: bool,
}

/// The segment that grows.
#[derive(Debug)]
pub(super) struct Segment {
    number: u64,
    file: Arc<File>,
    end: u64,
    /// Bytes that were carried over from the segment before.
    carried: u64,
    #[cfg(test)]
    pub(super) fail_after: Option<u64>,
}

impl Segment {
    pub(super) fn create(dir: &Dir, number: u64) -> io::Result<Self> {
        let file = Arc::new(dir.create_segment(number)?);
        let end = u64::try_from(HEADER).unwrap_or(u64::MAX);
        Ok(Self {
            number,
            file,
            end,
            carried: end,
            #[cfg(test)]
            fail_after: None,
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn size(&self) -> u64 {
        self.end
    }

    /// Bytes that were appended here; what was carried over does not count, or many open intents
    /// would make every append begin a new segment.
    pub(super) fn grown(&self) -> u64 {
        self.end - self.carried
    }

    pub(super) fn position(&self) -> Position {
        Position { segment: self.number, offset: self.end }
    }

    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Appends whole frames, or leaves the file as it was.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<Place, Failure> {
        if let Err(error) = self.write(bytes) {
            let unsound = self.file.set_len(self.end).is_err();
            return Err(Failure { error, unsound });
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let place = Place { offset: self.end, length };
        self.end += u64::from(length);
        Ok(place)
    }

    #[cfg(not(test))]
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)
    }

    #[cfg(test)]
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let room = self.fail_after.map_or(bytes.len(), |n| usize::try_from(n).unwrap());
        let (fits, rest) = bytes.split_at(room.min(bytes.len()));
        self.file.write_all_at(fits, self.end)?;
        if rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    /// Makes the next segment and copies the intents at `open` into it. Leaves no file behind
    /// where that fails.
    pub(super) fn carry(
        &self,
        dir: &Dir,
        number: u64,
        open: &HashMap<CallId, Place>,
    ) -> io::Result<(Self, HashMap<CallId, Place>)> {
        let mut next = Self::create(dir, number)?;
        match self.copy_into(&mut next, open) {
            Ok(moved) => Ok((next, moved)),
            Err(error) => {
                fs::remove_file(dir.segment(number))?;
                Err(error)
            }
        }
    }

    fn copy_into(
        &self,
        next: &mut Self,
        open: &HashMap<CallId, Place>,
    ) -> io::Result<HashMap<CallId, Place>> {
        let mut bytes = Vec::new();
        let mut moved = HashMap::with_capacity(open.len());
        for (call, place) in open {
            let mut frame = vec![0; usize::try_from(place.length).map_err(io::Error::other)?];
            self.file.read_exact_at(&mut frame, place.offset)?;
            let start = u64::try_from(bytes.len()).map_err(io::Error::other)?;
            moved.insert(*call, Place { offset: next.end + start, length: place.length });
            bytes.append(&mut frame);
        }
        next.file.write_all_at(&bytes, next.end)?;
        next.end += u64::try_from(bytes.len()).map_err(io::Error::other)?;
        next.carried = next.end;
        Ok(moved)
    }
}
