//! How far a spool was read: one record in a file of its own, overwritten in place.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A place in a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The number of the segment; the first has the number 1.
    pub(crate) segment: u64,
    /// The offset in it, in bytes.
    pub(crate) offset: u64,
}

/// Two integers and their checksum.
const LENGTH: usize = 20;

/// The file that keeps a place.
#[derive(Debug)]
pub(super) struct CursorFile(File);

impl CursorFile {
    /// Opens the file in `folder`. A file that holds no place stands for the beginning: what was
    /// taken before is then sent again, and nothing is lost.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Place)> {
        let path = folder.join("cursor");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path)?;
        let mut bytes = [0; LENGTH];
        let place = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => read(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Place::default(),
            Err(error) => return Err(error),
        };
        Ok((Self(file), place))
    }

    pub(super) fn write(&self, place: Place) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend(place.segment.to_le_bytes());
        bytes.extend(place.offset.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        self.0.write_all_at(&bytes, 0)
    }
}

fn read(bytes: &[u8; LENGTH]) -> Option<Place> {
    let (numbers, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(numbers) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (segment, offset) = numbers.split_first_chunk::<8>()?;
    let offset = offset.first_chunk::<8>()?;
    Some(Place { segment: u64::from_le_bytes(*segment), offset: u64::from_le_bytes(*offset) })
}
