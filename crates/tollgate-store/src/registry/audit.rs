//! Who changed what. Entries are added in the transaction of the change itself and stay: the
//! database refuses to change or delete them.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::change::Change;
use super::{Registry, time};
use crate::error::StoreError;

/// A change to be noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry<'a> {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub who: &'a str,
    /// What was done, such as `user.change`.
    pub action: &'a str,
    /// To what.
    pub subject: &'a str,
    /// How it was, as JSON; `None` where it was not.
    pub before: Option<String>,
    /// How it is since, as JSON; `None` where it is no more.
    pub after: Option<String>,
}

/// A change that was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number; grows with time.
    pub id: i64,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub who: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// How it was, as JSON.
    pub before: Option<String>,
    /// How it is since, as JSON.
    pub after: Option<String>,
}

/// Which changes are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// By whom.
    pub who: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// To what.
    pub subject: Option<String>,
    /// Only changes before this one: the last of the page before.
    pub before: Option<i64>,
}

impl Change<'_> {
    /// Notes who makes this change.
    pub fn audit(&self, entry: &AuditEntry<'_>) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO audit (time_us, who, action, subject, before, after)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                entry.time.as_microsecond(),
                entry.who,
                entry.action,
                entry.subject,
                entry.before,
                entry.after,
            ])?;
        Ok(())
    }
}

impl Registry {
    /// Changes, newest first, at most `limit`.
    pub fn audit(
        &self,
        filter: &AuditFilter,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT * FROM audit
             WHERE id < ?1 AND (?2 IS NULL OR who = ?2) AND (?3 IS NULL OR action = ?3)
               AND (?4 IS NULL OR subject = ?4)
             ORDER BY id DESC LIMIT ?5",
        )?;
        let mut rows = statement.query(params![
            filter.before.unwrap_or(i64::MAX),
            filter.who,
            filter.action,
            filter.subject,
            i64::try_from(limit).unwrap_or(i64::MAX),
        ])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }
}

fn read(row: &Row<'_>) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        id: row.get("id")?,
        time: time(row, "time_us")?.ok_or(StoreError::Malformed { what: "time" })?,
        who: row.get("who")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        before: row.get("before")?,
        after: row.get("after")?,
    })
}
