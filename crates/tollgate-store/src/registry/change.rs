//! A transaction over the registry: what happens in it is written whole or not at all, and noticed
//! by every program that watches.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{Registry, VERSION, version};
use crate::database::set_meta;
use crate::error::StoreError;

/// A change that is under way. What is read through it is what the change builds on.
#[derive(Debug)]
pub struct Change<'a> {
    pub(crate) connection: &'a Connection,
}

impl Registry {
    /// Does `work` in one transaction; where it fails nothing has changed.
    pub fn change<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Change<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = begin(&self.connection)?;
        let done = work(&Change { connection: &transaction })?;
        finish(transaction)?;
        Ok(done)
    }
}

/// The write lock is taken before anything is read, so that what is read stays true.
fn begin(connection: &Connection) -> Result<Transaction<'_>, StoreError> {
    Ok(Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?)
}

fn finish(transaction: Transaction<'_>) -> Result<(), StoreError> {
    let next = version(&transaction)?.wrapping_add(1);
    set_meta(&transaction, VERSION, next.to_string().as_bytes())?;
    Ok(transaction.commit()?)
}
