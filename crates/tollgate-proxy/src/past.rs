//! Use that has happened, as the counters of limits take it: rows and sums of the ledger at a start,
//! usage that is reported from elsewhere, actions that have ended.
//!
//! Who is counted where is found out here as at an admission, so that a counter made of history
//! equals the one that was lost. One thing is not in the history: the plan that a token (JWT) named.
//! Such a user's history counts in every plan; each has counters of its own, so nothing is counted
//! twice and no limit starts afresh.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use tollgate_admission::books::Action;
use tollgate_admission::engine::{
    ActionDemand, Actual, Amounts, Engine, OwnLimits, Subject, Terms,
};
use tollgate_admission::identity::{GUEST_USER, KeyEntry};
use tollgate_admission::network::counted_address;
use tollgate_domain::call::CallRecord;
use tollgate_domain::limit::{Limit, Metric, Plan};
use tollgate_domain::money::NanoUsd;

use crate::accept::kept;
use crate::plane::Plane;
use crate::snapshot::Snapshot;
use crate::standing::overlay;

/// Takes history into the counters.
#[derive(Debug)]
pub struct Past<'a> {
    plane: &'a Plane,
    snapshot: &'a Snapshot,
    keys: HashMap<&'a str, &'a KeyEntry>,
}

impl<'a> Past<'a> {
    /// Counts into the engine of this data plane.
    pub fn new(plane: &'a Plane, snapshot: &'a Snapshot) -> Self {
        let keys = snapshot.keys.entries().map(|key| (&*key.name, &**key)).collect();
        Self { plane, snapshot, keys }
    }

    /// Counts a call of the ledger.
    pub fn call(&self, record: &CallRecord) {
        let ip = record.ip.as_deref().map(|kept| self.counted(kept));
        let subject = Subject {
            user: &record.user,
            key: record.key.as_deref(),
            team: record.team.as_deref(),
            ip: ip.as_deref(),
            session: record.session.as_deref(),
            feature: record.feature.as_deref(),
            provider: &record.provider,
            model: &record.model_asked,
            free: false,
        };
        self.many(&subject, record.time, &Actual::of(record).amounts(), |_| true);
    }

    /// Counts many calls together, of one window, in the limits that `wanted` names.
    pub fn many(
        &self,
        subject: &Subject<'_>,
        at: Timestamp,
        amounts: &Amounts,
        wanted: impl Fn(&Limit) -> bool,
    ) {
        let state = self.plane.directory.get(subject.user);
        let overlay = overlay(state.as_deref());
        let decided = state.as_ref().and_then(|state| state.plan.as_ref());
        let own = self.own(subject.key);
        let count = |plan: &Plan, first: bool| {
            let terms = Terms { subject, plan, overlay, own };
            let counts = |limit: &Limit, of: Option<&str>| (first || of.is_some()) && wanted(limit);
            self.engine().absorb_where(&terms, at, amounts, counts);
        };
        match self.plan(subject.user, subject.key, decided) {
            Some(plan) => count(&plan, true),
            None => {
                let default = &self.snapshot.default_plan;
                count(default, true);
                let others = self.snapshot.plans.values().filter(|plan| plan.name != default.name);
                others.for_each(|plan| count(plan, false));
            }
        }
    }

    /// Counts what an action used in the end.
    pub fn action(&self, action: &Action) {
        let amounts = amounts_of(action);
        let wanted = |limit: &Limit| limit.metric == action.metric;
        self.many(&subject_of(action), action.created_at, &amounts, wanted);
    }

    /// Sets aside again, at a start, what an action holds.
    pub fn restore(&self, action: &Action) {
        let state = self.plane.directory.get(&action.user);
        let decided = state.as_ref().and_then(|state| state.plan.as_ref());
        let plan = self
            .plan(&action.user, Some(&action.key), decided)
            .unwrap_or_else(|| Arc::clone(self.snapshot.plan(Some(&action.plan))));
        let terms = Terms {
            subject: &subject_of(action),
            plan: &plan,
            overlay: overlay(state.as_deref()),
            own: self.own(Some(&action.key)),
        };
        let Action { id, metric, amount, created_at, expires_at, .. } = *action;
        let demand = ActionDemand { metric, amount, expires_at };
        // No limit is asked, so none refuses.
        drop(self.engine().restore_action(id, &terms, &demand, created_at));
    }

    /// The limits that a key brings along.
    fn own(&self, key: Option<&str>) -> Option<&'a OwnLimits> {
        key.and_then(|key| self.keys.get(key))?.own.as_deref()
    }

    fn engine(&self) -> &Engine {
        self.plane.gate.engine()
    }

    /// The plan of a user: as decided, else that of the key; `None` where a token named it.
    fn plan(&self, user: &str, key: Option<&str>, decided: Option<&Arc<str>>) -> Option<Arc<Plan>> {
        let snapshot = self.snapshot;
        let guests = snapshot.guests.as_ref().filter(|_| user.starts_with(GUEST_USER));
        let name = match (decided, guests) {
            (Some(plan), _) => Some(plan),
            (None, Some(guests)) => Some(&guests.plan),
            (None, None) => {
                let tokens = snapshot.tokens.as_ref();
                if tokens.is_some_and(|tokens| key == Some(&*tokens.name)) {
                    return None;
                }
                key.and_then(|key| self.keys.get(key)).and_then(|key| key.plan.as_ref())
            }
        };
        Some(Arc::clone(snapshot.plan(name)))
    }

    /// An address as limits count it, from what was kept of it.
    fn counted<'b>(&self, ip: &'b str) -> Cow<'b, str> {
        match ip.parse::<IpAddr>() {
            Ok(ip) if self.snapshot.settings.hash_addresses => {
                Cow::Owned(kept(self.snapshot, ip).to_string())
            }
            Ok(ip) => Cow::Owned(counted_address(ip).to_string()),
            Err(_) => Cow::Borrowed(ip),
        }
    }
}

/// Who is counted for an action.
pub(crate) fn subject_of(action: &Action) -> Subject<'_> {
    Subject {
        user: &action.user,
        key: Some(&action.key),
        team: action.team.as_deref(),
        ip: action.ip.as_deref(),
        feature: action.feature.as_deref(),
        ..Subject::default()
    }
}

/// What is counted for an action that has ended, on the side of its metric only.
fn amounts_of(action: &Action) -> Amounts {
    let used = action.used;
    let none = Amounts::default();
    match action.metric {
        // A rate counts what was admitted, whatever became of it.
        Metric::Requests => Amounts { admitted: action.amount, requests: used, ..none },
        Metric::Successes => Amounts { successes: used, ..none },
        Metric::InputTokens | Metric::Tokens => Amounts { input_tokens: used, ..none },
        Metric::OutputTokens => Amounts { output_tokens: used, ..none },
        Metric::CostUsd => Amounts { cost: NanoUsd::from_nanos(used), ..none },
        Metric::Units => Amounts { units: used, ..none },
        Metric::Concurrency => none,
    }
}
