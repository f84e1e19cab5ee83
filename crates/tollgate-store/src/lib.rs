//! Durable truth: the journal and the SQLite ledger.
//!
//! Responsible for one promise: a call that was reported as written is in the ledger exactly once,
//! whatever happens to the program. The hot path appends to a journal ([`SqliteLedger`]); a thread
//! folds closed calls from it into SQLite, rows and rollups in one transaction, and stores how far
//! it came in that same transaction. `docs/adr/0002-journal-before-ledger.md` says why.
//!
//! * [`SqliteLedger`] is the writing side, one per database, held by the server.
//! * [`Reader`] answers questions beside a running server or without one.
//! * [`Registry`] keeps keys, users, what is decided about them, switches, and the audit of changes.
//! * [`BodyStore`] keeps prompts and answers, where that is switched on.
//! * [`purge`] removes old rows and keeps their totals.
//!
//! It must not decide anything about a call: what it costs, whether it may pass, who may read it.

mod bodies;
mod clip;
mod codec;
mod codes;
mod database;
mod error;
mod fold;
mod journal;
mod options;
mod purge;
mod reader;
mod recover;
mod registry;
mod sqlite;
mod zone;

pub use bodies::BodyStore;
pub use error::StoreError;
pub use fold::sums::Sums;
pub use options::{Durability, InDoubt, Options, Recovery};
pub use purge::{Purged, purge};
pub use reader::Reader;
pub use reader::calls::Filter;
pub use reader::follow::Follow;
pub use reader::usage::{Dim, UnknownDim, UsageQuery, UsageRow};
pub use reader::verify::Report;
pub use registry::alerts::addresses::AddressRecord;
pub use registry::alerts::outbox::{NoticeRecord, NoticeState};
pub use registry::alerts::silences::SilenceRecord;
pub use registry::alerts::{AlertEventFilter, AlertEventRecord, AlertRecord, AlertWork};
pub use registry::audit::{AuditEntry, AuditFilter, AuditRecord};
pub use registry::change::Change;
pub use registry::events::PendingEvent;
pub use registry::jobs::{JobClaim, JobEnd, JobRecord};
pub use registry::keys::{KeyRecord, Rotation};
pub use registry::overrides::{BalanceRecord, OverrideRecord, TopUpRecord};
pub use registry::switches::SwitchRecord;
pub use registry::users::UserRecord;
pub use registry::{Registry, Watch};
pub use sqlite::{LedgerStatus, SqliteLedger};
