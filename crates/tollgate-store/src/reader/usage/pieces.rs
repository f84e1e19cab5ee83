//! Cutting a range of time into pieces, and reading one piece from the table that has it.

use jiff::tz::TimeZone;
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::UsageQuery;
use crate::error::StoreError;
use crate::fold::rollup::{
    DIMENSION_COLUMNS, DIMENSIONS, QUARTER, Subject, day_of, quarter_of, read_subject,
};
use crate::fold::row::{Tags, read_tags};
use crate::fold::sums::{COLUMNS, Sums};
use crate::reader::Reader;
use crate::reader::calls::Conditions;
use crate::reader::verify::CALL_FIGURES;
use crate::reader::windows::bounds;

const MICROS: i64 = 1_000_000;

/// Where a piece is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `calls`; bounds are microseconds.
    Rows,
    /// `rollup_quarter`; bounds are seconds.
    Quarters,
    /// `rollup_day`; bounds are day numbers.
    Days,
}

/// A part of the range: lower bound included, upper bound not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) source: Source,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Cuts the range of `query`; `days` is the zone of the day rollups where these may be used.
pub(super) fn pieces(
    query: &UsageQuery,
    rows_only: bool,
    days: Option<&TimeZone>,
) -> Result<Vec<Piece>, StoreError> {
    let (from, to) = (query.from.as_microsecond(), query.to.as_microsecond());
    let mut pieces = Vec::new();
    let mut add = |source, from, to| {
        if from < to {
            pieces.push(Piece { source, from, to });
        }
    };
    let first = quarter_of(from.saturating_add(QUARTER * MICROS - 1));
    let last = quarter_of(to);
    if rows_only || first >= last {
        add(Source::Rows, from, to);
        return Ok(pieces);
    }
    add(Source::Rows, from, first * MICROS);
    match days.map(|zone| whole_days(first, last, zone)).transpose()?.flatten() {
        Some(whole) => {
            add(Source::Quarters, first, whole.first_second);
            add(Source::Days, whole.first_day, whole.end_day);
            add(Source::Quarters, whole.end_second, last);
        }
        None => add(Source::Quarters, first, last),
    }
    add(Source::Rows, last * MICROS, to);
    Ok(pieces)
}

struct WholeDays {
    first_second: i64,
    end_second: i64,
    first_day: i64,
    end_day: i64,
}

/// The days that lie between two seconds as a whole, if any.
fn whole_days(first: i64, last: i64, zone: &TimeZone) -> Result<Option<WholeDays>, StoreError> {
    let first_day = day_of(first, zone);
    let (start, next) = bounds(first_day, zone)?;
    let first_second = if start == first { first } else { next };
    let end_day = day_of(last, zone);
    let (end_second, _) = bounds(end_day, zone)?;
    Ok((first_second < end_second).then(|| WholeDays {
        first_second,
        end_second,
        first_day: day_of(first_second, zone),
        end_day,
    }))
}

/// A call as far as a report needs it.
pub(super) struct CallRow<'a> {
    row: &'a Row<'a>,
}

impl CallRow<'_> {
    pub(super) fn quarter(&self) -> Result<i64, StoreError> {
        Ok(quarter_of(self.row.get(0)?))
    }

    pub(super) fn subject(&self) -> Result<Subject, StoreError> {
        Ok(read_subject(self.row, 2)?)
    }

    pub(super) fn sums(&self) -> Result<Sums, StoreError> {
        Ok(Sums::read(self.row, 2 + DIMENSIONS)?)
    }

    pub(super) fn tags(&self) -> Result<Tags, StoreError> {
        read_tags(self.row, 1)
    }
}

impl Reader {
    pub(super) fn each_row(
        &self,
        conditions: &Conditions,
        mut each: impl FnMut(&CallRow<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT time_us, tags, {}, {CALL_FIGURES} FROM calls WHERE {}",
            DIMENSION_COLUMNS.join(", "),
            conditions.sql()
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(conditions.values()))?;
        while let Some(row) = rows.next()? {
            each(&CallRow { row })?;
        }
        Ok(())
    }

    /// Reads rollups of a piece. Where a user is asked for, the key of the table leads there bucket
    /// by bucket; else the piece is read through.
    pub(super) fn each_rollup(
        &self,
        piece: &Piece,
        (conditions, by_user): (&Conditions, bool),
        mut each: impl FnMut(i64, Subject, &Sums),
    ) -> Result<(), StoreError> {
        let (table, bucket) = match piece.source {
            Source::Days => ("rollup_day", "day"),
            _ => ("rollup_quarter", "quarter"),
        };
        let range = if by_user {
            format!("{bucket} = ?")
        } else {
            format!("{bucket} >= ? AND {bucket} < ?")
        };
        let sql = format!(
            "SELECT {bucket}, {}, {} FROM {table} WHERE {range} AND {}",
            DIMENSION_COLUMNS.join(", "),
            COLUMNS.join(", "),
            conditions.sql()
        );
        let next =
            format!("SELECT min({bucket}) FROM {table} WHERE {bucket} >= ? AND {bucket} < ?");
        let mut next = self.connection.prepare(&next)?;
        let mut statement = self.connection.prepare(&sql)?;
        let mut from = piece.from;
        while from < piece.to {
            let mut values = vec![Value::Integer(from)];
            if by_user {
                let found: Option<i64> = next.query_row([from, piece.to], |row| row.get(0))?;
                let Some(found) = found else { break };
                values = vec![Value::Integer(found)];
                from = found + 1;
            } else {
                values.push(Value::Integer(piece.to));
                from = piece.to;
            }
            values.extend_from_slice(conditions.values());
            let mut rows = statement.query(params_from_iter(&values))?;
            while let Some(row) = rows.next()? {
                each(row.get(0)?, read_subject(row, 1)?, &Sums::read(row, 1 + DIMENSIONS)?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn cut(from: &str, to: &str, zone: Option<&str>) -> Vec<Piece> {
        let zone = zone.map(|name| TimeZone::get(name).unwrap());
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        pieces(&UsageQuery::between(time(from), time(to)), false, zone.as_ref()).unwrap()
    }

    #[test]
    fn a_range_is_cut_into_rows_quarters_and_days_without_gap() {
        let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        let seoul = cut("2026-11-20T00:07:00Z", "2026-11-23T00:00:30Z", Some("Asia/Seoul"));
        let days_start = second("2026-11-20T15:00:00Z");
        let days_end = second("2026-11-22T15:00:00Z");
        let end = second("2026-11-23T00:00:00Z");
        assert_eq!(
            seoul,
            [
                (
                    Source::Rows,
                    second("2026-11-20T00:07:00Z") * MICROS,
                    second("2026-11-20T00:15:00Z") * MICROS
                ),
                (Source::Quarters, second("2026-11-20T00:15:00Z"), days_start),
                (Source::Days, 20_261_121, 20_261_123),
                (Source::Quarters, days_end, end),
                (Source::Rows, end * MICROS, (end + 30) * MICROS),
            ]
            .map(|(source, from, to)| Piece { source, from, to })
        );
        let short = cut("2026-11-20T00:01:00Z", "2026-11-20T00:14:00Z", Some("Asia/Seoul"));
        assert_eq!(short.len(), 1);
        assert_eq!(short[0].source, Source::Rows);
        assert_eq!(cut("2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z", None), []);
        let hours = cut("2026-11-20T00:00:00Z", "2026-11-25T00:00:00Z", None);
        assert_eq!(hours.len(), 1);
        assert_eq!(hours[0].source, Source::Quarters);
    }
}
