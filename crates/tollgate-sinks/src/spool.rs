//! What waits on disk while a service is away: segment files in a folder, read in the order in which
//! they were written, over restarts.
//!
//! Its size is bounded. What does not fit is not taken, so what waits is never given up for what is
//! newer: after an outage that was too long the service has everything up to a moment, and then a
//! gap that was counted. Files are not synced: a killed program loses nothing that it had written, a
//! machine without power may lose the last seconds.
//!
//! How far it was read is kept in a file of its own, written after the service took a batch. A
//! program that is killed in between sends that batch again.

mod cursor;
mod segment;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use cursor::CursorFile;
pub(crate) use cursor::Place;
use segment::{Frames, HEAD, Walk};

/// Smallest and largest size of a segment.
const SEGMENT: (u64, u64) = (64 << 10, 4 << 20);
/// A spool has about so many segments when it is full.
const SEGMENTS: u64 = 16;
/// Longest payload; what is longer is not an event of ours.
const LONGEST: usize = 1 << 20;

/// The spool of one sink.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    bound: u64,
    segments: VecDeque<Segment>,
    tail: Option<File>,
    read: CursorFile,
    /// Where the next batch begins; what is before it was handed out.
    place: Place,
    _lock: File,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
}

/// What was read, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// What was appended.
    pub(crate) payloads: Vec<Vec<u8>>,
    /// Where it ends.
    pub(crate) end: Place,
    /// Places that hold nothing readable.
    pub(crate) damaged: usize,
}

impl Spool {
    /// Opens the spool in `folder`, and makes the folder where there is none.
    pub(crate) fn open(folder: &Path, bound: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = lock(folder)?;
        let mut numbers: Vec<u64> = fs::read_dir(folder)?
            .filter_map(|entry| number_of(&entry.ok()?.file_name().to_string_lossy()))
            .collect();
        numbers.sort_unstable();
        let mut segments = VecDeque::new();
        for number in numbers {
            let bytes = fs::metadata(path_of(folder, number))?.len();
            segments.push_back(Segment { number, bytes });
        }
        let (read, place) = CursorFile::open(folder)?;
        let folder = folder.to_owned();
        let mut spool = Self { folder, bound, segments, tail: None, read, place, _lock: lock };
        spool.forget_before(place)?;
        Ok(spool)
    }

    /// What lies on disk, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Whether everything was handed out and taken.
    pub(crate) fn is_empty(&self) -> bool {
        match self.segments.front() {
            Some(first) if self.segments.len() == 1 => {
                self.place.segment == first.number && self.place.offset >= first.bytes
            }
            Some(_) => false,
            None => true,
        }
    }

    fn has_room(&self, payload: usize) -> bool {
        self.bytes().saturating_add(framed(payload)) <= self.bound
    }

    /// Whether all of these would be taken.
    pub(crate) fn has_room_for(&self, payloads: &[Vec<u8>]) -> bool {
        let more: u64 = payloads.iter().map(|payload| framed(payload.len())).sum();
        self.bytes().saturating_add(more) <= self.bound
    }

    /// Where the next payload will begin, or the one after it in a new segment.
    pub(crate) fn end(&self) -> Place {
        self.segments
            .back()
            .map_or(self.place, |last| Place { segment: last.number, offset: last.bytes })
    }

    /// Appends a payload; `false` where it is over the bound.
    pub(crate) fn append(&mut self, payload: &[u8]) -> io::Result<bool> {
        if payload.is_empty() || payload.len() > LONGEST || !self.has_room(payload.len()) {
            return Ok(false);
        }
        let largest = (self.bound / SEGMENTS).clamp(SEGMENT.0, SEGMENT.1);
        let is_full = self.segments.back().is_none_or(|last| last.bytes >= largest);
        if self.tail.is_none() || is_full {
            self.begin_segment()?;
        }
        let (Some(tail), Some(last)) = (&self.tail, self.segments.back_mut()) else {
            return Ok(false);
        };
        match segment::append(tail, last.bytes, payload) {
            Ok(written) => last.bytes += written,
            Err(error) => {
                // Half a frame may lie there; what comes next goes elsewhere.
                self.tail = None;
                last.bytes = tail_length(&self.folder, last.number)?;
                return Err(error);
            }
        }
        Ok(true)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.segments.back().map_or(self.place.segment, |last| last.number) + 1;
        let path = path_of(&self.folder, number);
        self.tail = Some(OpenOptions::new().write(true).create_new(true).open(path)?);
        self.segments.push_back(Segment { number, bytes: 0 });
        Ok(())
    }

    /// Reads up to `most` payloads of about `bytes` bytes together, from where the last reading
    /// that was taken ended.
    pub(crate) fn next(&self, most: usize, bytes: usize) -> io::Result<Read> {
        let mut read = Read { end: self.place, ..Read::default() };
        let mut left = bytes;
        for segment in &self.segments {
            let from = if segment.number == read.end.segment { read.end.offset } else { 0 };
            let text = segment::read_from(&path_of(&self.folder, segment.number), from)?;
            for (walk, end) in Frames::new(&text) {
                read.end = Place { segment: segment.number, offset: from + end };
                match walk {
                    Walk::Damage => read.damaged += 1,
                    Walk::Payload(payload) => {
                        left = left.saturating_sub(payload.len());
                        read.payloads.push(payload.to_vec());
                    }
                }
                if read.payloads.len() >= most || left == 0 {
                    return Ok(read);
                }
            }
            // What is left of a segment that is still written to is no end.
            read.end = Place { segment: segment.number, offset: segment.bytes.max(from) };
        }
        Ok(read)
    }

    /// Notes that everything up to `place` was taken, and removes what is not needed any more.
    pub(crate) fn taken(&mut self, place: Place) -> io::Result<()> {
        self.place = place;
        if place >= self.end() {
            self.tail = None;
        }
        self.read.write(place)?;
        self.forget_before(place)
    }

    /// Removes segments that were read to their end.
    fn forget_before(&mut self, place: Place) -> io::Result<()> {
        while let Some(first) = self.segments.front() {
            let done = first.number < place.segment
                || (first.number == place.segment && first.bytes <= place.offset);
            let written_to = self.tail.is_some() && self.segments.len() == 1;
            if !done || written_to {
                break;
            }
            fs::remove_file(path_of(&self.folder, first.number))?;
            self.segments.pop_front();
        }
        Ok(())
    }
}

/// What a payload of this length takes on disk.
fn framed(payload: usize) -> u64 {
    u64::try_from(payload.saturating_add(HEAD)).unwrap_or(u64::MAX)
}

fn tail_length(folder: &Path, number: u64) -> io::Result<u64> {
    Ok(fs::metadata(path_of(folder, number))?.len())
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}.spool"))
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".spool")?.parse().ok()
}

/// Keeps a second program out for as long as the file is open.
fn lock(folder: &Path) -> io::Result<File> {
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another program uses this folder")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests;
