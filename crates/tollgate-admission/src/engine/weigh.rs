//! The arithmetic of a decision: what is needed, what is there, what it affords. It reads counted
//! balances and changes nothing.

use jiff::Timestamp;
use tollgate_domain::limit::{Metric, Mode, OnLimit, Window};
use tollgate_domain::money::NanoUsd;

use super::ask::{Demand, Overlay, count};
use super::decide::{Ask, Decision, Spot, Spots};
use super::table::Rule;

impl Decision<'_> {
    /// The output that every clamping limit affords, up to what was asked.
    pub(super) fn affordable_output(&self, spots: &Spots<'_>) -> u64 {
        let Ask::Call(demand) = self.ask else {
            return 0;
        };
        let clamping = spots.iter().filter(|spot| {
            let limit = &spot.rule.limit;
            limit.on_limit == OnLimit::Clamp && limit.mode == Mode::Enforce
        });
        clamping.fold(demand.output_tokens, |output, spot| {
            let room = spot.standing.room().unwrap_or(i64::MAX).max(0);
            output.min(self.affordable(demand, spot.rule.limit.metric, room))
        })
    }

    /// The output that so much of a metric affords.
    fn affordable(&self, demand: &Demand, metric: Metric, room: i64) -> u64 {
        match metric {
            Metric::OutputTokens => room.unsigned_abs(),
            Metric::Tokens => room.unsigned_abs().saturating_sub(demand.input_tokens),
            Metric::CostUsd if !self.terms.subject.free => {
                let rate = i128::from(demand.output_rate.nanos_per_million());
                let room = NanoUsd::from_nanos(room).exact().femtos();
                let left = room.saturating_sub(demand.input_cost.femtos()).max(0);
                let output = left.checked_div(rate).unwrap_or(i128::MAX);
                u64::try_from(output).unwrap_or(u64::MAX)
            }
            _ => u64::MAX,
        }
    }

    pub(super) fn least_output(&self) -> u64 {
        match self.ask {
            Ask::Call(demand) => demand.least_output(),
            Ask::Action { .. } => 0,
        }
    }

    /// What has to be set aside in a metric.
    pub(super) fn need(&self, metric: Metric, output: u64) -> i64 {
        let demand = match self.ask {
            Ask::Call(demand) => demand,
            Ask::Action { amount, .. } => return amount,
        };
        match metric {
            Metric::Requests | Metric::Successes | Metric::Concurrency => 1,
            Metric::InputTokens => count(demand.input_tokens),
            Metric::OutputTokens => count(output),
            Metric::Tokens => count(demand.input_tokens.saturating_add(output)),
            Metric::CostUsd => demand.cost(output).nanos().max(0),
            Metric::Units => demand.units.max(0),
        }
    }

    /// Whether the limit does not cover the call. Zero blocks whatever is asked; else what asks for
    /// nothing passes, also where more was used than there is.
    pub(super) fn exceeds(&self, spot: &Spot<'_>, output: u64) -> bool {
        let Spot { rule, standing, .. } = spot;
        if matches!(self.ask, Ask::Action { forced: true, .. }) || spot.kept.is_some() {
            return false;
        }
        let Some(room) = standing.room() else {
            return false;
        };
        if rule.limit.metric == Metric::CostUsd && self.terms.subject.free {
            return false;
        }
        let need = self.need(rule.limit.metric, output);
        standing.ceiling.is_some_and(|ceiling| ceiling <= 0) || (need > 0 && need > room)
    }

    /// Whether a smaller figure for the input could make the limit cover the call.
    pub(super) fn hangs_on_input(&self, spot: &Spot<'_>) -> bool {
        let Ask::Call(demand) = self.ask else {
            return false;
        };
        let room = spot.standing.room().unwrap_or(i64::MAX);
        let output = match spot.rule.limit.on_limit {
            OnLimit::Clamp => demand.least_output(),
            _ => demand.output_tokens,
        };
        let least = match spot.rule.limit.metric {
            Metric::InputTokens => 0,
            Metric::Tokens => count(output),
            Metric::CostUsd => demand.output_rate.of(output).hold().nanos(),
            _ => return false,
        };
        room > 0 && least <= room
    }
}

/// The maximum that holds for this user now, and until when it does where it is not the limit's own.
pub(super) fn max_of(
    rule: &Rule,
    overlay: &Overlay,
    now: Timestamp,
) -> (Option<i64>, Option<Timestamp>) {
    let limit = &rule.limit;
    let zero = overlay.zero(now).filter(|_| rule.personal);
    if zero.is_some() {
        return (Some(0), zero);
    }
    let other = if rule.personal && !overlay.overrides.is_empty() {
        overlay.of(&limit.name, now)
    } else {
        None
    };
    let (max, until) = other.map_or((limit.max, None), |other| (other.max, other.until));
    if limit.window != Window::Balance {
        return (max, until);
    }
    // A balance without a starting amount starts at nothing; only an override makes it unlimited.
    let start = if other.is_some() { max } else { Some(max.unwrap_or(0)) };
    (start.map(|start| start.saturating_add(overlay.balance(&limit.name))), until)
}
