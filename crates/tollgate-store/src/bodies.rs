//! Prompts and answers, where they are kept: in a database of their own beside the ledger.
//!
//! It is apart for three reasons: writing large texts must not hold up the ledger, what is deleted
//! must be gone (`secure_delete`), and whoever may read the ledger need not be able to read these.
//! The file is made when the first text comes, readable by its owner alone.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Row, Transaction, TransactionBehavior,
};
use tollgate_domain::bodies::CallBodies;
use tollgate_domain::id::CallId;

use crate::error::StoreError;

/// `TGBD`: marks the file as one of this program's.
const APPLICATION_ID: i64 = 0x5447_4244;
/// The layout that this program knows.
const VERSION: i64 = 1;
/// How long a statement waits for another one.
const BUSY: Duration = Duration::from_secs(5);
/// Rows that one transaction deletes.
const STEP: i64 = 500;

const SCHEMA: &str = "
    CREATE TABLE bodies (
        call_id      BLOB NOT NULL PRIMARY KEY,
        time_us      INTEGER NOT NULL,
        redacted     INTEGER NOT NULL,
        prompt       TEXT,
        answer       TEXT,
        prompt_bytes INTEGER NOT NULL,
        answer_bytes INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX bodies_by_time ON bodies (time_us);
";

/// The database of prompts and answers.
#[derive(Debug)]
pub struct BodyStore {
    connection: Connection,
}

impl BodyStore {
    /// Where the bodies of a ledger's calls are.
    pub fn path_of(database: &Path) -> PathBuf {
        let mut path = OsString::from(database);
        path.push(".bodies");
        PathBuf::from(path)
    }

    /// Opens it for writing, and makes it where there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make(path).map_err(StoreError::io("create", path))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "secure_delete", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        check(&transaction, path)?;
        if version(&transaction)? == 0 {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
        Ok(Self { connection })
    }

    /// Keeps the bodies of some calls, all or none. Those of a call that are there already stay.
    pub fn put(&mut self, bodies: &[CallBodies]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR IGNORE INTO bodies
                 (call_id, time_us, redacted, prompt, answer, prompt_bytes, answer_bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for each in bodies {
                let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
                insert.execute((
                    each.call_id.as_bytes(),
                    each.time.as_microsecond(),
                    each.redacted,
                    &each.prompt,
                    &each.answer,
                    bytes(each.prompt_bytes),
                    bytes(each.answer_bytes),
                ))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Deletes the bodies of calls that arrived before `before`; gives how many there were.
    pub fn purge(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        let mut all: u64 = 0;
        loop {
            let gone = self
                .connection
                .prepare_cached(
                    "DELETE FROM bodies WHERE call_id IN
                 (SELECT call_id FROM bodies WHERE time_us < ?1 ORDER BY time_us LIMIT ?2)",
                )?
                .execute((before.as_microsecond(), STEP))?;
            if gone == 0 {
                break;
            }
            all += u64::try_from(gone).unwrap_or_default();
        }
        if all > 0 {
            // What was deleted is in the log until it is folded back.
            self.connection.execute_batch("PRAGMA incremental_vacuum")?;
            let mut fold = self.connection.prepare("PRAGMA wal_checkpoint(TRUNCATE)")?;
            fold.query_row([], |_| Ok(()))?;
        }
        Ok(all)
    }

    /// The bodies of a call in the file at `path`; `None` where there are none, or no file.
    pub fn find(path: &Path, call: CallId) -> Result<Option<CallBodies>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        // Reading a write-ahead log needs write access to its index.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        check(&connection, path)?;
        if version(&connection)? == 0 {
            return Ok(None);
        }
        connection.pragma_update(None, "query_only", true)?;
        let mut found = connection.prepare(
            "SELECT call_id, time_us, redacted, prompt, answer, prompt_bytes, answer_bytes
             FROM bodies WHERE call_id = ?1",
        )?;
        Ok(found.query_row([call.as_bytes()], read).optional()?)
    }
}

/// Makes an empty file that only its owner can read, where there is none.
fn make(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whether the file is ours, and of a layout that is known.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let owner: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if owner != APPLICATION_ID && tables > 0 {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    match version(connection)? {
        found if found > VERSION => Err(StoreError::Newer { found, known: VERSION }),
        _ => Ok(()),
    }
}

fn read(row: &Row<'_>) -> Result<CallBodies, rusqlite::Error> {
    let bytes = |count: i64| u64::try_from(count).unwrap_or_default();
    Ok(CallBodies {
        call_id: CallId::from_bytes(row.get(0)?),
        time: Timestamp::from_microsecond(row.get(1)?).unwrap_or_default(),
        redacted: row.get(2)?,
        prompt: row.get(3)?,
        answer: row.get(4)?,
        prompt_bytes: bytes(row.get(5)?),
        answer_bytes: bytes(row.get(6)?),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn bodies(n: u8, time: &str) -> CallBodies {
        CallBodies {
            call_id: CallId::from_bytes([n; 16]),
            time: time.parse().unwrap(),
            redacted: n.is_multiple_of(2),
            prompt: Some(format!("prompt {n}")),
            answer: (n != 3).then(|| format!("answer {n}")),
            prompt_bytes: u64::from(n),
            answer_bytes: 7,
        }
    }

    #[test]
    fn what_is_put_is_found_and_only_the_owner_can_read_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = BodyStore::path_of(&folder.path().join("t.db"));
        let wanted = bodies(3, "2026-11-21T00:00:00Z");
        assert_eq!(BodyStore::find(&path, wanted.call_id).unwrap(), None, "there is no file");
        assert!(!path.exists());
        let mut store = BodyStore::open(&path).unwrap();
        store.put(&[wanted.clone(), bodies(4, "2026-11-21T00:00:00Z")]).unwrap();
        let other = CallBodies { prompt: None, ..wanted.clone() };
        store.put(&[other]).unwrap();
        assert_eq!(BodyStore::find(&path, wanted.call_id).unwrap(), Some(wanted.clone()));
        assert_eq!(BodyStore::find(&path, CallId::from_bytes([9; 16])).unwrap(), None);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(store);
        BodyStore::open(&path).unwrap();
        assert!(!format!("{wanted:?}").contains("prompt 3"));
    }

    #[test]
    fn what_is_older_than_its_retention_is_gone_from_the_file_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.bodies");
        let mut store = BodyStore::open(&path).unwrap();
        let old = CallBodies {
            prompt: Some("a very private text ".repeat(50)),
            ..bodies(1, "2026-11-01T00:00:00Z")
        };
        let young = bodies(2, "2026-11-20T00:00:00Z");
        store.put(&[old.clone(), young.clone()]).unwrap();
        assert_eq!(store.purge("2026-11-10T00:00:00Z".parse().unwrap()).unwrap(), 1);
        assert_eq!(store.purge("2026-11-10T00:00:00Z".parse().unwrap()).unwrap(), 0);
        assert_eq!(BodyStore::find(&path, old.call_id).unwrap(), None);
        assert_eq!(BodyStore::find(&path, young.call_id).unwrap(), Some(young));
        for file in [path.clone(), folder.path().join("t.bodies-wal")] {
            let bytes = std::fs::read(file).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&bytes).contains("very private"));
        }
    }

    #[test]
    fn a_file_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.bodies");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(matches!(BodyStore::open(&path), Err(StoreError::Foreign(_))));
        assert!(BodyStore::find(&path, CallId::from_bytes([1; 16])).is_err());
    }
}
