//! What the CLI and the admin API change beside a running server: keys, users and what is decided
//! about them, switches, single values; the audit of these changes; what alerts leave behind; and how scheduled work stands.
//!
//! Changes go through [`Registry::change`], several in one transaction together with their audit
//! entry. Each change raises a counter in the database in the same transaction, so that every program that
//! watches it ([`Watch`]) notices within its next look.

pub(crate) mod actions;
pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod change;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod overrides;
pub(crate) mod switches;
pub(crate) mod users;

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

use crate::database::{self, meta, meta_text, set_meta};
use crate::error::StoreError;

/// The value of `meta` that counts changes.
const VERSION: &str = "registry_version";

/// Access to what is administered. It belongs to one thread at a time.
pub struct Registry {
    connection: Connection,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens the database at `path`, and makes it where there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: database::open(path, true)? })
    }

    /// A value that is kept under a name, such as the pepper of key hashes.
    pub fn value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(meta(&self.connection, &user_name(name))?)
    }

    /// Keeps a value under a name.
    pub fn set_value(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.change(|change| Ok(set_meta(change.connection, &user_name(name), value)?))
    }

    /// The value under a name; where there is none, what `make` gives is kept and returned. Of
    /// several programs that do this at once, all get the same value.
    pub fn value_or_insert(
        &self,
        name: &str,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Result<Vec<u8>, StoreError> {
        if let Some(value) = self.value(name)? {
            return Ok(value);
        }
        let name = user_name(name);
        self.change(|change| match meta(change.connection, &name)? {
            Some(value) => Ok(value),
            None => {
                let value = make();
                set_meta(change.connection, &name, &value)?;
                Ok(value)
            }
        })
    }

    /// Does `work` in one transaction that no other program has to notice.
    fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

/// Names that callers choose are kept apart from the store's own.
fn user_name(name: &str) -> String {
    format!("value/{name}")
}

fn version(connection: &Connection) -> Result<u64, rusqlite::Error> {
    Ok(meta_text(connection, VERSION)?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Notices changes that other programs make to keys, users and values.
pub struct Watch {
    connection: Connection,
    data_version: i64,
    version: u64,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Watch {
    /// Begins to watch the database at `path`, which must exist.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = database::open_for_reading(path)?;
        let data_version = data_version(&connection)?;
        let version = version(&connection)?;
        Ok(Self { connection, data_version, version })
    }

    /// Whether anything has changed since the last look. Cheap enough for several a second: the
    /// counter is read only after some other connection has written at all.
    pub fn changed(&mut self) -> Result<bool, StoreError> {
        let seen = data_version(&self.connection)?;
        if seen == self.data_version {
            return Ok(false);
        }
        self.data_version = seen;
        let now = version(&self.connection)?;
        Ok(std::mem::replace(&mut self.version, now) != now)
    }
}

fn data_version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// Reads a time that is stored as microseconds.
fn time(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>, StoreError> {
    row.get::<_, Option<i64>>(column)?
        .map(Timestamp::from_microsecond)
        .transpose()
        .map_err(|_| StoreError::Malformed { what: "time" })
}

fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_microsecond)
}

/// Turns the breach of a unique name into an error that says so.
fn unless_exists<T>(
    done: Result<T, rusqlite::Error>,
    what: &'static str,
    name: &str,
) -> Result<T, StoreError> {
    done.map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => {
            StoreError::Exists { what, name: name.to_owned() }
        }
        _ => error.into(),
    })
}
