//! The directory of the journal: names, order and headers of its segments, and the lock that keeps
//! a second server out.
//!
//! It lies beside the database as `<database>.journal/`; `<database>-journal` is a name that SQLite
//! takes for its own rollback journal.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// First bytes of a segment; the seventh is the version of the layout.
const MAGIC: [u8; 8] = *b"TGJRNL\x01\n";
/// Length of a segment's header: magic and number.
pub(crate) const HEADER: usize = 16;

/// The directory, and how its files are named.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    path: PathBuf,
}

/// Exclusive use of a journal for as long as it lives; the system ends it with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Dir {
    /// The journal that belongs to this database.
    pub(crate) fn of(database: &Path) -> Self {
        let mut path = OsString::from(database);
        path.push(".journal");
        Self { path: PathBuf::from(path) }
    }

    pub(crate) fn create(&self) -> Result<(), StoreError> {
        fs::create_dir_all(&self.path).map_err(StoreError::io("create", &self.path))
    }

    /// Takes the lock, or says `None` where a server holds it.
    pub(crate) fn try_lock(&self) -> Result<Option<Lock>, StoreError> {
        let path = self.path.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
        }
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:010}.tgj"))
    }

    /// Numbers of the segments that are there, oldest first.
    pub(crate) fn segments(&self) -> Result<Vec<u64>, StoreError> {
        let mut numbers = self.named(|name| name.strip_suffix(".tgj")?.parse().ok())?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Segments that were set aside because parts of them could not be read.
    pub(crate) fn corrupt(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut found =
            self.named(|name| name.ends_with(".corrupt").then(|| self.path.join(name)))?;
        found.sort_unstable();
        Ok(found)
    }

    fn named<T>(&self, pick: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, StoreError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("read", &self.path)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(StoreError::io("read", &self.path))?.file_name();
            found.extend(name.to_str().and_then(&pick));
        }
        Ok(found)
    }

    /// Creates a segment that holds its header and nothing else.
    pub(crate) fn create_segment(&self, number: u64) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.segment(number))?;
        match file.write_all_at(&header(number), 0) {
            Ok(()) => Ok(file),
            Err(error) => {
                fs::remove_file(self.segment(number))?;
                Err(error)
            }
        }
    }

    /// Makes the names of segments survive a loss of power.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// The first bytes of the segment with this number.
pub(crate) fn header(number: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let (magic, rest) = header.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    rest.copy_from_slice(&number.to_le_bytes());
    header
}
