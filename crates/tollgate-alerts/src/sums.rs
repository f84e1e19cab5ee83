//! What calls add up to: the figures that history is told in, and what one call adds to a metric.

use tollgate_admission::identity::GUEST_USER;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::fault::Code;
use tollgate_domain::money::NanoUsd;

use crate::measure::Metric;

/// Figures of some calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// What they cost.
    pub cost: NanoUsd,
    /// Calls that were admitted.
    pub calls: u64,
    /// Of these: failed.
    pub failed: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Tokens in.
    pub input_tokens: u64,
    /// Tokens out.
    pub output_tokens: u64,
}

impl Sums {
    /// Of one call.
    pub fn of(call: &CallRecord) -> Self {
        let refused = call.outcome == Outcome::Refused;
        Self {
            cost: call.cost,
            calls: u64::from(!refused),
            failed: u64::from(failed(call)),
            refused: u64::from(refused),
            input_tokens: call.usage.input,
            output_tokens: call.usage.output,
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.cost += other.cost;
        self.calls = self.calls.saturating_add(other.calls);
        self.failed = self.failed.saturating_add(other.failed);
        self.refused = self.refused.saturating_add(other.refused);
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
    }

    /// Whether there was no call.
    pub const fn is_nothing(&self) -> bool {
        self.calls == 0 && self.refused == 0
    }

    /// The value of a metric, as far as sums tell it: for the dearest call this is what a call cost
    /// on average.
    pub fn value(&self, metric: Metric) -> i64 {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        match metric {
            Metric::CostUsd => self.cost.nanos(),
            Metric::Calls => count(self.calls),
            Metric::FailedCalls => count(self.failed),
            Metric::Refusals => count(self.refused),
            Metric::InputTokens => count(self.input_tokens),
            Metric::OutputTokens => count(self.output_tokens),
            Metric::Tokens => count(self.input_tokens.saturating_add(self.output_tokens)),
            Metric::CallCostUsd => self.cost.nanos() / count(self.calls).max(1),
            _ => 0,
        }
    }
}

/// Whether a call failed by nobody's wrong request: a 5xx that is no deliberate stop, or an answer
/// that broke off.
pub(crate) fn failed(call: &CallRecord) -> bool {
    let stopped = call.error_type.as_deref() == Some(Code::KillSwitch.as_str());
    let broken = call.outcome == Outcome::Failed && call.status < 400;
    (call.status >= 500 && !stopped) || broken
}

/// Whether a call came without credentials.
pub(crate) fn is_guests(call: &CallRecord) -> bool {
    let refused = || {
        let code = call.error_type.as_deref();
        let codes = [Code::Unauthenticated, Code::GuestForbidden];
        call.outcome == Outcome::Refused && codes.iter().any(|it| Some(it.as_str()) == code)
    };
    call.user.starts_with(GUEST_USER) || refused()
}
