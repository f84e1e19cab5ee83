//! Scheduled work as the database knows it: the lease that lets one program run a job at a time, and
//! how its last run went.
//!
//! A lease is taken by one conditional update, so of several programs one gets it. Whoever holds it
//! renews it; where it runs out, its holder is taken for dead and the job may be taken over. An end
//! is written only by the holder, together with the messages that the run brings about, so a run that
//! was taken over tells nothing. Times are arguments.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::alerts::outbox::{NoticeRecord, insert_notice};
use super::change::Change;
use super::{Registry, time};
use crate::error::StoreError;

/// A job as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecord {
    /// Its name.
    pub name: String,
    /// The expression and zone that it was last planned by.
    pub schedule: String,
    /// Every instant of the schedule up to here is dealt with.
    pub done: Timestamp,
    /// Who runs it, and until when nobody else may.
    pub lease: Option<(String, Timestamp)>,
    /// When the last run began.
    pub started: Option<Timestamp>,
    /// When the last run that ended did.
    pub ended: Option<Timestamp>,
    /// What came of it: `success` or `failed`.
    pub outcome: Option<String>,
    /// What there is to say of it.
    pub message: Option<String>,
    /// When a run last ended well.
    pub succeeded: Option<Timestamp>,
    /// How many runs have failed for the instant that is due.
    pub tries: u32,
    /// When the next of them may begin.
    pub again: Option<Timestamp>,
}

/// Who wants to run a job.
#[derive(Clone, Copy, Debug)]
pub struct JobClaim<'a> {
    /// The job.
    pub name: &'a str,
    /// Who.
    pub holder: &'a str,
    /// The instant of the schedule that the run is for; `None` where a person asked.
    pub due: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
    /// Until when the lease holds unless it is renewed.
    pub until: Timestamp,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct JobEnd<'a> {
    /// The job.
    pub name: &'a str,
    /// Who ran it.
    pub holder: &'a str,
    /// When.
    pub at: Timestamp,
    /// Whether it ended well.
    pub is_success: bool,
    /// What there is to say.
    pub message: &'a str,
    /// Where it failed: when it is tried again for the same instant, if it is.
    pub again: Option<Timestamp>,
}

impl Registry {
    /// Makes a job known under this schedule and gives it as it stands. Under another schedule than
    /// before it begins anew: what that would have made due in the past is not caught up. What is
    /// dealt with up to a time to come was so by a clock that was wrong: it is up to now.
    pub fn plan_job(
        &self,
        name: &str,
        schedule: &str,
        now: Timestamp,
    ) -> Result<JobRecord, StoreError> {
        self.write(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO jobs (name, schedule, done_us) VALUES (?1, ?2, ?3)
                     ON CONFLICT (name) DO UPDATE SET schedule = ?2, done_us = ?3, tries = 0,
                         again_us = NULL
                     WHERE schedule <> ?2 OR done_us > ?3",
                )?
                .execute((name, schedule, now.as_microsecond()))?;
            connection
                .prepare_cached("SELECT * FROM jobs WHERE name = ?1")?
                .query_row([name], |row| Ok(read(row)))?
        })
    }

    /// Every job that was ever planned, by name.
    pub fn jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT * FROM jobs ORDER BY name")?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }

    /// Takes a job; `false` where another runs it, or its instant is dealt with.
    pub fn take_job(&self, claim: &JobClaim<'_>) -> Result<bool, StoreError> {
        self.write(|connection| take(connection, claim))
    }

    /// Holds a job for longer; `false` where the lease was lost to another.
    pub fn renew_job(
        &self,
        name: &str,
        holder: &str,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(|connection| {
            let renewed = connection
                .prepare_cached("UPDATE jobs SET lease_us = ?3 WHERE name = ?1 AND holder = ?2")?
                .execute((name, holder, until.as_microsecond()))?;
            Ok(renewed == 1)
        })
    }

    /// Ends a run: its outcome and its messages in one transaction. `false`, and nothing is written,
    /// where the lease was lost to another.
    pub fn end_job(&self, end: &JobEnd<'_>, notices: &[NoticeRecord]) -> Result<bool, StoreError> {
        self.write(|connection| {
            let outcome = if end.is_success { "success" } else { "failed" };
            let ended = connection
                .prepare_cached(
                    "UPDATE jobs SET holder = NULL, lease_us = NULL, due_us = NULL, ended_us = ?3,
                         outcome = ?4, message = ?5,
                         done_us = CASE WHEN ?6 IS NULL THEN max(done_us, coalesce(due_us, 0))
                                   ELSE done_us END,
                         tries = CASE WHEN ?6 IS NOT NULL THEN tries + 1
                                 WHEN due_us IS NULL THEN tries ELSE 0 END,
                         again_us = CASE WHEN ?6 IS NULL AND due_us IS NULL THEN again_us
                                    ELSE ?6 END,
                         success_us = CASE ?4 WHEN 'success' THEN ?3 ELSE success_us END
                     WHERE name = ?1 AND holder = ?2",
                )?
                .execute(params![
                    end.name,
                    end.holder,
                    end.at.as_microsecond(),
                    outcome,
                    end.message,
                    end.again.map(Timestamp::as_microsecond),
                ])?;
            if ended == 0 {
                return Ok(false);
            }
            notices.iter().try_for_each(|notice| insert_notice(connection, notice))?;
            Ok(true)
        })
    }

    /// Gives a job back that was not done: its instant is still due.
    pub fn release_job(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.write(|connection| {
            connection
                .prepare_cached(
                    "UPDATE jobs SET holder = NULL, lease_us = NULL, due_us = NULL
                     WHERE name = ?1 AND holder = ?2",
                )?
                .execute((name, holder))?;
            Ok(())
        })
    }
}

impl Change<'_> {
    /// Takes a job as part of a change; `false` where another runs it.
    pub fn take_job(&self, claim: &JobClaim<'_>) -> Result<bool, StoreError> {
        take(self.connection, claim)
    }
}

fn take(connection: &Connection, claim: &JobClaim<'_>) -> Result<bool, StoreError> {
    let due = claim.due.map(Timestamp::as_microsecond);
    let taken = connection
        .prepare_cached(
            "UPDATE jobs SET holder = ?2, due_us = ?3, started_us = ?4, lease_us = ?5
             WHERE name = ?1 AND (holder IS NULL OR lease_us <= ?4)
                 AND (?3 IS NULL OR done_us < ?3)
                 AND (?3 IS NULL OR again_us IS NULL OR again_us <= ?4)",
        )?
        .execute(params![
            claim.name,
            claim.holder,
            due,
            claim.now.as_microsecond(),
            claim.until.as_microsecond(),
        ])?;
    Ok(taken == 1)
}

fn read(row: &Row<'_>) -> Result<JobRecord, StoreError> {
    let holder: Option<String> = row.get("holder")?;
    Ok(JobRecord {
        name: row.get("name")?,
        schedule: row.get("schedule")?,
        done: time(row, "done_us")?.ok_or(StoreError::Malformed { what: "time" })?,
        lease: holder.zip(time(row, "lease_us")?),
        started: time(row, "started_us")?,
        ended: time(row, "ended_us")?,
        outcome: row.get("outcome")?,
        message: row.get("message")?,
        succeeded: time(row, "success_us")?,
        tries: row.get("tries")?,
        again: time(row, "again_us")?,
    })
}
