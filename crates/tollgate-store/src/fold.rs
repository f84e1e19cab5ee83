//! The fold: closed calls become rows and rollups, in one transaction with the place in the journal
//! that it reached.
//!
//! [`Folder`] applies a batch; [`run`] is the thread that feeds it. A batch that SQLite refuses
//! (disk full, another writer) is tried again until it succeeds; meanwhile the journal keeps the
//! calls and new ones are refused once too many wait.

pub(crate) mod rollup;
pub(crate) mod row;
pub(crate) mod strings;
pub(crate) mod sums;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use jiff::tz::TimeZone;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use tollgate_domain::call::CallRecord;

use crate::journal::{Closed, Journal, Position, Take};
use rollup::{Rollups, quarter_of};
use strings::Numbers;
use sums::Sums;

/// Most calls of one transaction.
pub(crate) const BATCH: usize = 2_048;
/// How many folds back a follower can find its way.
const KEPT_FOLDS: i64 = 512;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// How often a batch is tried while the program ends; then it is left to the next start.
const LAST_TRIES: u32 = 3;

/// Applies batches to one database.
#[derive(Debug)]
pub(crate) struct Folder {
    connection: Connection,
    numbers: Numbers,
    rollups: Rollups,
    insert: String,
}

impl Folder {
    pub(crate) fn new(connection: Connection, zone: TimeZone) -> Self {
        Self {
            connection,
            numbers: Numbers::default(),
            rollups: Rollups::new(zone),
            insert: row::insert_sql(),
        }
    }

    /// Inserts the calls that are not there yet and adds them to the rollups. All or nothing; gives
    /// the number of calls that were inserted.
    pub(crate) fn apply<'a>(
        &mut self,
        calls: impl Iterator<Item = &'a CallRecord> + Clone,
        reached: Position,
    ) -> Result<u64, rusqlite::Error> {
        let applied = self.try_apply(calls, reached);
        if applied.is_err() {
            self.numbers.forget();
            self.rollups.clear();
        }
        applied
    }

    fn try_apply<'a>(
        &mut self,
        calls: impl Iterator<Item = &'a CallRecord> + Clone,
        reached: Position,
    ) -> Result<u64, rusqlite::Error> {
        let Self { connection, numbers, rollups, insert } = self;
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let batch = last_batch(&transaction)?.saturating_add(1);
        let mut inserted = 0;
        {
            let mut statement = transaction.prepare_cached(insert)?;
            for call in calls.clone() {
                let subject = row::bind(&mut statement, &transaction, numbers, call, batch)?;
                if statement.raw_execute()? == 1 {
                    inserted += 1;
                    let quarter = quarter_of(call.time.as_microsecond());
                    rollups.add(quarter, subject, &Sums::of(call));
                }
            }
        }
        rollups.write(&transaction)?;
        let first = calls.map(|call| call.call_id).min();
        note(&transaction, batch, first.map_or([0xff; 16], |id| *id.as_bytes()), reached)?;
        transaction.commit()?;
        Ok(inserted)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Makes the day rollups anew, after the zone has changed.
    pub(crate) fn rebuild_days(&self) -> Result<(), rusqlite::Error> {
        self.rollups.rebuild_days(&self.connection)
    }

    /// Moves the write-ahead log into the database, as far as readers let it.
    pub(crate) fn checkpoint(&self) -> Result<(), rusqlite::Error> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }
}

fn note(
    connection: &Connection,
    batch: i64,
    first_call: [u8; 16],
    reached: Position,
) -> Result<(), rusqlite::Error> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "INSERT INTO folds (batch, first_call, segment, position) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((batch, first_call, number(reached.segment), number(reached.offset)))?;
    if batch % 64 == 0 {
        connection
            .prepare_cached("DELETE FROM folds WHERE batch <= ?1")?
            .execute([batch - KEPT_FOLDS])?;
    }
    Ok(())
}

/// The number of the last fold; zero before the first.
pub(crate) fn last_batch(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection
        .prepare_cached("SELECT max(batch) FROM folds")?
        .query_row([], |row| row.get::<_, Option<i64>>(0))
        .map(Option::unwrap_or_default)
}

/// How much of the journal is in the database.
pub(crate) fn applied(connection: &Connection) -> Result<Position, rusqlite::Error> {
    connection
        .prepare_cached("SELECT segment, position FROM folds ORDER BY batch DESC LIMIT 1")?
        .query_row([], |row| {
            let number = |column| -> Result<u64, rusqlite::Error> {
                Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
            };
            Ok(Position { segment: number(0)?, offset: number(1)? })
        })
        .optional()
        .map(Option::unwrap_or_default)
}

/// What the folding thread tells about itself.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<Done>,
}

/// Figures since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    pub(crate) folded: u64,
    pub(crate) failures: u64,
    pub(crate) last_error: Option<String>,
}

impl Progress {
    pub(crate) fn figures(&self) -> Done {
        self.state.lock().clone()
    }

    fn succeeded(&self, count: usize) {
        let mut done = self.state.lock();
        done.folded += u64::try_from(count).unwrap_or(0);
        done.last_error = None;
    }

    fn failed(&self, error: &rusqlite::Error) {
        let mut done = self.state.lock();
        done.failures += 1;
        done.last_error = Some(error.to_string());
    }
}

/// The body of the folding thread: returns when the journal has ended and is drained.
pub(crate) fn run(journal: &Journal, folder: &mut Folder, progress: &Progress, pause: Duration) {
    let mut batch = Vec::new();
    loop {
        let (reached, more) = match journal.take(&mut batch, BATCH) {
            Take::More(reached) => (reached, true),
            Take::All(reached) => (reached, false),
            Take::Ended => break,
        };
        // Rows in order of id go to one end of the tree; of two records of one call the first stays.
        batch.sort_by_key(|closed| closed.record.call_id);
        if !fold(journal, folder, progress, (&batch, reached)) {
            break;
        }
        journal.folded(batch.len(), reached);
        batch.clear();
        if !more {
            journal.pause(pause);
        }
    }
}

/// Applies a batch however often it takes; `false` where the program ends before it succeeded.
fn fold(
    journal: &Journal,
    folder: &mut Folder,
    progress: &Progress,
    (batch, reached): (&[Closed], Position),
) -> bool {
    let mut backoff = FIRST_BACKOFF;
    let mut last_tries = LAST_TRIES;
    loop {
        match folder.apply(batch.iter().map(|closed| &*closed.record), reached) {
            Ok(_) => {
                progress.succeeded(batch.len());
                return true;
            }
            Err(error) => progress.failed(&error),
        }
        if journal.is_ending() {
            last_tries -= 1;
            if last_tries == 0 {
                return false;
            }
        }
        journal.pause(backoff);
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}
