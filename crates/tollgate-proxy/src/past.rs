//! Use that has happened, as the counters of limits take it: rows and sums of the ledger at a start,
//! usage that is reported from elsewhere, actions that have ended.
//!
//! Who is counted where is found out here as at an admission, so that a counter made of history
//! equals the one that was lost. One thing is not in the history: the plan that a token (JWT) named.
//! Such a user's history counts in every plan; each has counters of its own, so nothing is counted
//! twice and no limit starts afresh.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use tollgate_admission::books::Action;
use tollgate_admission::directory::{Directory, UserState};
use tollgate_admission::engine::{
    ActionDemand, Actual, Amounts, Engine, Grant, LimitState, OwnLimits, Source, Subject, Terms,
};
use tollgate_admission::identity::GUEST_USER;
use tollgate_admission::network::counted_address;
use tollgate_domain::call::CallRecord;
use tollgate_domain::limit::{Limit, Metric, Plan};
use tollgate_domain::money::NanoUsd;

use crate::accept::kept;
use crate::plane::Plane;
use crate::snapshot::Snapshot;
use crate::standing::overlay;

/// About whom what is decided: as it is in force, or as it is about to be.
#[derive(Clone, Copy, Debug)]
pub enum Users<'a> {
    /// All as they are here.
    Of(&'a Directory),
    /// The same, but for one user, about whom this is decided or nothing.
    But(&'a Directory, &'a str, Option<&'a Arc<UserState>>),
}

impl Users<'_> {
    /// What is decided about a user.
    pub fn get(&self, user: &str) -> Option<Arc<UserState>> {
        match self {
            Self::But(_, name, state) if *name == user => state.map(Arc::clone),
            Self::Of(all) | Self::But(all, ..) => all.get(user),
        }
    }
}

/// Takes history into the counters.
#[derive(Debug)]
pub struct Past<'a> {
    engine: &'a Engine,
    snapshot: &'a Snapshot,
    users: Users<'a>,
}

impl<'a> Past<'a> {
    /// Counts into the engine of this data plane.
    pub fn new(plane: &'a Plane, snapshot: &'a Snapshot) -> Self {
        Self::with(plane.gate.engine(), snapshot, Users::Of(&plane.directory))
    }

    /// Counts into this engine, for these users.
    pub fn with(engine: &'a Engine, snapshot: &'a Snapshot, users: Users<'a>) -> Self {
        Self { engine, snapshot, users }
    }

    /// Counts a call of the ledger.
    pub fn call(&self, record: &CallRecord) {
        self.call_where(record, |_, _, _| true);
    }

    /// Counts a call of the ledger in the limits that `wanted` names for its caller.
    pub fn call_where(
        &self,
        record: &CallRecord,
        wanted: impl Fn(&Limit, Source<'_>, &Subject<'_>) -> bool,
    ) {
        if record.is_uncounted() {
            return;
        }
        let ip = record.ip.as_deref().map(|kept| self.counted(kept));
        let model = record.model_counted();
        let subject = subject_of_call(record, ip.as_deref(), &model);
        let wanted = |limit: &Limit, source: Source<'_>| wanted(limit, source, &subject);
        self.many(&subject, record.time, &Actual::of(record).amounts(), wanted);
    }

    /// Counts a call that has just ended in the limits that came into force since its admission.
    pub fn late(&self, record: &CallRecord, grant: &Grant) {
        let ip = record.ip.as_deref().map(|kept| self.counted(kept));
        let model = record.model_counted();
        let subject = subject_of_call(record, ip.as_deref(), &model);
        let amounts = Actual::of(record).amounts();
        let state = self.users.get(&record.user);
        let decided = state.as_ref().and_then(|state| state.plan.as_ref());
        let known = self.plan(&record.user, record.key.as_deref(), decided);
        // The plan that a token named is still the one of the grant.
        let nothing = Plan { name: Arc::default(), limits: Vec::new() };
        let terms = Terms {
            subject: &subject,
            plan: known.as_deref().unwrap_or(&nothing),
            overlay: overlay(state.as_deref()),
            own: self.own(record.key.as_deref()),
        };
        self.engine.absorb_uncovered(grant, &terms, record.time, &amounts);
    }

    /// Counts many calls together, of one window, in the limits that `wanted` names.
    pub fn many(
        &self,
        subject: &Subject<'_>,
        at: Timestamp,
        amounts: &Amounts,
        wanted: impl Fn(&Limit, Source<'_>) -> bool,
    ) {
        let state = self.users.get(subject.user);
        let overlay = overlay(state.as_deref());
        let decided = state.as_ref().and_then(|state| state.plan.as_ref());
        let own = self.own(subject.key);
        let count = |plan: &Plan, first: bool| {
            let terms = Terms { subject, plan, overlay, own };
            let counts = |limit: &Limit, source: Source<'_>| {
                (first || matches!(source, Source::Plan(_))) && wanted(limit, source)
            };
            self.engine.absorb_where(&terms, at, amounts, counts);
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

    /// The name of the plan that counts for a user of this key; `None` where a token names it.
    pub fn plan_of(&self, user: &str, key: Option<&str>) -> Option<Arc<str>> {
        let state = self.users.get(user);
        let decided = state.as_ref().and_then(|state| state.plan.as_ref());
        self.plan(user, key, decided).map(|plan| Arc::clone(&plan.name))
    }

    /// How the limits stand that count for a user who calls with this key. Where a token names the plan
    /// it is not known here, and only those outside plans are told.
    pub fn usage(&self, user: &str, key: Option<&str>, now: Timestamp) -> Vec<LimitState> {
        let state = self.users.get(user);
        let decided = state.as_ref().and_then(|state| state.plan.as_ref());
        let nothing = Plan { name: Arc::default(), limits: Vec::new() };
        let plan = self.plan(user, key, decided);
        let terms = Terms {
            subject: &Subject { user, key, ..Subject::default() },
            plan: plan.as_deref().unwrap_or(&nothing),
            overlay: overlay(state.as_deref()),
            own: None,
        };
        self.engine.usage(&terms, now)
    }

    /// How the limits stand that count for nobody in particular: those outside plans, then those of each
    /// plan.
    pub fn usage_of_all(&self, now: Timestamp) -> Vec<LimitState> {
        let snapshot = self.snapshot;
        let (overlay, subject) = (overlay(None), &Subject::default());
        let nothing = Plan { name: Arc::default(), limits: Vec::new() };
        let usage =
            |plan| self.engine.usage(&Terms { subject, plan, overlay, own: None }, now).into_iter();
        let default = &snapshot.default_plan;
        let others = snapshot.plans.values().filter(|plan| plan.name != default.name);
        let plans = others.chain([default]).flat_map(|plan| usage(plan));
        let mut all: Vec<_> = plans.filter(|state| state.plan.is_some()).collect();
        all.sort_by(|a, b| (&a.plan, &a.limit.name).cmp(&(&b.plan, &b.limit.name)));
        usage(&nothing).chain(all).collect()
    }

    /// Counts what an action used in the end.
    pub fn action(&self, action: &Action) {
        self.action_where(action, |_, _, _| true);
    }

    /// Counts what an action used in the end in the limits that `wanted` names for its caller.
    pub fn action_where(
        &self,
        action: &Action,
        wanted: impl Fn(&Limit, Source<'_>, &Subject<'_>) -> bool,
    ) {
        let (amounts, subject) = (amounts_of(action), subject_of(action));
        let counts = |limit: &Limit, source: Source<'_>| {
            limit.metric == action.metric && wanted(limit, source, &subject)
        };
        self.many(&subject, action.created_at, &amounts, counts);
    }

    /// Sets aside again, at a start, what an action holds.
    pub fn restore(&self, action: &Action) {
        self.hold(action, |terms, demand| {
            // No limit is asked, so none refuses.
            drop(self.engine.restore_action(action.id, terms, demand, action.created_at));
        });
    }

    /// Holds what an action holds in the limits that count for it now.
    pub fn hold_anew(&self, action: &Action) {
        self.hold(action, |terms, demand| {
            self.engine.move_action(action.id, terms, demand, action.created_at);
        });
    }

    fn hold(&self, action: &Action, hold: impl FnOnce(&Terms<'_>, &ActionDemand)) {
        let state = self.users.get(&action.user);
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
        let Action { metric, amount, expires_at, .. } = *action;
        hold(&terms, &ActionDemand { metric, amount, expires_at });
    }

    /// The limits that a key brings along.
    fn own(&self, key: Option<&str>) -> Option<&'a OwnLimits> {
        key.and_then(|key| self.snapshot.keys.named(key))?.own.as_deref()
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
                key.and_then(|key| snapshot.keys.named(key)).and_then(|key| key.plan.as_ref())
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

/// Who is counted for a call of the ledger, from this address and for this model as limits count
/// them.
fn subject_of_call<'a>(record: &'a CallRecord, ip: Option<&'a str>, model: &'a str) -> Subject<'a> {
    Subject {
        user: &record.user,
        key: record.key.as_deref(),
        team: record.team.as_deref(),
        ip,
        session: record.session.as_deref(),
        feature: record.feature.as_deref(),
        provider: &record.provider,
        model,
        free: false,
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
