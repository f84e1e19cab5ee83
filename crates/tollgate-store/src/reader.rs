//! Reading the ledger, beside a running server or without one.
//!
//! A reader has its own connection and changes nothing, with one exception: where no server runs
//! and the last one left a journal, opening a reader recovers it first, or the answers would be
//! incomplete. Beside a running server it waits until the fold has reached what the journal held
//! when it was asked, so that whoever saw an answer finds its call.

pub(crate) mod calls;
mod check;
pub(crate) mod follow;
mod tail;
pub(crate) mod usage;
pub(crate) mod verify;
mod windows;

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tollgate_domain::clock::Clock;

use crate::database::{self, meta_text};
use crate::error::StoreError;
use crate::fold::strings::Texts;
use crate::fold::{Folder, applied};
use crate::journal::dir::Dir;
use crate::options::{InDoubt, Recovery};
use crate::purge::read_purged;
use crate::recover::recover;
use crate::sqlite::IN_DOUBT;
use crate::zone;

/// How long to sleep between two looks at the fold.
const LOOK: Duration = Duration::from_millis(2);

/// A view of the ledger. It belongs to one thread at a time.
pub struct Reader {
    path: PathBuf,
    dir: Dir,
    connection: Connection,
    texts: Texts,
    recovery: Recovery,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens the ledger at `path`, which must exist. Where no server runs, what the last one left
    /// in its journal is recovered first.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        let dir = Dir::of(path);
        let recovery = recover_if_abandoned(path, &dir)?;
        let connection = database::open_for_reading(path)?;
        Ok(Self { path: path.to_owned(), dir, connection, texts: Texts::default(), recovery })
    }

    /// What opening had to set right.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Before which time rows have been purged; their sums are still in usage reports.
    pub fn purged_before(&self) -> Result<Timestamp, StoreError> {
        let (second, _) = read_purged(&self.connection)?;
        Timestamp::from_second(second).map_err(|_| StoreError::Malformed { what: "time" })
    }

    /// Waits, for `patience` at most, until every call that has been closed by now can be read;
    /// `false` where the fold did not get that far.
    pub fn catch_up(&self, patience: Duration) -> Result<bool, StoreError> {
        let clock = Clock::system();
        let Some(goal) = tail::last_closed(&self.dir, applied(&self.connection)?)? else {
            return Ok(true);
        };
        loop {
            if applied(&self.connection)? >= goal {
                return Ok(true);
            }
            if clock.monotonic() >= patience {
                return Ok(false);
            }
            thread::park_timeout(LOOK);
        }
    }
}

fn recover_if_abandoned(path: &Path, dir: &Dir) -> Result<Recovery, StoreError> {
    if dir.segments()?.is_empty() {
        return Ok(Recovery::default());
    }
    let Some(_lock) = dir.try_lock()? else { return Ok(Recovery::default()) };
    let connection = database::open(path, true)?;
    let in_doubt = meta_text(&connection, IN_DOUBT)?
        .map_or_else(InDoubt::default, |word| InDoubt::from_word(&word));
    let zone = zone::of(&connection)?;
    let mut folder = Folder::new(connection, zone);
    let (recovery, _) = recover(dir, &mut folder, in_doubt)?;
    Ok(recovery)
}
