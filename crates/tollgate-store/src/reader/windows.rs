//! Which stretches of time to search for calls, newest first.
//!
//! For one user these are the quarters of an hour that have a rollup of that user, found by a few
//! look-ups a day; else it is one stretch. Bounds are microseconds since the epoch, the upper one
//! excluded.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension as _};

use super::Reader;
use super::calls::Filter;
use crate::error::StoreError;
use crate::fold::rollup::{QUARTER, day_of, quarter_of};
use crate::fold::strings;
use crate::zone;

/// Lower and upper bound of a stretch.
type Window = (Option<i64>, Option<i64>);

const MICROS: i64 = 1_000_000;

impl Reader {
    /// Stretches that together hold every call of `filter`.
    pub(super) fn windows(
        &self,
        filter: &Filter,
    ) -> Result<Box<dyn Iterator<Item = Result<Window, StoreError>> + '_>, StoreError> {
        let since = filter.since.map(jiff::Timestamp::as_microsecond);
        let until = filter.until.map(jiff::Timestamp::as_microsecond);
        let Some(user) = &filter.user else {
            return Ok(Box::new(std::iter::once(Ok((since, until)))));
        };
        let Some(user) = strings::find(&self.connection, user)? else {
            return Ok(Box::new(std::iter::empty()));
        };
        let zone = zone::of(&self.connection)?;
        let newest = until.map_or(i64::MAX, |us| day_of(us.div_euclid(MICROS), &zone));
        let search = Search {
            connection: &self.connection,
            zone,
            user,
            since: since.unwrap_or(i64::MIN),
            until: until.unwrap_or(i64::MAX),
            next_day: newest,
            quarters: Vec::new(),
        };
        Ok(Box::new(search))
    }
}

struct Search<'a> {
    connection: &'a Connection,
    zone: TimeZone,
    user: i64,
    since: i64,
    until: i64,
    /// The latest day that has not been searched.
    next_day: i64,
    /// Quarters of the day before it that hold calls of the user, oldest first.
    quarters: Vec<i64>,
}

impl Search<'_> {
    fn advance(&mut self) -> Result<Option<Window>, StoreError> {
        loop {
            if let Some(quarter) = self.quarters.pop() {
                let from = self.since.max(quarter * MICROS);
                let to = self.until.min((quarter + QUARTER) * MICROS);
                return Ok(Some((Some(from), Some(to))));
            }
            if !self.load_day()? {
                return Ok(None);
            }
        }
    }

    /// Goes to the next earlier day; `false` where there is none to search.
    fn load_day(&mut self) -> Result<bool, StoreError> {
        let day: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(day) FROM rollup_day WHERE day <= ?1")?
            .query_row([self.next_day], |row| row.get(0))?;
        let Some(day) = day else { return Ok(false) };
        self.next_day = day - 1;
        let (start, end) = bounds(day, &self.zone)?;
        if end * MICROS <= self.since {
            return Ok(false);
        }
        if exists(self.connection, "rollup_day WHERE day", day, self.user)? {
            let first = quarter_of(self.since).max(start);
            let last = quarter_of(self.until.saturating_sub(1)).min(end - QUARTER);
            let mut quarter = first;
            while quarter <= last {
                if exists(self.connection, "rollup_quarter WHERE quarter", quarter, self.user)? {
                    self.quarters.push(quarter);
                }
                quarter += QUARTER;
            }
        }
        Ok(true)
    }
}

impl Iterator for Search<'_> {
    type Item = Result<Window, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

fn exists(
    connection: &Connection,
    bucket_of: &str,
    bucket: i64,
    user: i64,
) -> Result<bool, rusqlite::Error> {
    connection
        .prepare_cached(&format!("SELECT 1 FROM {bucket_of} = ?1 AND user = ?2 LIMIT 1"))?
        .query_row([bucket, user], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}

/// First second of a day and of the next one.
pub(super) fn bounds(day: i64, zone: &TimeZone) -> Result<(i64, i64), StoreError> {
    let malformed = || StoreError::Malformed { what: "day" };
    let part = |value: i64| i8::try_from(value).map_err(|_| malformed());
    let year = i16::try_from(day / 10_000).map_err(|_| malformed())?;
    let date =
        Date::new(year, part(day / 100 % 100)?, part(day % 100)?).map_err(|_| malformed())?;
    let start = |date: Date| {
        date.to_zoned(zone.clone())
            .map(|time| time.timestamp().as_second())
            .map_err(|_| malformed())
    };
    Ok((start(date)?, start(date.tomorrow().map_err(|_| malformed())?)?))
}
