//! How things stand that are no calls: the ledger, and limits on everybody together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use tollgate_admission::engine::{Engine, LimitState, Overlay, Subject, Terms};
use tollgate_alerts::Budget;
use tollgate_alerts::engine::{Reading, Signal};
use tollgate_alerts::measure::Metric;
use tollgate_domain::limit::{self, Plan, Scope, Window};
use tollgate_proxy::breaker::BreakerState;
use tollgate_proxy::health::TargetState;
use tollgate_store::{LedgerStatus, SqliteLedger};

use super::feed::Step;

/// Reads everything.
pub(super) fn read(
    ledger: &SqliteLedger,
    targets: &[TargetState],
    limits: &[LimitState],
) -> Vec<Reading> {
    let LedgerStatus { waiting, last_error, .. } = ledger.status();
    let plain = |metric, value, note| Reading {
        metric,
        subject: Arc::default(),
        value,
        budget: None,
        note,
    };
    let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
    let mut readings = vec![
        plain(Metric::StoreDegraded, i64::from(last_error.is_some()), last_error),
        plain(Metric::LedgerWaiting, waiting, None),
    ];
    readings.extend(breakers(targets));
    readings.extend(limits.iter().flat_map(used));
    readings
}

/// How many targets of each provider are left alone.
fn breakers(targets: &[TargetState]) -> impl Iterator<Item = Reading> {
    let mut open: BTreeMap<Arc<str>, i64> = BTreeMap::new();
    for target in targets {
        let count = open.entry(Arc::clone(&target.provider)).or_default();
        *count += i64::from(target.breaker == BreakerState::Open);
    }
    open.into_iter().map(|(subject, value)| Reading {
        metric: Metric::BreakerOpen,
        subject,
        value,
        budget: None,
        note: None,
    })
}

/// How often the breakers of each target had opened when they were looked at last.
#[derive(Debug, Default)]
pub(super) struct Openings(HashMap<(Arc<str>, Arc<str>), u64>);

impl Openings {
    /// A signal for each time that a breaker has opened since.
    pub(super) fn since(&mut self, targets: &[TargetState], at: Timestamp) -> Vec<Signal> {
        let mut signals = Vec::new();
        for target in targets {
            let name = (Arc::clone(&target.provider), Arc::clone(&target.model));
            let before = self.0.insert(name, target.openings).unwrap_or(0);
            for _ in 0..target.openings.saturating_sub(before) {
                let subject = Arc::clone(&target.provider);
                signals.push(Signal { metric: Metric::BreakerOpenings, subject, at });
            }
        }
        signals
    }
}

/// How the limits outside plans stand that count everybody together over some time.
pub(super) fn global(engine: &Engine, now: Timestamp) -> Vec<LimitState> {
    let nobody = Plan { name: Arc::default(), limits: Vec::new() };
    let terms = Terms {
        subject: &Subject::default(),
        plan: &nobody,
        overlay: &Overlay::default(),
        own: None,
    };
    let mut states = engine.usage(&terms, now);
    states.retain(|state| {
        let lasts = !matches!(state.limit.window, Window::Sliding { .. } | Window::Now);
        state.limit.scope == [Scope::Global] && lasts && state.max.is_some_and(|max| max > 0)
    });
    states
}

/// The readings of one limit.
fn used(state: &LimitState) -> Vec<Reading> {
    let max = state.max.unwrap_or(0).max(1);
    let share = i128::from(state.used) * 1_000_000 / i128::from(max);
    let reading = |metric| Reading {
        metric,
        subject: Arc::clone(&state.limit.name),
        value: i64::try_from(share).unwrap_or(i64::MAX),
        budget: Some(Budget {
            limit: state.limit.name.to_string(),
            plan: None,
            scope: Vec::new(),
            metric: state.limit.metric,
            window: state.limit.window.to_string(),
            used: state.used,
            max,
            step: None,
        }),
        note: None,
    };
    let is_budget = state.limit.metric == limit::Metric::CostUsd && state.limit.warn_at.is_empty();
    let budget = is_budget.then(|| reading(Metric::BudgetUsedRatio));
    [reading(Metric::LimitUsedRatio)].into_iter().chain(budget).collect()
}

/// The steps that limits on everybody together have passed: where the program ended between a step
/// and its report, or no call reached it, nobody else tells of it.
pub(super) fn passed(limits: &[LimitState]) -> Vec<Step> {
    let steps = |state: &LimitState| -> Vec<Step> {
        let max = state.max.unwrap_or(0);
        let used = i128::from(state.used);
        let passed = |step: &&u16| used * 1_000 >= i128::from(max) * i128::from(**step);
        let step = |step: &u16| Step {
            limit: Arc::clone(&state.limit),
            plan: state.plan.clone(),
            step: *step,
            used: state.used,
            max,
            scope: Vec::new(),
        };
        state.limit.warn_at.iter().filter(passed).map(step).collect()
    };
    limits.iter().flat_map(steps).collect()
}
