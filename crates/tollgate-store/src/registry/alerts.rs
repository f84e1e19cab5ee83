//! What alerts leave behind: those that are open, their history, silences, and the outbox of
//! messages.
//!
//! What one turn of the alert engine says is written in one transaction, messages included, so that
//! a crash neither repeats nor forgets one. Alerts and notices are JSON here: what is in them is
//! the engine's business.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::change::Change;
use super::{Registry, time};
use crate::error::StoreError;

/// An open alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRecord {
    /// What names it.
    pub key: String,
    /// Its rule.
    pub rule: String,
    /// All of it, as JSON.
    pub alert: String,
}

/// Something that happened to an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertEventRecord {
    /// Its number; grows with time. Not read when it is added.
    pub id: i64,
    /// When.
    pub time: Timestamp,
    /// What: `fired` or `resolved`.
    pub happened: String,
    /// The alert as it was then.
    pub alert: AlertRecord,
}

/// A message to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRecord {
    /// Its number; grows with time. Not read when it is added.
    pub id: i64,
    /// The channel.
    pub channel: String,
    /// What it tells, as JSON.
    pub notice: String,
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

/// What an address used in an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRecord {
    /// The start of the hour.
    pub hour: Timestamp,
    /// The address.
    pub address: String,
    /// Calls, failed ones, refused ones, tokens in, tokens out, nano-dollars.
    pub figures: [i64; 6],
}

/// What is written together.
#[derive(Clone, Debug, Default)]
pub struct AlertWork {
    /// Alerts that are new or have changed.
    pub put: Vec<AlertRecord>,
    /// Keys of those that are not kept any longer.
    pub remove: Vec<String>,
    /// Steps that are reported from now on, and until when.
    pub steps: Vec<(String, Timestamp)>,
    /// What happened.
    pub events: Vec<AlertEventRecord>,
    /// Messages, due at once.
    pub notices: Vec<NoticeRecord>,
}

/// Which events are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct AlertEventFilter {
    /// Of this rule.
    pub rule: Option<String>,
    /// Of this alert.
    pub key: Option<String>,
    /// Only events before this one: the last of the page before.
    pub before: Option<i64>,
}

impl Registry {
    /// Writes what a turn of the alert engine says.
    pub fn commit_alerts(&self, work: &AlertWork) -> Result<(), StoreError> {
        self.write(|connection| {
            for alert in &work.put {
                connection
                    .prepare_cached("INSERT OR REPLACE INTO alerts VALUES (?1, ?2, ?3)")?
                    .execute((&alert.key, &alert.rule, &alert.alert))?;
            }
            for key in &work.remove {
                connection.prepare_cached("DELETE FROM alerts WHERE key = ?1")?.execute([key])?;
            }
            for (key, until) in &work.steps {
                connection
                    .prepare_cached("INSERT OR REPLACE INTO alert_steps VALUES (?1, ?2)")?
                    .execute((key, until.as_microsecond()))?;
            }
            for event in &work.events {
                insert_event(connection, event)?;
            }
            work.notices.iter().try_for_each(|notice| insert_notice(connection, notice))
        })
    }

    /// The open alerts, by key.
    pub fn alerts(&self) -> Result<Vec<AlertRecord>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT key, rule, alert FROM alerts ORDER BY key")?;
        let rows = statement.query_map([], |row| {
            Ok(AlertRecord { key: row.get(0)?, rule: row.get(1)?, alert: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether a step was reported and its window is not over.
    pub fn is_step_reported(&self, key: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM alert_steps WHERE key = ?1 AND until_us > ?2")?;
        Ok(statement.exists((key, now.as_microsecond()))?)
    }

    /// What happened to alerts, newest first, at most `limit`.
    pub fn alert_history(
        &self,
        filter: &AlertEventFilter,
        limit: usize,
    ) -> Result<Vec<AlertEventRecord>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT * FROM alert_history
             WHERE id < ?1 AND (?2 IS NULL OR rule = ?2) AND (?3 IS NULL OR key = ?3)
             ORDER BY id DESC LIMIT ?4",
        )?;
        let mut rows = statement.query(params![
            filter.before.unwrap_or(i64::MAX),
            filter.rule,
            filter.key,
            i64::try_from(limit).unwrap_or(i64::MAX),
        ])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(AlertEventRecord {
                id: row.get("id")?,
                time: instant(row, "time_us")?,
                happened: row.get("happened")?,
                alert: AlertRecord {
                    key: row.get("key")?,
                    rule: row.get("rule")?,
                    alert: row.get("alert")?,
                },
            });
        }
        Ok(found)
    }

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

    /// The message of a channel that has been due longest at `now`.
    pub fn due_notice(
        &self,
        channel: &str,
        now: Timestamp,
    ) -> Result<Option<NoticeRecord>, StoreError> {
        self.connection
            .prepare_cached(
                "SELECT id, channel, notice, created_us, attempts FROM alert_outbox
                 WHERE state = 0 AND channel = ?1 AND due_us <= ?2 ORDER BY due_us, id LIMIT 1",
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
            "SELECT id, channel, notice, created_us, attempts FROM alert_outbox
             WHERE state = 0 AND channel = ?1 ORDER BY id",
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

    /// Keeps what addresses used in an hour.
    pub fn put_addresses(&self, records: &[AddressRecord]) -> Result<(), StoreError> {
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO alert_addresses VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (address, hour) DO UPDATE SET
                     calls = calls + excluded.calls, failed = failed + excluded.failed,
                     refused = refused + excluded.refused,
                     input_tokens = input_tokens + excluded.input_tokens,
                     output_tokens = output_tokens + excluded.output_tokens,
                     cost_nanos = cost_nanos + excluded.cost_nanos",
            )?;
            for AddressRecord { hour, address, figures } in records {
                let [calls, failed, refused, input, output, cost] = figures;
                let hour = hour.as_second();
                statement
                    .execute(params![hour, address, calls, failed, refused, input, output, cost])?;
            }
            Ok(())
        })
    }

    /// What an address used between two times, by hour, oldest first.
    pub fn address_hours(
        &self,
        address: &str,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<AddressRecord>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT * FROM alert_addresses WHERE address = ?1 AND hour >= ?2 AND hour < ?3
             ORDER BY hour",
        )?;
        let mut rows = statement.query((address, from.as_second(), to.as_second()))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let hour = Timestamp::from_second(row.get("hour")?);
            let mut figures = [0; 6];
            for (place, figure) in figures.iter_mut().enumerate() {
                *figure = row.get(2 + place)?;
            }
            found.push(AddressRecord {
                hour: hour.map_err(|_| StoreError::Malformed { what: "time" })?,
                address: row.get("address")?,
                figures,
            });
        }
        Ok(found)
    }

    /// Forgets what alerts left behind before `before`: history, messages that wait no longer,
    /// windows that are over, hours of addresses. Ended silences stay as long.
    pub fn forget_alerts(&self, before: Timestamp) -> Result<(), StoreError> {
        self.write(|connection| {
            let micros = before.as_microsecond();
            for sql in [
                "DELETE FROM alert_history WHERE time_us < ?1",
                "DELETE FROM alert_outbox WHERE state <> 0 AND created_us < ?1",
                "DELETE FROM alert_steps WHERE until_us < ?1",
                "DELETE FROM alert_silences WHERE until_us < ?1",
                "DELETE FROM alert_addresses WHERE hour < ?1 / 1000000",
            ] {
                connection.prepare_cached(sql)?.execute([micros])?;
            }
            Ok(())
        })
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

fn insert_event(connection: &Connection, event: &AlertEventRecord) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO alert_history (time_us, happened, rule, key, alert)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            event.time.as_microsecond(),
            event.happened,
            event.alert.rule,
            event.alert.key,
            event.alert.alert,
        ])?;
    Ok(())
}

fn insert_notice(connection: &Connection, notice: &NoticeRecord) -> Result<(), StoreError> {
    let created = notice.created_at.as_microsecond();
    connection
        .prepare_cached(
            "INSERT INTO alert_outbox (channel, notice, created_us, due_us, attempts, state)
             VALUES (?1, ?2, ?3, ?3, 0, 0)",
        )?
        .execute((&notice.channel, &notice.notice, created))?;
    Ok(())
}

fn instant(row: &Row<'_>, column: &str) -> Result<Timestamp, StoreError> {
    time(row, column)?.ok_or(StoreError::Malformed { what: "time" })
}

fn read_notice(row: &Row<'_>) -> Result<NoticeRecord, StoreError> {
    Ok(NoticeRecord {
        id: row.get("id")?,
        channel: row.get("channel")?,
        notice: row.get("notice")?,
        created_at: instant(row, "created_us")?,
        attempts: row.get("attempts")?,
    })
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
