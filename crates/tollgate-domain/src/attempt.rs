//! One request to a provider on behalf of a call: what became of it, and whether it was paid for.
//!
//! A call that was answered at once has one attempt, of which its row says all. The list is kept
//! where a call needed several, or failed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::money::NanoUsd;

/// Whether a provider charges for an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billing {
    /// It does: the provider stated what was used.
    Billed,
    /// It does not: it was not reached, or it refused.
    #[default]
    Unbilled,
    /// Nobody knows: it may have worked on an answer that did not arrive. What was seen of one is
    /// charged, as an estimate.
    Unknown,
}

impl Billing {
    /// The word that documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Billed => "billed",
            Self::Unbilled => "unbilled",
            Self::Unknown => "unknown",
        }
    }
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The provider that was asked.
    pub provider: Arc<str>,
    /// The model that was asked of it.
    pub model: Arc<str>,
    /// The HTTP status that it answered with; `None` where no head of an answer came.
    pub status: Option<u16>,
    /// The class of the error: a code of [`crate::fault::Code`] or the provider's own type; `None`
    /// where the attempt succeeded.
    pub error_type: Option<Arc<str>>,
    /// Whether the provider charges for it.
    pub billing: Billing,
    /// What it costs; part of the cost of the call.
    #[serde(rename = "cost_usd")]
    pub cost: NanoUsd,
    /// From the request to the end of the answer, or to the failure, in microseconds.
    pub latency_us: u64,
}
