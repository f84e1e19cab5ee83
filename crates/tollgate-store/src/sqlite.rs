//! The ledger on SQLite: the port of `tollgate-admission` over journal and fold.
//!
//! Opening it takes the lock of the database, recovers what the last run left, and starts the
//! folding thread (and, where records must survive loss of power, the syncing thread). Closing it
//! drains the queue and leaves a database that needs no recovery.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tollgate_admission::ledger::{Ledger, LedgerError, Written};
use tollgate_domain::call::CallRecord;

use crate::clip::{clip, clip_shared};
use crate::database::{self, meta_text, set_meta};
use crate::error::StoreError;
use crate::fold::{self, Folder, Progress};
use crate::journal::dir::{Dir, Lock};
use crate::journal::{Journal, Limits};
use crate::options::{Durability, Options, Recovery};
use crate::recover::recover;
use crate::zone;

/// The value of `meta` that says what a reader does with calls that a crash cut off.
pub(crate) const IN_DOUBT: &str = "in_doubt";
/// How long a start waits for a lock: a command that recovers the journal holds it for a moment.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The writing side of a ledger; there is one for a database.
pub struct SqliteLedger {
    path: PathBuf,
    journal: Arc<Journal>,
    progress: Arc<Progress>,
    running: Mutex<Option<Running>>,
}

/// What must be ended, in this order, when the ledger closes.
struct Running {
    fold: JoinHandle<()>,
    sync: Option<JoinHandle<()>>,
    _lock: Lock,
}

/// How the ledger does, for metrics and alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerStatus {
    /// Closed calls that are not yet in the database.
    pub waiting: u64,
    /// Calls in flight.
    pub open: u64,
    /// Calls that were folded into the database since the start.
    pub folded: u64,
    /// Transactions that SQLite refused since the start; each is tried again.
    pub failures: u64,
    /// Segments of the journal.
    pub segments: u64,
    /// Bytes of the journal.
    pub bytes: u64,
    /// Why nothing can be written at present, where that is so.
    pub last_error: Option<String>,
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteLedger {
    /// Opens the ledger at `path`, makes it where there is none, and recovers what a crash left.
    ///
    /// Fails where another server holds it, or where the disk refuses.
    pub fn open(path: &Path, options: &Options) -> Result<(Self, Recovery), StoreError> {
        let dir = Dir::of(path);
        dir.create()?;
        let lock = lock(&dir, path)?;
        let power = options.durability == Durability::Power;
        let connection = database::open(path, power)?;
        let mut folder = prepare(connection, options)?;
        let (recovery, number) = recover(&dir, &mut folder, options.in_doubt)?;
        let limits =
            Limits { segment_bytes: options.segment_bytes, backlog: options.backlog_bound };
        let journal = Journal::begin(dir.clone(), number, limits, power)
            .map_err(StoreError::io("create", dir.segment(number)))?;
        let ledger = Self::start(path, journal, folder, (options, lock))?;
        Ok((ledger, recovery))
    }

    fn start(
        path: &Path,
        journal: Journal,
        mut folder: Folder,
        (options, lock): (&Options, Lock),
    ) -> Result<Self, StoreError> {
        let journal = Arc::new(journal);
        let progress = Arc::new(Progress::default());
        let sync = match journal.durability().cloned() {
            Some(durability) => Some(spawn("ledger-sync", move || durability.run())?),
            None => None,
        };
        let fold = {
            let (journal, progress) = (Arc::clone(&journal), Arc::clone(&progress));
            let pause = options.fold_pause;
            spawn("ledger-fold", move || {
                fold::run(&journal, &mut folder, &progress, pause);
                // Where this fails, the next opener reads the write-ahead log instead.
                drop(folder.checkpoint());
            })?
        };
        let running = Mutex::new(Some(Running { fold, sync, _lock: lock }));
        Ok(Self { path: path.to_owned(), journal, progress, running })
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the ledger does.
    pub fn status(&self) -> LedgerStatus {
        let (journal, fold) = (self.journal.figures(), self.progress.figures());
        LedgerStatus {
            waiting: journal.waiting,
            open: journal.open,
            folded: fold.folded,
            failures: fold.failures,
            segments: journal.segments,
            bytes: journal.bytes,
            last_error: journal.failed.or(fold.last_error),
        }
    }

    /// Folds what waits now and not after the usual pause: called before a [`crate::Reader`] in the
    /// same process waits for it.
    pub fn hurry(&self) {
        self.journal.hurry();
    }

    /// Refuses what comes, folds what waits, and releases the database. Calls that are still open
    /// stay in the journal and are in doubt at the next start. Repeating it does nothing.
    pub fn shutdown(&self) -> Result<(), StoreError> {
        self.journal.end();
        self.join()
    }

    fn join(&self) -> Result<(), StoreError> {
        let Some(running) = self.running.lock().take() else { return Ok(()) };
        let dead = |name| StoreError::Thread { name, source: std::io::Error::other("it panicked") };
        let folded = running.fold.join();
        if let Some(durability) = self.journal.durability() {
            durability.end();
        }
        let synced = running.sync.map_or(Ok(()), JoinHandle::join);
        folded.map_err(|_| dead("ledger-fold"))?;
        synced.map_err(|_| dead("ledger-sync"))?;
        self.journal.remove_if_settled();
        Ok(())
    }

    /// Stops as `kill -9` would, for tests: nothing is drained.
    #[cfg(test)]
    pub(crate) fn abandon(&self) {
        self.journal.abandon();
        let running = self.running.lock().take();
        if let Some(running) = running {
            running.fold.join().unwrap();
            if let Some(durability) = self.journal.durability() {
                durability.end();
            }
            running.sync.map_or(Ok(()), JoinHandle::join).unwrap();
        }
    }

    /// The journal, for tests that make it fail.
    #[cfg(test)]
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }
}

impl Ledger for SqliteLedger {
    fn open(&self, intent: &CallRecord) -> Result<Written, LedgerError> {
        self.journal.open(&clip(intent))
    }

    fn close(&self, record: Arc<CallRecord>) -> Result<Written, LedgerError> {
        self.journal.close(clip_shared(record))
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        // Nobody is left to tell; what was not folded is folded at the next start.
        drop(self.shutdown());
    }
}

fn lock(dir: &Dir, database: &Path) -> Result<Lock, StoreError> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = dir.try_lock()? {
            return Ok(lock);
        }
        thread::park_timeout(LOCK_PAUSE);
    }
    Err(StoreError::Locked(database.to_owned()))
}

/// Notes zone and treatment of doubt in the database; day rollups of another zone are made anew.
fn prepare(connection: Connection, options: &Options) -> Result<Folder, StoreError> {
    let wanted = zone::name(&options.zone)?;
    let folder = Folder::new(connection, options.zone.clone());
    let transaction =
        Transaction::new_unchecked(folder.connection(), TransactionBehavior::Immediate)?;
    if meta_text(&transaction, zone::META)?.as_ref() != Some(&wanted) {
        folder.rebuild_days()?;
        set_meta(&transaction, zone::META, wanted.as_bytes())?;
    }
    set_meta(&transaction, IN_DOUBT, options.in_doubt.as_str().as_bytes())?;
    transaction.commit()?;
    Ok(folder)
}

fn spawn(
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|source| StoreError::Thread { name, source })
}

#[cfg(test)]
mod tests;
