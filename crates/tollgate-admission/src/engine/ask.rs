//! What the engine is asked: who is counted, on what terms, and how much is wanted or was used.

use std::sync::Arc;

use jiff::Timestamp;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::limit::{Metric, Plan, Scope};
use tollgate_domain::money::{Exact, NanoUsd, Rate};

use super::own::OwnLimits;

/// Who is counted: the values that scopes and filters look at.
///
/// A limit whose scope names something that is absent here (a team, where the user has none) does
/// not apply. Whoever fills this bounds the lengths: each new value is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// Who pays.
    pub user: &'a str,
    /// Name of the key that was used.
    pub key: Option<&'a str>,
    /// Team of the user.
    pub team: Option<&'a str>,
    /// The caller's address in the form in which it is counted (IPv6 by /64).
    pub ip: Option<&'a str>,
    /// One run of an agent.
    pub session: Option<&'a str>,
    /// What the application calls the action.
    pub feature: Option<&'a str>,
    /// The provider that will serve; empty where none will.
    pub provider: &'a str,
    /// The public model name; empty where there is none.
    pub model: &'a str,
    /// Whether the model is priced at zero: then an exhausted money limit does not stop it.
    pub free: bool,
}

impl<'a> Subject<'a> {
    /// The value of a scope; `None` where there is none.
    pub fn value(&self, scope: Scope) -> Option<&'a str> {
        match scope {
            Scope::User => Some(self.user),
            Scope::Key => self.key,
            Scope::Team => self.team,
            Scope::Ip => self.ip,
            Scope::Provider => Some(self.provider).filter(|name| !name.is_empty()),
            Scope::Model => Some(self.model).filter(|name| !name.is_empty()),
            Scope::Feature => self.feature,
            Scope::Session => self.session,
            Scope::Global => Some(""),
        }
    }
}

/// Another maximum for one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The name of the limit: one of the user's plan, or one outside plans that counts by user.
    pub limit: Arc<str>,
    /// The maximum instead; `None` is unlimited, zero blocks.
    pub max: Option<i64>,
    /// Until when; for good where there is no end.
    pub until: Option<Timestamp>,
}

/// What is different for one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Other maxima. Of several in force for one limit the last holds.
    pub overrides: Vec<Override>,
    /// Until when the user may do nothing ("quota zero").
    pub zero_until: Option<Timestamp>,
    /// What was paid in on each prepaid balance so far, by the name of the limit, in the integer of
    /// its metric; added to the limit's own maximum.
    pub balances: Vec<(Arc<str>, i64)>,
}

impl Overlay {
    /// The override of a limit that is in force.
    pub(super) fn of(&self, limit: &str, now: Timestamp) -> Option<&Override> {
        let meant = |entry: &&Override| &*entry.limit == limit;
        let in_force = |entry: &&Override| entry.until.is_none_or(|end| end > now);
        self.overrides.iter().rev().find(|entry| meant(entry) && in_force(entry))
    }

    /// Until when everything is at zero, if it is.
    pub(super) fn zero(&self, now: Timestamp) -> Option<Timestamp> {
        self.zero_until.filter(|end| *end > now)
    }

    /// What was paid in on a balance.
    pub(super) fn balance(&self, limit: &str) -> i64 {
        let paid = self.balances.iter().filter(|(name, _)| &**name == limit);
        paid.fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }
}

/// On what terms somebody is counted.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Who.
    pub subject: &'a Subject<'a>,
    /// The plan of the user.
    pub plan: &'a Plan,
    /// What is different for this user.
    pub overlay: &'a Overlay,
    /// The limits of the key that is used, where it has any.
    pub own: Option<&'a OwnLimits>,
}

/// The most that a call can use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// Tokens in: an upper bound.
    pub input_tokens: u64,
    /// Tokens out: what the caller asked for at most.
    pub output_tokens: u64,
    /// What the input and the fees per call cost at most.
    pub input_cost: Exact,
    /// What a token out costs at most.
    pub output_rate: Rate,
    /// Tokens out below which an answer is useless: a limit that clamps refuses instead.
    pub min_output: u64,
    /// Units, for limits that count them.
    pub units: i64,
}

impl Demand {
    /// The least output that is worth an answer, never more than what was asked.
    pub(super) fn least_output(&self) -> u64 {
        self.min_output.max(1).min(self.output_tokens)
    }

    /// What has to be set aside for so many tokens out.
    pub(super) fn cost(&self, output_tokens: u64) -> NanoUsd {
        (self.input_cost + self.output_rate.of(output_tokens)).hold()
    }
}

/// What a call used in the end.
#[derive(Clone, Copy, Debug)]
pub struct Actual {
    /// How it ended.
    pub outcome: Outcome,
    /// Tokens in.
    pub input_tokens: u64,
    /// Tokens out.
    pub output_tokens: u64,
    /// What it cost.
    pub cost: NanoUsd,
    /// Units.
    pub units: i64,
}

impl Actual {
    /// A call that failed before anything was used.
    pub const fn nothing() -> Self {
        Self {
            outcome: Outcome::Failed,
            input_tokens: 0,
            output_tokens: 0,
            cost: NanoUsd::ZERO,
            units: 0,
        }
    }

    /// What a row of the ledger says.
    pub fn of(record: &CallRecord) -> Self {
        Self {
            outcome: record.outcome,
            input_tokens: record.usage.input,
            output_tokens: record.usage.output,
            cost: record.cost,
            units: 0,
        }
    }

    /// What each metric counts of it.
    pub fn amounts(&self) -> Amounts {
        let complete = matches!(self.outcome, Outcome::Success | Outcome::InDoubt);
        let used = self.input_tokens > 0
            || self.output_tokens > 0
            || self.cost != NanoUsd::ZERO
            || self.units != 0;
        let refused = self.outcome == Outcome::Refused;
        Amounts {
            admitted: i64::from(!refused),
            requests: i64::from(complete || used),
            successes: i64::from(complete),
            input_tokens: count(self.input_tokens),
            output_tokens: count(self.output_tokens),
            cost: self.cost,
            units: self.units,
        }
    }
}

/// Settled use, as the counters take it: of one call, or of many together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Calls that were admitted: what a sliding limit on requests counts.
    pub admitted: i64,
    /// Calls that completed or used anything: what other limits on requests count. A call that
    /// failed before any output gave everything back.
    pub requests: i64,
    /// Calls that completed.
    pub successes: i64,
    /// Tokens in.
    pub input_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// Money.
    pub cost: NanoUsd,
    /// Units.
    pub units: i64,
}

impl Amounts {
    /// What a limit counts of it; `admissions` where it counts admissions as such.
    pub(super) fn of(&self, metric: Metric, admissions: bool) -> i64 {
        match metric {
            Metric::Requests if admissions => self.admitted,
            Metric::Requests => self.requests,
            Metric::Successes => self.successes,
            Metric::InputTokens => self.input_tokens,
            Metric::OutputTokens => self.output_tokens,
            Metric::Tokens => self.input_tokens.saturating_add(self.output_tokens),
            Metric::CostUsd => self.cost.nanos(),
            Metric::Concurrency => 0,
            Metric::Units => self.units,
        }
    }
}

/// A count as the counters hold it.
pub(super) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
