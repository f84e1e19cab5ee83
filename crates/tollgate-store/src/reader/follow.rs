//! Following the ledger: each look gives the calls that were folded since the last one.
//!
//! Calls end in another order than they began, so "newer than the last id" would miss the long
//! ones. Each row names the fold that inserted it, and each fold the oldest call it inserted.

use std::ops::ControlFlow;

use rusqlite::types::Value;
use tollgate_domain::call::CallRecord;

use super::Reader;
use super::calls::Filter;
use crate::error::StoreError;
use crate::fold::last_batch;

/// A place in the sequence of folds.
#[derive(Clone, Copy, Debug)]
pub struct Follow {
    batch: i64,
}

impl Reader {
    /// Begins to follow from now on.
    pub fn follow(&self) -> Result<Follow, StoreError> {
        Ok(Follow { batch: last_batch(&self.connection)? })
    }
}

impl Follow {
    /// The calls that were folded since the last look and that `filter` lets through, oldest first.
    ///
    /// Some 500 folds are remembered: whoever looks more rarely may miss calls that took long.
    pub fn look(
        &mut self,
        reader: &Reader,
        filter: &Filter,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let (newest, first): (Option<i64>, Option<Vec<u8>>) = reader
            .connection
            .prepare_cached("SELECT max(batch), min(first_call) FROM folds WHERE batch > ?1")?
            .query_row([self.batch], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(newest), Some(first)) = (newest, first) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        if let Some(mut conditions) = reader.conditions(filter)? {
            conditions.add(
                "call_id >= ? AND batch > ? AND batch <= ?",
                [Value::Blob(first), Value::Integer(self.batch), Value::Integer(newest)],
            );
            reader.each(&conditions, "ORDER BY call_id", |call| {
                found.push(call);
                ControlFlow::Continue(())
            })?;
        }
        self.batch = newest;
        Ok(found)
    }
}
