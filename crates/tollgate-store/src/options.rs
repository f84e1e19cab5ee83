//! How a ledger is opened, and what opening it found: the typed form of the `[storage]` section.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

/// What a record must survive before it counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, `kill -9` included: the record is in the system's page cache.
    #[default]
    Process,
    /// Loss of power: the record has been synced, together with those that queued meanwhile.
    Power,
}

/// What becomes of a call that a crash cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InDoubt {
    /// It keeps the cost of its reservation.
    #[default]
    Charge,
    /// It costs nothing and used nothing; its row is still there, marked.
    Release,
}

impl InDoubt {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Release => "release",
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        if word == "release" { Self::Release } else { Self::Charge }
    }
}

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// What a record must survive.
    pub durability: Durability,
    /// What becomes of calls that a crash cut off.
    pub in_doubt: InDoubt,
    /// How many closed calls may wait to be folded before new ones are refused.
    pub backlog_bound: u64,
    /// The zone whose days the day rollups follow.
    pub zone: TimeZone,
    /// Size at which a segment of the journal is closed and the next begun, in bytes.
    pub segment_bytes: u64,
    /// How long the folding thread gathers calls between two transactions while there is traffic:
    /// the longer, the fewer transactions and upserts a call costs. After a lull it folds at once.
    pub fold_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            in_doubt: InDoubt::default(),
            backlog_bound: 200_000,
            zone: TimeZone::UTC,
            segment_bytes: 8 << 20,
            fold_pause: Duration::from_millis(200),
        }
    }
}

/// What was found and set right when a ledger was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Closed calls that stood in the journal only and are now in the database.
    pub replayed: u64,
    /// Calls that were in flight and are now rows marked `in_doubt`.
    pub in_doubt: u64,
    /// Bytes of an unfinished record at the end of the journal, discarded: it was never reported
    /// as written.
    pub torn_bytes: u64,
    /// Bytes in the middle of the journal that could not be read.
    pub corrupt_bytes: u64,
    /// Segments with unreadable bytes, kept for examination under these names.
    pub corrupt: Vec<PathBuf>,
}

impl Recovery {
    /// Whether every byte of the journal could be read.
    pub fn is_clean(&self) -> bool {
        self.corrupt.is_empty()
    }
}
