//! The dictionary of repeated texts: text to number when folding, number to text when reading.
//!
//! Both sides cache what they saw, within a bound. The writing side must forget what it learnt in a
//! transaction that failed ([`Numbers::forget`]).

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};

/// Most texts that a cache holds; then it starts afresh.
const BOUND: usize = 8_192;
/// The number of "none".
pub(crate) const NONE: i64 = 0;

/// Text to number, adding what is not there.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    known: HashMap<Arc<str>, i64>,
}

impl Numbers {
    /// The number of a text, given one where it has none.
    pub(crate) fn number(
        &mut self,
        connection: &Connection,
        text: &Arc<str>,
    ) -> Result<i64, rusqlite::Error> {
        if let Some(number) = self.known.get(text) {
            return Ok(*number);
        }
        let number = match find(connection, text)? {
            Some(number) => number,
            None => connection
                .prepare_cached("INSERT INTO strings (text) VALUES (?1) RETURNING id")?
                .query_row([text], |row| row.get(0))?,
        };
        if self.known.len() >= BOUND {
            self.known.clear();
        }
        self.known.insert(Arc::clone(text), number);
        Ok(number)
    }

    /// [`Self::number`] for a text that may be absent.
    pub(crate) fn optional(
        &mut self,
        connection: &Connection,
        text: Option<&Arc<str>>,
    ) -> Result<i64, rusqlite::Error> {
        text.map_or(Ok(NONE), |text| self.number(connection, text))
    }

    /// Drops everything, as numbers given in a failed transaction do not exist.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }
}

/// The number of a text, where it has one.
pub(crate) fn find(connection: &Connection, text: &str) -> Result<Option<i64>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT id FROM strings WHERE text = ?1")?
        .query_row([text], |row| row.get(0))
        .optional()
}

/// Number to text.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    known: RefCell<HashMap<i64, Arc<str>>>,
}

impl Texts {
    /// The text of a number; `None` for [`NONE`].
    pub(crate) fn text(
        &self,
        connection: &Connection,
        number: i64,
    ) -> Result<Option<Arc<str>>, rusqlite::Error> {
        if number == NONE {
            return Ok(None);
        }
        if let Some(text) = self.known.borrow().get(&number) {
            return Ok(Some(Arc::clone(text)));
        }
        let text: Arc<str> = connection
            .prepare_cached("SELECT text FROM strings WHERE id = ?1")?
            .query_row([number], |row| row.get(0))?;
        let mut known = self.known.borrow_mut();
        if known.len() >= BOUND {
            known.clear();
        }
        known.insert(number, Arc::clone(&text));
        Ok(Some(text))
    }
}
