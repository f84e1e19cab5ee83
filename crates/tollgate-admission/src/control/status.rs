//! How the program does.

use jiff::Timestamp;
use serde::Serialize;

/// How the program does.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// The version.
    pub version: String,
    /// Where the configuration came from.
    pub config: String,
    /// When it started; null where no server runs in this process.
    pub started_at: Option<Timestamp>,
    /// Whether calls are served.
    pub ready: bool,
    /// Why they are not.
    pub obstacle: Option<String>,
    /// Whether anything is stopped.
    pub kill_switch: bool,
    /// Providers that are configured.
    pub providers: Vec<String>,
    /// Users about whom something was decided.
    pub registered_users: u64,
    /// Keys that are not revoked, those of the configuration included.
    pub keys: u64,
    /// The ledger; null where no server runs in this process.
    pub ledger: Option<LedgerFacts>,
    /// The counters of limits; null where no server runs in this process.
    pub counters: Option<CounterFacts>,
}

/// How the ledger does.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerFacts {
    /// Calls in flight.
    pub open: u64,
    /// Calls that have ended and are not in the database yet.
    pub waiting: u64,
    /// Calls that were folded into the database since the start.
    pub folded: u64,
    /// Transactions that failed since the start; each is tried again.
    pub failures: u64,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Why nothing can be written at present.
    pub last_error: Option<String>,
}

/// How much the counters hold.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CounterFacts {
    /// Combinations of scope values that were seen.
    pub accounts: u64,
    /// Counters in them.
    pub counters: u64,
    /// Of these: with something set aside.
    pub held: u64,
}
