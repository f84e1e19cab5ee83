//! Kill switches that are on, so that they survive a restart and reach every program that watches.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::change::Change;
use super::{Registry, time};
use crate::error::StoreError;

/// A switch as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchRecord {
    /// What it stops, in the form of the API; unique.
    pub reach: String,
    /// Why.
    pub reason: String,
    /// Who switched it.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
}

impl Change<'_> {
    /// Switches something on, in the place of an earlier switch of the same reach.
    pub fn set_switch(&self, switch: &SwitchRecord) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO switches VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                switch.reach,
                switch.reason,
                switch.by,
                switch.since.as_microsecond()
            ])?;
        Ok(())
    }

    /// Switches something off; `false` where it was off.
    pub fn remove_switch(&self, reach: &str) -> Result<bool, StoreError> {
        let removed = self
            .connection
            .prepare_cached("DELETE FROM switches WHERE reach = ?1")?
            .execute([reach])?;
        Ok(removed > 0)
    }

    /// The switches that are on, by reach.
    pub fn switches(&self) -> Result<Vec<SwitchRecord>, StoreError> {
        switches(self.connection)
    }
}

impl Registry {
    /// The switches that are on, by reach.
    pub fn switches(&self) -> Result<Vec<SwitchRecord>, StoreError> {
        switches(&self.connection)
    }
}

fn switches(connection: &Connection) -> Result<Vec<SwitchRecord>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM switches ORDER BY reach")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(SwitchRecord {
            reach: row.get("reach")?,
            reason: row.get("reason")?,
            by: row.get("switched_by")?,
            since: time(row, "since_us")?.ok_or(StoreError::Malformed { what: "time" })?,
        });
    }
    Ok(found)
}
