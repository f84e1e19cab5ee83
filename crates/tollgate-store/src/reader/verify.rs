//! The proof that the ledger adds up (LEDGER-2): Σ rows = Σ rollups, quarter by quarter, and
//! Σ quarters = Σ days; and that the journal could be read.
//!
//! Rows that were purged are gone, so before the boundary of purging the rows that are left and
//! the totals that purging kept must together equal the rollups.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rusqlite::Transaction;
use serde::Serialize;

use super::Reader;
use crate::error::StoreError;
use crate::fold::rollup::{DIMENSION_COLUMNS, DIMENSIONS, QUARTER, Subject, day_of, read_subject};
use crate::fold::sums::{COLUMNS, Sums};
use crate::purge::read_purged;
use crate::zone;

/// Most mismatches that a report lists.
const LISTED: usize = 100;
/// How far around a quarter, in seconds, the ids of its rows may lie.
pub(super) const SLACK: i64 = 600;

/// The figures of a row of `calls`, in the order of [`Sums`]. A row with a flag of 64 is no call of
/// a model.
pub(crate) const CALL_FIGURES: &str = "outcome != 4 AND flags < 64, outcome = 0 AND flags < 64, \
     outcome = 1 AND flags < 64, outcome = 2 AND flags < 64, outcome = 3 AND flags < 64, \
     outcome = 4, flags / 16 % 4 IN (1, 2), input_tokens, cached_tokens, \
     cache_write_tokens, output_tokens, reasoning_tokens, latency_us, cost_nanos, saved_nanos";

/// What a proof found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Rows of calls.
    pub rows: u64,
    /// Their sums.
    pub totals: Sums,
    /// Sums of calls whose rows were purged.
    pub purged: Sums,
    /// Rows that a crash left in doubt.
    pub in_doubt: u64,
    /// How many sums do not agree.
    pub mismatches: u64,
    /// The first hundred of them, in words.
    pub listed: Vec<String>,
    /// Segments of the journal that could not be read in full, under the names they were given.
    pub corrupt_segments: Vec<String>,
    /// Closed calls that a running server has yet to fold; they are in neither sum.
    pub waiting: bool,
}

impl Report {
    /// Whether everything adds up and nothing of the journal was lost.
    pub fn is_sound(&self) -> bool {
        self.mismatches == 0 && self.corrupt_segments.is_empty()
    }

    pub(super) fn mismatch(&mut self, text: impl fmt::Display) {
        self.mismatches += 1;
        if self.listed.len() < LISTED {
            self.listed.push(text.to_string());
        }
    }
}

pub(super) type SumsBySubject = HashMap<Subject, Sums>;

impl Reader {
    /// Proves the ledger, from one consistent view of it; `progress` is told the quarters done, and
    /// how many there are.
    pub fn verify(&self, mut progress: impl FnMut(u64, u64)) -> Result<Report, StoreError> {
        let mut report = self.begin_report()?;
        let view =
            Transaction::new_unchecked(&self.connection, rusqlite::TransactionBehavior::Deferred)?;
        let (boundary, purged) = read_purged(&self.connection)?;
        report.purged = purged;
        let quarters = self.quarters()?;
        let count = u64::try_from(quarters.len()).unwrap_or(u64::MAX);
        let mut before = (Sums::default(), Sums::default());
        for (done, quarter) in (1..).zip(quarters) {
            self.verify_quarter(quarter, boundary, (&mut before, &mut report))?;
            progress(done, count);
        }
        before.0.add(&purged);
        if before.0 != before.1 {
            report.mismatch(format_args!(
                "before the purge boundary: rows and purged calls make {}, rollups {}",
                short(&before.0),
                short(&before.1)
            ));
        }
        self.verify_days(&mut report)?;
        self.verify_count(&mut report)?;
        view.finish()?;
        Ok(report)
    }

    /// A report that knows what the files of the journal tell, and nothing else yet.
    pub(super) fn begin_report(&self) -> Result<Report, StoreError> {
        Ok(Report {
            corrupt_segments: self.dir.corrupt()?.iter().map(|p| p.display().to_string()).collect(),
            waiting: !self.catch_up(std::time::Duration::ZERO)?,
            ..Report::default()
        })
    }

    fn quarters(&self) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.connection.prepare(
            "WITH RECURSIVE q (quarter) AS (
                 SELECT min(quarter) FROM rollup_quarter
                 UNION ALL
                 SELECT (SELECT min(r.quarter) FROM rollup_quarter r WHERE r.quarter > q.quarter)
                 FROM q WHERE q.quarter IS NOT NULL)
             SELECT quarter FROM q WHERE quarter IS NOT NULL",
        )?;
        let quarters = statement.query_map([], |row| row.get(0))?;
        Ok(quarters.collect::<Result<_, _>>()?)
    }

    pub(super) fn verify_quarter(
        &self,
        quarter: i64,
        boundary: i64,
        (before, report): (&mut (Sums, Sums), &mut Report),
    ) -> Result<(), StoreError> {
        let rows = self.rows_of(quarter, report)?;
        let rollups = self.rollups_of("rollup_quarter", "quarter", quarter)?;
        if quarter < boundary {
            for sums in rows.values() {
                before.0.add(sums);
            }
            for sums in rollups.values() {
                before.1.add(sums);
            }
            return Ok(());
        }
        self.compare(&format!("quarter {quarter}: rows"), (&rows, &rollups), report)
    }

    /// Sums of the rows whose time lies in a quarter.
    fn rows_of(&self, quarter: i64, report: &mut Report) -> Result<SumsBySubject, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {}, {CALL_FIGURES} FROM calls
             WHERE call_id >= ?1 AND call_id <= ?2 AND time_us >= ?3 AND time_us < ?4",
            DIMENSION_COLUMNS.join(", ")
        ))?;
        let id = |second: i64, fill: u8| super::calls::id_bytes(second * 1_000_000, fill);
        let end = quarter + QUARTER;
        let mut rows = statement.query((
            id(quarter - SLACK, 0),
            id(end + SLACK, 0xff),
            quarter * 1_000_000,
            end * 1_000_000,
        ))?;
        let mut found = SumsBySubject::new();
        while let Some(row) = rows.next()? {
            let sums = Sums::read(row, DIMENSIONS)?;
            report.rows += 1;
            report.in_doubt += sums.in_doubt;
            report.totals.add(&sums);
            found.entry(read_subject(row, 0)?).or_default().add(&sums);
        }
        Ok(found)
    }

    fn rollups_of(
        &self,
        table: &str,
        bucket: &str,
        value: i64,
    ) -> Result<SumsBySubject, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {}, {} FROM {table} WHERE {bucket} = ?1",
            DIMENSION_COLUMNS.join(", "),
            COLUMNS.join(", ")
        ))?;
        let rows = statement
            .query_map([value], |row| Ok((read_subject(row, 0)?, Sums::read(row, DIMENSIONS)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn compare(
        &self,
        what: &str,
        (found, expected): (&SumsBySubject, &SumsBySubject),
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let missing = found.keys().filter(|subject| !expected.contains_key(*subject));
        for subject in expected.keys().chain(missing) {
            let zero = Sums::default();
            let found = found.get(subject).unwrap_or(&zero);
            let expected = expected.get(subject).unwrap_or(&zero);
            if found != expected {
                let name = self.subject_name(subject)?;
                let (found, expected) = (short(found), short(expected));
                report.mismatch(format_args!("{what} of {name} make {found}, rollup {expected}"));
            }
        }
        Ok(())
    }

    fn subject_name(&self, subject: &Subject) -> Result<String, StoreError> {
        let [user, .., model] = *subject;
        let text = |number| -> Result<Arc<str>, StoreError> {
            Ok(self.texts.text(&self.connection, number)?.unwrap_or_else(|| Arc::from("-")))
        };
        Ok(format!("user `{}`, model `{}`", text(user)?, text(model)?))
    }

    /// Σ quarters of a day against the rollup of that day.
    fn verify_days(&self, report: &mut Report) -> Result<(), StoreError> {
        let zone = zone::of(&self.connection)?;
        let mut statement = self.connection.prepare(&format!(
            "SELECT quarter, {}, {} FROM rollup_quarter ORDER BY quarter",
            DIMENSION_COLUMNS.join(", "),
            COLUMNS.join(", ")
        ))?;
        let mut rows = statement.query([])?;
        let mut days = 0_u64;
        let mut current = None;
        let mut sums = SumsBySubject::new();
        while let Some(row) = rows.next()? {
            let day = day_of(row.get(0)?, &zone);
            if current.is_some_and(|current| current != day) {
                self.verify_day(current, &sums, report)?;
                days += 1;
                sums.clear();
            }
            current = Some(day);
            sums.entry(read_subject(row, 1)?).or_default().add(&Sums::read(row, 1 + DIMENSIONS)?);
        }
        self.verify_day(current, &sums, report)?;
        days += u64::from(current.is_some());
        let stored: i64 =
            self.connection
                .query_row("SELECT count(DISTINCT day) FROM rollup_day", [], |row| row.get(0))?;
        if u64::try_from(stored).unwrap_or(0) != days {
            report.mismatch(format_args!("{stored} days have rollups, {days} have quarters"));
        }
        Ok(())
    }

    pub(super) fn verify_day(
        &self,
        day: Option<i64>,
        quarters: &SumsBySubject,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let Some(day) = day else { return Ok(()) };
        let stored = self.rollups_of("rollup_day", "day", day)?;
        self.compare(&format!("day {day}: quarters"), (quarters, &stored), report)
    }

    /// Every row must have been met in some quarter.
    fn verify_count(&self, report: &mut Report) -> Result<(), StoreError> {
        let stored: i64 =
            self.connection.query_row("SELECT count(*) FROM calls", [], |row| row.get(0))?;
        let stored = u64::try_from(stored).unwrap_or(0);
        if stored != report.rows {
            let rows = report.rows;
            report.mismatch(format_args!(
                "{stored} rows are stored, {rows} of them lie in a quarter that has a rollup"
            ));
            report.rows = stored;
        }
        Ok(())
    }
}

pub(super) fn short(sums: &Sums) -> String {
    format!(
        "{} calls, {} refused, {} + {} tokens, {} USD, {} USD saved",
        sums.calls,
        sums.refused,
        sums.input_tokens,
        sums.output_tokens,
        sums.cost_usd,
        sums.savings_usd
    )
}
