//! The outbox of messages: written with the turn that asks for them, sent by couriers, and kept
//! until they are forgotten, so that nothing is told twice.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::instant;
use crate::error::StoreError;
use crate::registry::Registry;

/// A message to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRecord {
    /// Its number; grows with time. Not read when it is added.
    pub id: i64,
    /// The channel.
    pub channel: String,
    /// What it tells, as JSON.
    pub notice: String,
    /// Messages of one thread are delivered in the order in which they were written.
    pub thread: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// How often it was sent.
    pub attempts: u32,
}

/// How a message stands after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeState {
    /// It is sent again then.
    Waits(Timestamp),
    /// It was delivered.
    Delivered,
    /// It was given up.
    GivenUp,
}

impl Registry {
    /// The message of a channel that has been due longest at `now`. One waits until those of its
    /// thread that were written before are done: an end must not overtake its begin.
    pub fn due_notice(
        &self,
        channel: &str,
        now: Timestamp,
    ) -> Result<Option<NoticeRecord>, StoreError> {
        self.connection
            .prepare_cached(
                "SELECT * FROM alert_outbox AS own
                 WHERE state = 0 AND channel = ?1 AND due_us <= ?2 AND NOT EXISTS (
                     SELECT 1 FROM alert_outbox AS earlier
                     WHERE earlier.state = 0 AND earlier.channel = ?1
                         AND earlier.thread = own.thread AND earlier.id < own.id)
                 ORDER BY due_us, id LIMIT 1",
            )?
            .query_row((channel, now.as_microsecond()), |row| Ok(read_notice(row)))
            .optional()?
            .transpose()
    }

    /// Whether a channel was given this very message.
    pub fn is_noticed(&self, notice: &NoticeRecord) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT 1 FROM alert_outbox WHERE channel = ?1 AND created_us = ?2 AND notice = ?3",
        )?;
        let created = notice.created_at.as_microsecond();
        Ok(statement.exists((&notice.channel, created, &notice.notice))?)
    }

    /// Channels that messages wait for.
    pub fn awaited_channels(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT DISTINCT channel FROM alert_outbox WHERE state = 0 ORDER BY channel",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Messages of a channel that wait, oldest first.
    pub fn waiting_notices(&self, channel: &str) -> Result<Vec<NoticeRecord>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT * FROM alert_outbox WHERE state = 0 AND channel = ?1 ORDER BY id",
        )?;
        let mut rows = statement.query([channel])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read_notice(row)?);
        }
        Ok(found)
    }

    /// Notes what came of an attempt, and writes messages that this brings about.
    pub fn notice_attempted(
        &self,
        id: i64,
        (state, why): (NoticeState, Option<&str>),
        more: &[NoticeRecord],
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let (number, due) = match state {
                NoticeState::Waits(due) => (0, Some(due.as_microsecond())),
                NoticeState::Delivered => (1, None),
                NoticeState::GivenUp => (2, None),
            };
            connection
                .prepare_cached(
                    "UPDATE alert_outbox SET attempts = attempts + 1, state = ?2, why = ?3,
                         due_us = coalesce(?4, due_us)
                     WHERE id = ?1 AND state = 0",
                )?
                .execute((id, number, why, due))?;
            more.iter().try_for_each(|notice| insert_notice(connection, notice))
        })
    }
}

/// Writes a message, due at once.
pub(in crate::registry) fn insert_notice(
    connection: &Connection,
    notice: &NoticeRecord,
) -> Result<(), StoreError> {
    let created = notice.created_at.as_microsecond();
    connection
        .prepare_cached(
            "INSERT INTO alert_outbox (channel, notice, created_us, due_us, attempts, state, thread)
             VALUES (?1, ?2, ?3, ?3, 0, 0, ?4)",
        )?
        .execute((&notice.channel, &notice.notice, created, &notice.thread))?;
    Ok(())
}

fn read_notice(row: &Row<'_>) -> Result<NoticeRecord, StoreError> {
    Ok(NoticeRecord {
        id: row.get("id")?,
        channel: row.get("channel")?,
        notice: row.get("notice")?,
        thread: row.get("thread")?,
        created_at: instant(row, "created_us")?,
        attempts: row.get("attempts")?,
    })
}
