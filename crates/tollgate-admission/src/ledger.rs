//! The port to durable storage: what must be on disk before a call is sent, and before its answer
//! leaves.
//!
//! A call is written twice. [`Ledger::open`] writes the intent: the record as it would stand if the
//! program died now (outcome `in_doubt`, cost as reserved). [`Ledger::close`] writes the record as
//! it ended. Whoever restarts after a crash keeps, per call id, the closing record where there is
//! one and the intent otherwise; so every call is in the ledger exactly once (SETTLE-1).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tollgate_domain::call::CallRecord;

/// Storage that takes intents and settlements.
///
/// The contract, checked by the suite in `tollgate-testkit` against each implementation:
/// * when [`Written::Durable`] is returned, or [`Written::Pending`] has resolved to `Ok`, the
///   record survives `kill -9` (and, where so configured, loss of power);
/// * closing a call twice keeps the first closing record;
/// * an error means that the record may be lost, and the caller must not go on.
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Writes that a call is about to be sent. `intent` is the record as a crash would leave it.
    fn open(&self, intent: &CallRecord) -> Result<Written, LedgerError>;

    /// Writes how a call ended.
    fn close(&self, record: Arc<CallRecord>) -> Result<Written, LedgerError>;
}

/// Whether a record is down.
#[must_use = "an answer may leave only when its record is durable"]
pub enum Written {
    /// It is.
    Durable,
    /// It will be when this resolves.
    Pending(Pin<Box<dyn Future<Output = Result<(), LedgerError>> + Send>>),
}

impl Written {
    /// Waits until the record is down.
    pub async fn durable(self) -> Result<(), LedgerError> {
        match self {
            Self::Durable => Ok(()),
            Self::Pending(down) => down.await,
        }
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Durable => "Durable",
            Self::Pending(_) => "Pending",
        })
    }
}

/// Why a record could not be written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The disk refused (full, read-only, failing).
    #[error("the ledger cannot be written: {0}")]
    Storage(Arc<std::io::Error>),
    /// More is waiting to be folded into the database than the configured bound.
    #[error("the ledger lags: {waiting} calls wait to be folded into the database")]
    Behind {
        /// How many calls wait.
        waiting: u64,
    },
    /// The ledger has been closed, the program is ending.
    #[error("the ledger is closed")]
    Closed,
}
