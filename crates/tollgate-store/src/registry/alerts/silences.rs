//! Silences: what operators do not want to be told for some time. They are changed through
//! [`Change`], because each change is audited.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use super::instant;
use crate::error::StoreError;
use crate::registry::Registry;
use crate::registry::change::Change;

/// A silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceRecord {
    /// Its number; not read when it is added.
    pub id: i64,
    /// What it matches, as JSON.
    pub matchers: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Registry {
    /// Silences that end after `now`, by number.
    pub fn silences(&self, now: Timestamp) -> Result<Vec<SilenceRecord>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT * FROM alert_silences WHERE until_us > ?1 ORDER BY id")?;
        let mut rows = statement.query([now.as_microsecond()])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read_silence(row)?);
        }
        Ok(found)
    }
}

impl Change<'_> {
    /// Adds a silence, and gives its number.
    pub fn insert_silence(&self, silence: &SilenceRecord) -> Result<i64, StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO alert_silences (matchers, reason, created_by, from_us, until_us)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                silence.matchers,
                silence.reason,
                silence.by,
                silence.from.as_microsecond(),
                silence.until.as_microsecond(),
            ])?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Ends a silence that is in force at `now`, and gives it as it was.
    pub fn end_silence(&self, id: i64, now: Timestamp) -> Result<SilenceRecord, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT * FROM alert_silences WHERE id = ?1 AND until_us > ?2")?
            .query_row((id, now.as_microsecond()), |row| Ok(read_silence(row)))
            .optional()?
            .transpose()?;
        let unknown = || StoreError::Unknown { what: "silence", name: id.to_string() };
        let silence = found.ok_or_else(unknown)?;
        self.connection
            .prepare_cached("UPDATE alert_silences SET until_us = ?2 WHERE id = ?1")?
            .execute((id, now.as_microsecond()))?;
        Ok(silence)
    }
}

fn read_silence(row: &Row<'_>) -> Result<SilenceRecord, StoreError> {
    Ok(SilenceRecord {
        id: row.get("id")?,
        matchers: row.get("matchers")?,
        reason: row.get("reason")?,
        by: row.get("created_by")?,
        from: instant(row, "from_us")?,
        until: instant(row, "until_us")?,
    })
}
