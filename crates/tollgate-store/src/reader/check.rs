//! The proof of the ledger in steps, for a server that goes on serving: what
//! [`Reader::verify`] proves from one view of everything is proved here day by day, each from a view
//! of its own. A view that stays open keeps the write-ahead log from being folded back, so none is
//! held for longer than its step takes.
//!
//! What changes between two steps (calls that are folded, rows that are purged) is whole in either,
//! so a ledger that is sound is never said not to be.

use std::ops::ControlFlow;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior};

use super::Reader;
use super::calls::{id_bytes, last_id_before};
use super::verify::{CALL_FIGURES, Report, SLACK, SumsBySubject, short};
use crate::error::StoreError;
use crate::fold::rollup::{
    DIMENSION_COLUMNS, DIMENSIONS, QUARTER, day_number, day_of, quarter_of, read_subject,
};
use crate::fold::sums::{COLUMNS, Sums};
use crate::purge::read_purged;
use crate::zone;

/// Quarters of an hour that one step proves: a day.
const STEP: u32 = 96;
const MICROS: i64 = 1_000_000;

impl Reader {
    /// Proves the ledger step by step. `go_on` is asked between two steps; where it breaks, nothing is
    /// known and the answer is `None`.
    pub fn check(
        &self,
        mut go_on: impl FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Report>, StoreError> {
        let mut report = self.begin_report()?;
        let mut last = -1;
        while let Some(quarter) = self.check_quarters(last, &mut report)? {
            last = quarter;
            if go_on().is_break() {
                return Ok(None);
            }
        }
        self.check_purged(&mut report)?;
        let mut last = None;
        while let Some(day) = self.check_day(last, &mut report)? {
            last = Some(day);
            if go_on().is_break() {
                return Ok(None);
            }
        }
        Ok(Some(report))
    }

    /// Proves the next quarters behind `last` that have not been purged; gives the last of them.
    fn check_quarters(&self, last: i64, report: &mut Report) -> Result<Option<i64>, StoreError> {
        let view = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        let (boundary, _) = read_purged(&view)?;
        let mut done = None;
        let mut from = last.max(boundary - 1);
        for _ in 0..STEP {
            let Some(quarter) = self.next_quarter(from)? else { break };
            self.verify_quarter(quarter, boundary, (&mut Default::default(), report))?;
            from = quarter;
            done = Some(quarter);
        }
        view.finish()?;
        Ok(done)
    }

    /// The first quarter after `from` that has rollups or rows.
    fn next_quarter(&self, from: i64) -> Result<Option<i64>, StoreError> {
        let rollup: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(quarter) FROM rollup_quarter WHERE quarter > ?1")?
            .query_row([from], |row| row.get(0))?;
        let begin = (from.div_euclid(QUARTER) + 1) * QUARTER;
        let row: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT time_us FROM calls WHERE call_id >= ?1 AND time_us >= ?2
                 ORDER BY call_id LIMIT 1",
            )?
            .query_row((id_bytes((begin - SLACK) * MICROS, 0), begin * MICROS), |row| row.get(0))
            .optional()?;
        Ok(rollup.into_iter().chain(row.map(quarter_of)).min())
    }

    /// Before the boundary of purging: rows that are left and what was purged make the rollups.
    fn check_purged(&self, report: &mut Report) -> Result<(), StoreError> {
        let view = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        let (boundary, purged) = read_purged(&view)?;
        report.purged = purged;
        let mut rows = purged;
        let mut statement = view.prepare_cached(&format!(
            "SELECT {CALL_FIGURES} FROM calls WHERE call_id <= ?1 AND time_us < ?2"
        ))?;
        let end = boundary * MICROS;
        let mut found = statement.query((last_id_before(end), end))?;
        while let Some(row) = found.next()? {
            let sums = Sums::read(row, 0)?;
            report.rows += 1;
            report.totals.add(&sums);
            rows.add(&sums);
        }
        let columns: Vec<String> =
            COLUMNS.iter().map(|name| format!("coalesce(sum({name}), 0)")).collect();
        let rollups = view.query_row(
            &format!("SELECT {} FROM rollup_quarter WHERE quarter < ?1", columns.join(", ")),
            [boundary],
            |row| Sums::read(row, 0),
        )?;
        if rows != rollups {
            report.mismatch(format_args!(
                "before the purge boundary: rows and purged calls make {}, rollups {}",
                short(&rows),
                short(&rollups)
            ));
        }
        Ok(())
    }

    /// Proves the next day behind `last`: the sum of its quarters is its rollup.
    fn check_day(&self, last: Option<i64>, report: &mut Report) -> Result<Option<i64>, StoreError> {
        let view = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        let zone = zone::of(&view)?;
        let behind = last.map_or(Ok(0), |day| span_of(day, &zone).map(|(_, end)| end))?;
        let rollup: Option<i64> = view
            .prepare_cached("SELECT min(day) FROM rollup_day WHERE day > ?1")?
            .query_row([last.unwrap_or(0)], |row| row.get(0))?;
        let quarter: Option<i64> = view
            .prepare_cached("SELECT min(quarter) FROM rollup_quarter WHERE quarter >= ?1")?
            .query_row([behind], |row| row.get(0))?;
        let of_quarter = quarter.map(|quarter| day_of(quarter, &zone));
        let Some(day) = rollup.into_iter().chain(of_quarter).min() else { return Ok(None) };
        let mut statement = view.prepare_cached(&format!(
            "SELECT {}, {} FROM rollup_quarter WHERE quarter >= ?1 AND quarter < ?2",
            DIMENSION_COLUMNS.join(", "),
            COLUMNS.join(", ")
        ))?;
        let mut sums = SumsBySubject::new();
        let mut rows = statement.query(span_of(day, &zone)?)?;
        while let Some(row) = rows.next()? {
            sums.entry(read_subject(row, 0)?).or_default().add(&Sums::read(row, DIMENSIONS)?);
        }
        self.verify_day(Some(day), &sums, report)?;
        Ok(Some(day))
    }
}

/// The seconds at which a day of the day rollups begins and ends.
fn span_of(day: i64, zone: &TimeZone) -> Result<(i64, i64), StoreError> {
    let wrong = || StoreError::Malformed { what: "day" };
    let part = |number: i64| i8::try_from(number % 100).map_err(|_| wrong());
    let year = i16::try_from(day / 10_000).map_err(|_| wrong())?;
    let date = Date::new(year, part(day / 100)?, part(day)?).map_err(|_| wrong())?;
    debug_assert_eq!(day_number(date), day, "a date and its number");
    let begin = |date: Date| {
        let begun = date.to_zoned(zone.clone()).map_err(|_| wrong())?;
        Ok::<i64, StoreError>(begun.timestamp().as_second())
    };
    Ok((begin(date)?, begin(date.tomorrow().map_err(|_| wrong())?)?))
}
