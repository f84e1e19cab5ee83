//! Usage that happened elsewhere: which events were taken up, and the rows that the ledger has yet to
//! get.
//!
//! The transaction that takes events up is what makes them count. Until their rows are in the
//! ledger they are kept here too, under the id of the call, so a crash in between loses none and
//! doubles none.

use jiff::Timestamp;
use rusqlite::Connection;
use tollgate_admission::books::UsageEvent;
use tollgate_domain::call::CallRecord;

use super::{Registry, actions};
use crate::error::StoreError;

/// An event whose row the ledger may not have.
#[derive(Clone, Debug)]
pub struct PendingEvent {
    /// Name of the key that sent it.
    pub sender: String,
    /// Where it comes from.
    pub source: String,
    /// Its id.
    pub id: String,
    /// Its row.
    pub record: CallRecord,
}

impl Registry {
    /// Takes up events, all or none; says of each whether it is new.
    pub fn take_events(
        &self,
        events: &[UsageEvent],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        self.write(|connection| {
            let mut fresh = Vec::with_capacity(events.len());
            for event in events {
                fresh.push(take(connection, event, now)?);
            }
            Ok(fresh)
        })
    }

    /// Notes that the ledger has the rows of events: sender, source and id of each.
    pub fn events_recorded<'a>(
        &self,
        names: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE usage_events SET pending = NULL
                 WHERE sender = ?1 AND source = ?2 AND id = ?3",
            )?;
            for name in names {
                statement.execute(name)?;
            }
            Ok(())
        })
    }

    /// Events that were taken up before `before` and whose rows the ledger may not have.
    pub fn pending_events(&self, before: Timestamp) -> Result<Vec<PendingEvent>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT sender, source, id, pending FROM usage_events
             WHERE pending IS NOT NULL AND received_us < ?1 ORDER BY received_us",
        )?;
        let mut rows = statement.query([before.as_microsecond()])?;
        let mut pending = Vec::new();
        while let Some(row) = rows.next()? {
            let json: String = row.get(3)?;
            let record = serde_json::from_str(&json)
                .map_err(|_| StoreError::Malformed { what: "row of a usage event" })?;
            pending.push(PendingEvent {
                sender: row.get(0)?,
                source: row.get(1)?,
                id: row.get(2)?,
                record,
            });
        }
        Ok(pending)
    }

    /// Forgets events that were taken up before `before`: a repetition of one is new again.
    pub fn forget_events(&self, before: Timestamp) -> Result<(), StoreError> {
        self.write(|connection| {
            connection
                .prepare_cached(
                    "DELETE FROM usage_events WHERE received_us < ?1 AND pending IS NULL",
                )?
                .execute([before.as_microsecond()])?;
            Ok(())
        })
    }
}

fn take(connection: &Connection, event: &UsageEvent, now: Timestamp) -> Result<bool, StoreError> {
    let json = serde_json::to_string(&*event.record)
        .map_err(|_| StoreError::Malformed { what: "row of a usage event" })?;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO usage_events (sender, source, id, received_us, pending)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute((event.sender(), &event.source, &event.id, now.as_microsecond(), json))?;
    if inserted == 1
        && let Some(action) = event.action()
    {
        actions::insert(connection, &action)?;
    }
    Ok(inserted == 1)
}
