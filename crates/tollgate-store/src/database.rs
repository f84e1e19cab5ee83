//! How the SQLite file is opened: settings, schema, and the checks that it is ours.
//!
//! The journal carries the durability of calls, so the write-ahead log of SQLite may lag behind a
//! loss of power (`synchronous = NORMAL`: the file stays sound, the last commits may be missing)
//! unless records must survive that; then every commit is synced, because a segment of the journal
//! is deleted once its calls are committed.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior};

use crate::error::StoreError;

/// The first SQLite without the bug that could corrupt a write-ahead log being reset.
const OLDEST_SQLITE: i32 = 3_051_003;
/// `TGLG`: marks the file as a ledger of this program.
const APPLICATION_ID: i64 = 0x5447_4c47;
/// How long a statement waits for another writer.
const BUSY: Duration = Duration::from_secs(5);
/// The schema, one step a version.
const MIGRATIONS: [&str; 9] = [
    include_str!("migrations/001.sql"),
    include_str!("migrations/002.sql"),
    include_str!("migrations/003.sql"),
    include_str!("migrations/004.sql"),
    include_str!("migrations/005.sql"),
    include_str!("migrations/006.sql"),
    include_str!("migrations/007.sql"),
    include_str!("migrations/008.sql"),
    include_str!("migrations/009.sql"),
];

/// Opens a database for writing, makes it where there is none, and brings its schema up to date.
pub(crate) fn open(path: &Path, synced_commits: bool) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags)?;
    check_owner(&connection, path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(
        None,
        "synchronous",
        if synced_commits { "FULL" } else { "NORMAL" },
    )?;
    connection.pragma_update(None, "wal_autocheckpoint", 2_000)?;
    // The pages that one batch changes must fit, or SQLite spills them into the log and writes them
    // again at the commit.
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    migrate(&connection)?;
    Ok(connection)
}

/// Opens a database for reading; it must exist and have this program's schema.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    // Reading a write-ahead log needs write access to its index, so the flag is on and writing is
    // refused by `query_only`.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags)?;
    check_owner(&connection, path)?;
    if version(&connection)? != latest() {
        migrate(&connection)?;
    }
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(StoreError::OldSqlite(rusqlite::version().to_owned()));
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "cache_size", -2_048)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// An empty file is taken; one with foreign tables is not.
fn check_owner(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let owner: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if owner == APPLICATION_ID || tables == 0 {
        Ok(())
    } else {
        Err(StoreError::Foreign(path.to_owned()))
    }
}

fn version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn latest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Applies what is missing. Several programs may start at once: the write lock is taken before the
/// version is read.
fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > latest() {
        return Err(StoreError::Newer { found, known: latest() });
    }
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    if found != latest() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", latest())?;
    }
    transaction.commit()?;
    Ok(())
}

/// Reads a value of the table `meta`.
pub(crate) fn meta(
    connection: &Connection,
    name: &str,
) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Writes a value of the table `meta`.
pub(crate) fn set_meta(
    connection: &Connection,
    name: &str,
    value: &[u8],
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "INSERT INTO meta (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute((name, value))
        .map(drop)
}

/// Reads a value of the table `meta` that is text.
pub(crate) fn meta_text(
    connection: &Connection,
    name: &str,
) -> Result<Option<String>, rusqlite::Error> {
    Ok(meta(connection, name)?.and_then(|value| String::from_utf8(value).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_starters_make_one_schema() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| open(&path, false).unwrap());
            }
        });
        let connection = open_for_reading(&path).unwrap();
        assert_eq!(version(&connection).unwrap(), latest());
        assert!(set_meta(&connection, "a", b"b").is_err(), "a reader must not write");
    }

    #[test]
    fn databases_of_others_and_of_later_versions_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let foreign = dir.path().join("foreign.db");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(matches!(open(&foreign, false), Err(StoreError::Foreign(_))));

        let newer = dir.path().join("newer.db");
        open(&newer, false).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(open(&newer, false), Err(StoreError::Newer { found: 99, .. })));

        let missing = dir.path().join("missing.db");
        assert!(matches!(open_for_reading(&missing), Err(StoreError::Missing(_))));
    }
}
