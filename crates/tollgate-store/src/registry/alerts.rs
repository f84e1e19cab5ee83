//! What alerts leave behind: those that are open, their history, and below silences, the outbox of
//! messages and what addresses used.
//!
//! What one turn of the alert engine says is written in one transaction, messages included, so that
//! a crash neither repeats nor forgets one. Alerts and notices are JSON here: what is in them is
//! the engine's business.

pub(crate) mod addresses;
pub(crate) mod outbox;
pub(crate) mod silences;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{Registry, time};
use crate::error::StoreError;
use outbox::{NoticeRecord, insert_notice};

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

fn insert_event(connection: &Connection, event: &AlertEventRecord) -> Result<(), StoreError> {
    // What a turn did is written before and after; what is written last holds.
    connection
        .prepare_cached(
            "DELETE FROM alert_history WHERE key = ?1 AND time_us = ?2 AND happened = ?3",
        )?
        .execute((&event.alert.key, event.time.as_microsecond(), &event.happened))?;
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

fn instant(row: &Row<'_>, column: &str) -> Result<Timestamp, StoreError> {
    time(row, column)?.ok_or(StoreError::Malformed { what: "time" })
}
