//! Removing old rows. Their rollups stay, and their totals are kept, so that what is left can
//! still be proved.
//!
//! It works beside a running server: each step is a short transaction of its own.

use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use crate::database;
use crate::error::StoreError;
use crate::fold::rollup::quarter_of;
use crate::fold::sums::{COLUMNS, FIGURES, Sums};
use crate::reader::calls::last_id_before;
use crate::reader::verify::CALL_FIGURES;

/// Rows that one transaction looks at.
const STEP: i64 = 2_000;

/// What a purge removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Rows that are gone.
    pub rows: u64,
    /// Their sums.
    pub sums: Sums,
}

/// Removes the rows of calls that arrived before `before`, rounded down to a quarter of an hour.
/// `progress` is told how many rows are gone after each step; where it breaks, the rest stays for the
/// next time.
pub fn purge(
    path: &Path,
    before: Timestamp,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Purged, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    let connection = database::open(path, true)?;
    let boundary = quarter_of(before.as_microsecond());
    let mut purged = Purged::default();
    let mut from = Some([0; 16]);
    while let Some(first) = from {
        from = step(&connection, boundary, first, &mut purged)?;
        if progress(purged.rows).is_break() {
            break;
        }
    }
    Ok(purged)
}

/// Looks at the next rows from id `first`; gives the id to go on with.
fn step(
    connection: &Connection,
    boundary: i64,
    first: [u8; 16],
    purged: &mut Purged,
) -> Result<Option<[u8; 16]>, StoreError> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let last = last_id_before(boundary.saturating_mul(1_000_000));
    let next: Option<[u8; 16]> = transaction
        .prepare_cached(
            "SELECT call_id FROM calls WHERE call_id >= ?1 AND call_id <= ?2
             ORDER BY call_id LIMIT 1 OFFSET ?3",
        )?
        .query_row((first, last, STEP), |row| row.get(0))
        .optional()?;
    let end = next.unwrap_or(last);
    let (rows, sums) = remove(&transaction, boundary, (first, end))?;
    let (old_boundary, mut totals) = read_purged(&transaction)?;
    totals.add(&sums);
    write_purged(&transaction, boundary.max(old_boundary), &totals)?;
    transaction.commit()?;
    purged.rows += rows;
    purged.sums.add(&sums);
    Ok(next)
}

fn remove(
    connection: &Connection,
    boundary: i64,
    (first, end): ([u8; 16], [u8; 16]),
) -> Result<(u64, Sums), StoreError> {
    let mut sums = Sums::default();
    let mut count = 0;
    let mut delete = connection.prepare_cached(&format!(
        "DELETE FROM calls WHERE call_id >= ?1 AND call_id <= ?2 AND time_us < ?3
         RETURNING {CALL_FIGURES}"
    ))?;
    let mut rows = delete.query((first, end, boundary.saturating_mul(1_000_000)))?;
    while let Some(row) = rows.next()? {
        count += 1;
        sums.add(&Sums::read(row, 0)?);
    }
    Ok((count, sums))
}

/// The boundary before which rows have been purged, in seconds, and the sums of those rows.
pub(crate) fn read_purged(connection: &Connection) -> Result<(i64, Sums), rusqlite::Error> {
    connection
        .prepare_cached(&format!("SELECT before, {} FROM purged", COLUMNS.join(", ")))?
        .query_row([], |row| Ok((row.get(0)?, Sums::read(row, 1)?)))
}

fn write_purged(
    connection: &Connection,
    boundary: i64,
    sums: &Sums,
) -> Result<(), rusqlite::Error> {
    let places = vec!["?"; FIGURES].join(", ");
    let mut update = connection.prepare_cached(&format!(
        "UPDATE purged SET (before, {}) = (?, {places})",
        COLUMNS.join(", ")
    ))?;
    update.raw_bind_parameter(1, boundary)?;
    sums.bind(&mut update, 2)?;
    update.raw_execute().map(drop)
}
