//! Rollups: sums by quarter of an hour and by day, for each combination of who and what.
//!
//! A batch is added up in memory first, so that SQLite sees one upsert for each distinct key and
//! not one for each call.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::Connection;

use super::sums::{COLUMNS, FIGURES, Sums, additions};

/// Length of the smallest bucket, in seconds.
pub(crate) const QUARTER: i64 = 900;
/// How many numbers name who and what.
pub(crate) const DIMENSIONS: usize = 6;
/// Their columns, in the order of [`Subject`].
pub(crate) const DIMENSION_COLUMNS: [&str; DIMENSIONS] =
    ["user", "team", "key", "feature", "provider", "model"];

/// Who and what, as numbers of the dictionary.
pub(crate) type Subject = [i64; DIMENSIONS];

/// The start of the quarter that a time lies in, in seconds since the epoch.
pub(crate) fn quarter_of(time_us: i64) -> i64 {
    let seconds = time_us.div_euclid(1_000_000);
    seconds - seconds.rem_euclid(QUARTER)
}

/// The day that a second lies in, as year × 10000 + month × 100 + day.
pub(crate) fn day_of(second: i64, zone: &TimeZone) -> i64 {
    let time = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    day_number(zone.to_datetime(time).date())
}

/// A date as the number that the day rollups use.
pub(crate) fn day_number(date: jiff::civil::Date) -> i64 {
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}

/// Sums of one batch, and the statements that add them to the tables.
#[derive(Debug)]
pub(crate) struct Rollups {
    zone: TimeZone,
    quarters: HashMap<(i64, Subject), Sums>,
    upsert_quarter: String,
    upsert_day: String,
}

impl Rollups {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            quarters: HashMap::new(),
            upsert_quarter: upsert("rollup_quarter", "quarter"),
            upsert_day: upsert("rollup_day", "day"),
        }
    }

    /// Forgets what was added and not written.
    pub(crate) fn clear(&mut self) {
        self.quarters.clear();
    }

    /// Adds one call.
    pub(crate) fn add(&mut self, quarter: i64, subject: Subject, sums: &Sums) {
        self.quarters.entry((quarter, subject)).or_default().add(sums);
    }

    /// Adds what has been gathered to both tables.
    pub(crate) fn write(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let mut days: HashMap<(i64, Subject), Sums> = HashMap::new();
        let mut known = None;
        for ((quarter, subject), sums) in &self.quarters {
            let day = match known {
                Some((last, day)) if last == *quarter => day,
                _ => day_of(*quarter, &self.zone),
            };
            known = Some((*quarter, day));
            days.entry((day, *subject)).or_default().add(sums);
        }
        write_all(connection, &self.upsert_quarter, &self.quarters)?;
        write_all(connection, &self.upsert_day, &days)?;
        self.clear();
        Ok(())
    }

    /// Makes the day rollups anew for another zone, from the quarters.
    pub(crate) fn rebuild_days(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        connection.execute("DELETE FROM rollup_day", [])?;
        let mut read = connection.prepare(&format!(
            "SELECT quarter, {}, {} FROM rollup_quarter ORDER BY quarter",
            DIMENSION_COLUMNS.join(", "),
            COLUMNS.join(", ")
        ))?;
        let mut rows = read.query([])?;
        let mut days: HashMap<(i64, Subject), Sums> = HashMap::new();
        let mut current = i64::MIN;
        while let Some(row) = rows.next()? {
            let day = day_of(row.get(0)?, &self.zone);
            if day != current {
                write_all(connection, &self.upsert_day, &days)?;
                days.clear();
                current = day;
            }
            let sums = Sums::read(row, 1 + DIMENSIONS)?;
            days.entry((day, read_subject(row, 1)?)).or_default().add(&sums);
        }
        write_all(connection, &self.upsert_day, &days)
    }
}

/// Reads who and what from the columns of `row` that begin at `first`.
pub(crate) fn read_subject(
    row: &rusqlite::Row<'_>,
    first: usize,
) -> Result<Subject, rusqlite::Error> {
    let mut subject = [0; DIMENSIONS];
    for (offset, number) in subject.iter_mut().enumerate() {
        *number = row.get(first + offset)?;
    }
    Ok(subject)
}

fn upsert(table: &str, bucket: &str) -> String {
    let places = vec!["?"; 1 + DIMENSIONS + FIGURES].join(", ");
    format!(
        "INSERT INTO {table} ({bucket}, {}, {}) VALUES ({places}) ON CONFLICT DO UPDATE SET {}",
        DIMENSION_COLUMNS.join(", "),
        COLUMNS.join(", "),
        additions()
    )
}

fn write_all(
    connection: &Connection,
    upsert: &str,
    sums: &HashMap<(i64, Subject), Sums>,
) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(upsert)?;
    for ((bucket, subject), sums) in sums {
        statement.raw_bind_parameter(1, bucket)?;
        for (offset, number) in subject.iter().enumerate() {
            statement.raw_bind_parameter(2 + offset, number)?;
        }
        sums.bind(&mut statement, 2 + DIMENSIONS)?;
        statement.raw_execute()?;
    }
    Ok(())
}
