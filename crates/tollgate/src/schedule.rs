//! When a job is due: five fields of cron in a time zone. Pure: every instant is an argument.
//!
//! Daylight saving, as the parser of cron expressions has it and tests here hold it to: a job at a
//! fixed time of the day (`30 2 * * *`) runs once a day, at the first instant after a gap that its
//! time falls into, and at the first of two where a clock goes back. A job by the hour or the minute
//! (`*/15 * * * *`) keeps its pace through both.
//!
//! What was missed is caught up once: of all instants that have passed, only the last one is due.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Any instant will do to ask whether an expression ever comes.
const SOME_DAY: i64 = 1_700_000_000;

/// A cron expression in a time zone.
#[derive(Clone)]
pub struct Schedule {
    text: Arc<str>,
    zone: TimeZone,
    cron: Cron,
}

/// What a schedule says about now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The job is to run, for this instant.
    Now(Timestamp),
    /// It is to run then.
    At(Timestamp),
    /// It never comes again.
    Never,
}

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongSchedule {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It names a day that there is in no year.
    #[error("it never comes")]
    Never,
}

impl Schedule {
    /// Reads five fields of cron.
    pub fn new(text: &str, zone: TimeZone) -> Result<Self, WrongSchedule> {
        let unreadable = |error: croner::errors::CronError| {
            WrongSchedule::Unreadable(error.to_string().to_lowercase())
        };
        let cron = Cron::from_str(text).map_err(unreadable)?;
        let schedule = Self { text: text.into(), zone, cron };
        let some_day = Timestamp::from_second(SOME_DAY).unwrap_or(Timestamp::UNIX_EPOCH);
        schedule.next_after(some_day).ok_or(WrongSchedule::Never)?;
        Ok(schedule)
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its time zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first instant after `at`.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&self.whole(at)?, false).ok()?;
        Some(next.timestamp())
    }

    /// The last instant up to `at`, `at` itself included.
    pub fn last_until(&self, at: Timestamp) -> Option<Timestamp> {
        let last = self.cron.find_previous_occurrence(&self.whole(at)?, true).ok()?;
        Some(last.timestamp())
    }

    /// What is to be done now where everything up to `done` is dealt with.
    pub fn due(&self, done: Timestamp, now: Timestamp) -> Due {
        match self.next_after(done) {
            None => Due::Never,
            Some(next) if next > now => Due::At(next),
            Some(next) => Due::Now(self.last_until(now).map_or(next, |last| last.max(next))),
        }
    }

    /// A local time without the part of a second, which no expression tells.
    fn whole(&self, at: Timestamp) -> Option<jiff::Zoned> {
        let second = at.as_microsecond().div_euclid(1_000_000);
        Some(Timestamp::from_second(second).ok()?.to_zoned(self.zone.clone()))
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.zone) == (&other.text, &other.zone)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

/// The expression and its zone: `0 3 * * * Asia/Seoul`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text, self.zone.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests;
