//! What the engine answers: a grant, a refusal, a settlement, a state.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tollgate_domain::decision::Decision;
use tollgate_domain::fault::Code;
use tollgate_domain::id::CallId;
use tollgate_domain::limit::{Limit, Metric, OnLimit, Window};
use tollgate_domain::money::NanoUsd;

use super::table::Table;

/// What was set aside in one counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The window it was taken from.
    pub(super) key: i64,
    pub(super) amount: i64,
    /// What is left after it, and of how much; the largest number is unlimited.
    pub(super) remaining: i64,
    pub(super) ceiling: i64,
    pub(super) slot: u32,
    /// Seconds until something leaves the window; the largest number is never.
    pub(super) turns_in: u32,
    /// Index into the rules of the table.
    pub(super) rule: u16,
    /// Index into the counters of the account.
    pub(super) counter: u16,
    pub(super) stripe: u8,
}

/// An admitted call: what is set aside for it. Settling takes it, so it settles once; it cannot be
/// copied.
#[derive(Debug)]
#[must_use = "what is set aside must be settled"]
pub struct Grant {
    pub(super) call: CallId,
    pub(super) table: Arc<Table>,
    pub(super) entries: Box<[Entry]>,
    pub(super) output_tokens: u64,
    pub(super) cost: NanoUsd,
    pub(super) warnings: Vec<Warning>,
    pub(super) passed: Vec<Passed>,
    pub(super) decision: Decision,
}

impl Grant {
    /// How each limit stood, and what was set aside.
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The call.
    pub const fn call(&self) -> CallId {
        self.call
    }

    /// The most tokens that may come out: what was asked, lowered where a limit clamps.
    pub const fn output_tokens(&self) -> u64 {
        self.output_tokens
    }

    /// What is set aside.
    pub const fn cost(&self) -> NanoUsd {
        self.cost
    }

    /// Steps of use that the admission itself crossed (requests, what runs at once).
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Limits that would have refused the call if they decided (shadow mode, `on_limit = "alert"`).
    pub fn passed(&self) -> &[Passed] {
        &self.passed
    }

    /// What each limit has left after this call, for headers.
    pub fn headroom(&self) -> impl Iterator<Item = Headroom<'_>> {
        self.entries.iter().filter_map(|entry| {
            let rule = self.table.rules.get(usize::from(entry.rule))?;
            let limited = entry.ceiling != i64::MAX;
            Some(Headroom {
                limit: &rule.limit,
                plan: rule.plan.as_deref(),
                max: limited.then_some(entry.ceiling),
                remaining: limited.then_some(entry.remaining.max(0)),
                turns_in: (entry.turns_in != u32::MAX)
                    .then(|| Duration::from_secs(entry.turns_in.into())),
            })
        })
    }
}

/// What a limit has left after an admission.
#[derive(Clone, Copy, Debug)]
pub struct Headroom<'a> {
    /// The limit.
    pub limit: &'a Arc<Limit>,
    /// Its plan; `None` outside plans.
    pub plan: Option<&'a str>,
    /// The maximum, with what was carried over; `None` is unlimited.
    pub max: Option<i64>,
    /// What is left of it.
    pub remaining: Option<i64>,
    /// How long until the window turns, or something leaves it.
    pub turns_in: Option<Duration>,
}

/// A step of use that was crossed.
#[derive(Clone, Debug)]
pub struct Warning {
    /// The limit.
    pub limit: Arc<Limit>,
    /// Its plan; `None` outside plans.
    pub plan: Option<Arc<str>>,
    /// The step, in parts per thousand.
    pub step: u16,
    /// What is used now.
    pub used: i64,
    /// The maximum.
    pub max: i64,
}

/// A limit that would have refused, had it decided.
#[derive(Clone, Debug)]
pub struct Passed {
    /// The limit.
    pub limit: Arc<Limit>,
    /// Its plan; `None` outside plans.
    pub plan: Option<Arc<str>>,
    /// What it had used, reserved and at most, and what was asked.
    pub balance: Balance,
}

/// The figures of a counter at a decision, in the integer of its metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What is used.
    pub used: i64,
    /// What is set aside.
    pub reserved: i64,
    /// The maximum, with what was carried over.
    pub max: i64,
    /// What was asked.
    pub asked: i64,
}

/// Why a call is not admitted. No counter has changed.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The code that the client sees.
    pub code: Code,
    /// The limit.
    pub limit: Arc<Limit>,
    /// Its plan; `None` outside plans.
    pub plan: Option<Arc<str>>,
    /// Its figures.
    pub balance: Balance,
    /// When enough will have left the window by time alone; `None` where time does not help.
    pub frees_at: Option<Timestamp>,
    /// Whether the upper bound for the input decided: with a smaller figure it may pass.
    pub decided_by_bound: bool,
    /// Steps of use that fire because the limit refused.
    pub warnings: Box<[Warning]>,
    /// How each limit stood.
    pub decision: Decision,
}

impl Refusal {
    /// The cheaper model to ask again with, where the limit says so.
    pub fn downgrade(&self) -> Option<&Arc<str>> {
        match &self.limit.on_limit {
            OnLimit::Downgrade(model) => Some(model),
            OnLimit::Deny | OnLimit::Clamp | OnLimit::Alert => None,
        }
    }

    /// How long to wait before trying again: until enough has left the window, or a second where
    /// calls in flight have to end first; `None` where waiting does not help.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        if self.limit.window == Window::Now {
            return (self.balance.max > 0).then_some(Duration::from_secs(1));
        }
        let millis = self.frees_at?.as_millisecond().saturating_sub(now.as_millisecond());
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0).max(1)))
    }
}

/// A sentence for people: what the limit allows and what there is.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Balance { used, reserved, max, asked } = self.balance;
        let amount = |count| Amount { metric: self.limit.metric, count };
        write!(f, "limit `{}`", self.limit.name)?;
        if let Some(plan) = &self.plan {
            write!(f, " of plan `{plan}`")?;
        }
        write!(f, " allows {} {}", amount(max), self.limit.metric.as_str())?;
        if self.limit.window != Window::Now {
            write!(f, " ({})", self.limit.window)?;
        }
        write!(f, ": {} used, {} reserved, {} asked", amount(used), amount(reserved), amount(asked))
    }
}

/// An amount in the words of its metric: money as USD.
struct Amount {
    metric: Metric,
    count: i64,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.metric {
            Metric::CostUsd => NanoUsd::from_nanos(self.count).fmt(f),
            _ => self.count.fmt(f),
        }
    }
}

/// What settling a call brought about.
#[derive(Debug, Default)]
pub struct Settled {
    /// Steps of use that it crossed.
    pub warnings: Vec<Warning>,
}

/// One limit of one caller as it stands.
#[derive(Clone, Debug)]
pub struct LimitState {
    /// The limit.
    pub limit: Arc<Limit>,
    /// Its plan; `None` outside plans.
    pub plan: Option<Arc<str>>,
    /// What is used.
    pub used: i64,
    /// What is set aside.
    pub reserved: i64,
    /// What is left, never below zero; `None` is unlimited.
    pub remaining: Option<i64>,
    /// The maximum with overrides and what was carried over; `None` is unlimited.
    pub max: Option<i64>,
    /// When a calendar window ends, or the first part of a sliding or rolling one leaves.
    pub resets_at: Option<Timestamp>,
}

/// An action that holds an amount until it is committed, released or expires.
#[derive(Clone, Debug)]
pub struct Reserved {
    /// Its id.
    pub id: CallId,
    /// When it expires by itself.
    pub expires_at: Option<Timestamp>,
    /// What the tightest limit has left; `None` where none applies.
    pub remaining: Option<i64>,
    /// Steps of use that it crossed.
    pub warnings: Vec<Warning>,
}

/// How much the engine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Combinations of scope values that are known.
    pub accounts: u64,
    /// Counters.
    pub counters: u64,
    /// Amounts set aside and not settled, one per counter.
    pub held: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_grant_of_six_limits_holds_fits_300_bytes() {
        assert!(6 * size_of::<Entry>() <= 300, "{}", size_of::<Entry>());
    }
}
