//! What is added up over calls: one set of figures for rollups, usage reports and proofs.
//!
//! The database adds without a check for overflow, which would stop the ledger for good. So the
//! figures of one call are bounded when it is written ([`count`], [`cost`]): far above anything
//! real, and so low that it takes millions of absurd calls to overflow a sum.

use rusqlite::{Row, Statement};
use serde::Serialize;
use tollgate_domain::call::{CacheState, CallRecord, Outcome};
use tollgate_domain::money::NanoUsd;

/// How many figures there are.
pub(crate) const FIGURES: usize = 15;
/// Their columns, in the order of [`Sums::to_row`].
pub(crate) const COLUMNS: [&str; FIGURES] = [
    "calls",
    "successes",
    "failed",
    "cancelled",
    "in_doubt",
    "refused",
    "cache_hits",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "latency_us",
    "cost_nanos",
    "saved_nanos",
];

/// Most tokens, searches or microseconds that one call can have in the database.
const MOST: u64 = 1 << 40;
/// Most that one call can cost, in nano-dollars: nine million dollars.
const COSTLIEST: i64 = 1 << 53;

/// A count of one call as the database holds it.
pub(crate) fn count(count: u64) -> i64 {
    i64::try_from(count.min(MOST)).unwrap_or(i64::MAX)
}

/// The cost of one call as the database holds it.
pub(crate) fn cost(cost: NanoUsd) -> i64 {
    cost.nanos().clamp(-COSTLIEST, COSTLIEST)
}

/// Figures of some set of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Calls that were admitted: all but refused ones.
    pub calls: u64,
    /// Of these: answered whole.
    pub successes: u64,
    /// Of these: failed.
    pub failed: u64,
    /// Of these: the client went away.
    pub cancelled: u64,
    /// Of these: cut off by a crash.
    pub in_doubt: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Calls that were answered from the cache or by another call's answer.
    pub cache_hits: u64,
    /// Input tokens, all kinds.
    pub input_tokens: u64,
    /// Of these: read from the provider's cache.
    pub cached_input_tokens: u64,
    /// Of these: written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Output tokens, all kinds.
    pub output_tokens: u64,
    /// Of these: reasoning.
    pub reasoning_tokens: u64,
    /// Time that answers took, added up, in microseconds.
    pub latency_us: u64,
    /// What it cost.
    pub cost_usd: NanoUsd,
    /// What answers cost that were had again without buying them.
    pub savings_usd: NanoUsd,
}

impl Sums {
    /// The figures of one call, as the database holds them.
    pub(crate) fn of(call: &CallRecord) -> Self {
        // What calls no model is a row, and no call in any sum.
        let counted = !call.is_uncounted();
        let is = |outcome: Outcome| u64::from(call.outcome == outcome && counted);
        let hit = matches!(call.cache, CacheState::Hit | CacheState::Coalesced);
        Self {
            calls: u64::from(call.outcome != Outcome::Refused && counted),
            successes: is(Outcome::Success),
            failed: is(Outcome::Failed),
            cancelled: is(Outcome::Cancelled),
            in_doubt: is(Outcome::InDoubt),
            refused: u64::from(call.outcome == Outcome::Refused),
            cache_hits: u64::from(hit),
            input_tokens: call.usage.input.min(MOST),
            cached_input_tokens: call.usage.cache_read.min(MOST),
            cache_write_tokens: call.usage.cache_write.min(MOST),
            output_tokens: call.usage.output.min(MOST),
            reasoning_tokens: call.usage.reasoning.min(MOST),
            latency_us: call.latency_us.min(MOST),
            cost_usd: NanoUsd::from_nanos(cost(call.cost)),
            savings_usd: NanoUsd::from_nanos(cost(call.saved)),
        }
    }

    /// Adds other figures to these; held at the ends of the range.
    pub fn add(&mut self, other: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.calls, other.calls);
        add(&mut self.successes, other.successes);
        add(&mut self.failed, other.failed);
        add(&mut self.cancelled, other.cancelled);
        add(&mut self.in_doubt, other.in_doubt);
        add(&mut self.refused, other.refused);
        add(&mut self.cache_hits, other.cache_hits);
        add(&mut self.input_tokens, other.input_tokens);
        add(&mut self.cached_input_tokens, other.cached_input_tokens);
        add(&mut self.cache_write_tokens, other.cache_write_tokens);
        add(&mut self.output_tokens, other.output_tokens);
        add(&mut self.reasoning_tokens, other.reasoning_tokens);
        add(&mut self.latency_us, other.latency_us);
        self.cost_usd += other.cost_usd;
        self.savings_usd += other.savings_usd;
    }

    pub(crate) fn to_row(self) -> [i64; FIGURES] {
        let held = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        [
            held(self.calls),
            held(self.successes),
            held(self.failed),
            held(self.cancelled),
            held(self.in_doubt),
            held(self.refused),
            held(self.cache_hits),
            held(self.input_tokens),
            held(self.cached_input_tokens),
            held(self.cache_write_tokens),
            held(self.output_tokens),
            held(self.reasoning_tokens),
            held(self.latency_us),
            self.cost_usd.nanos(),
            self.savings_usd.nanos(),
        ]
    }

    fn from_row(row: [i64; FIGURES]) -> Self {
        let [calls, successes, failed, cancelled, in_doubt, refused, cache_hits, ..] = row;
        let [.., input, cached, written, output, reasoning, latency, cost, saved] = row;
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        Self {
            calls: count(calls),
            successes: count(successes),
            failed: count(failed),
            cancelled: count(cancelled),
            in_doubt: count(in_doubt),
            refused: count(refused),
            cache_hits: count(cache_hits),
            input_tokens: count(input),
            cached_input_tokens: count(cached),
            cache_write_tokens: count(written),
            output_tokens: count(output),
            reasoning_tokens: count(reasoning),
            latency_us: count(latency),
            cost_usd: NanoUsd::from_nanos(cost),
            savings_usd: NanoUsd::from_nanos(saved),
        }
    }

    /// Reads the figures from the columns of `row` that begin at `first`.
    pub(crate) fn read(row: &Row<'_>, first: usize) -> Result<Self, rusqlite::Error> {
        let mut figures = [0; FIGURES];
        for (offset, figure) in figures.iter_mut().enumerate() {
            *figure = row.get(first + offset)?;
        }
        Ok(Self::from_row(figures))
    }

    /// Binds the figures to the parameters of `statement` that begin at `first`.
    pub(crate) fn bind(
        self,
        statement: &mut Statement<'_>,
        first: usize,
    ) -> Result<(), rusqlite::Error> {
        for (offset, figure) in self.to_row().into_iter().enumerate() {
            statement.raw_bind_parameter(first + offset, figure)?;
        }
        Ok(())
    }
}

/// Assignments for an upsert: each figure that is there plus the incoming one.
pub(crate) fn additions() -> String {
    COLUMNS.map(|name| format!("{name} = {name} + excluded.{name}")).join(", ")
}
