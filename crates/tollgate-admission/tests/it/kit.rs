//! Builders: limits in a line, a bench of an engine with one caller.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_admission::engine::{
    Actual, Demand, Engine, Grant, LimitState, Overlay, Refusal, Subject, Terms,
};
use tollgate_domain::call::Outcome;
use tollgate_domain::id::CallId;
use tollgate_domain::limit::{Limit, Metric, Mode, OnLimit, Plan, Scope, Window};
use tollgate_domain::money::{Exact, NanoUsd, Rate};

pub(crate) const START: &str = "2026-11-21T03:00:00Z";

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn limit(name: &str, metric: Metric, window: Window, max: i64) -> Limit {
    Limit {
        name: name.into(),
        scope: vec![Scope::User],
        metric,
        window,
        max: Some(max),
        on_limit: OnLimit::Deny,
        mode: Mode::Enforce,
        warn_at: Vec::new(),
        rollover: 0,
        zone: TimeZone::get("Asia/Seoul").unwrap(),
        feature: None,
        models: Vec::new(),
        providers: Vec::new(),
    }
}

pub(crate) const fn sliding(seconds: u64) -> Window {
    Window::Sliding { millis: seconds * 1_000 }
}

pub(crate) fn plan(name: &str, limits: impl IntoIterator<Item = Limit>) -> Plan {
    Plan { name: name.into(), limits: limits.into_iter().map(Arc::new).collect() }
}

/// The plan "free" of the example configuration.
pub(crate) fn free_plan() -> Plan {
    plan(
        "free",
        [
            limit("burst", Metric::Requests, sliding(60), 10),
            limit("parallel", Metric::Concurrency, Window::Now, 3),
            limit("daily", Metric::Successes, Window::Day, 10),
            limit("monthly", Metric::Successes, Window::Month, 300),
        ],
    )
}

pub(crate) fn call(number: u64) -> CallId {
    CallId::new(number, [1; 10])
}

/// A success that used so many tokens and so much money.
pub(crate) fn success(input: u64, output: u64, nanos: i64) -> Actual {
    Actual {
        outcome: Outcome::Success,
        input_tokens: input,
        output_tokens: output,
        cost: NanoUsd::from_nanos(nanos),
        units: 0,
    }
}

/// A demand of so many tokens; each costs a nano-dollar in and two out.
pub(crate) fn demand(input: u64, output: u64) -> Demand {
    Demand {
        input_tokens: input,
        output_tokens: output,
        input_cost: Exact::from_femtos(i128::from(input) * 1_000_000),
        output_rate: Rate::from_nanos_per_million(2_000_000),
        min_output: 1,
        units: 0,
    }
}

/// An engine, a plan, a clock that is moved by hand, and one caller at a time.
pub(crate) struct Desk {
    pub(crate) engine: Engine,
    pub(crate) plan: Plan,
    pub(crate) overlay: Overlay,
    pub(crate) now: Timestamp,
}

impl Desk {
    pub(crate) fn new(plan: Plan) -> Self {
        Self { engine: Engine::new(), plan, overlay: Overlay::default(), now: time(START) }
    }

    pub(crate) fn outside(self, limits: impl IntoIterator<Item = Limit>) -> Self {
        self.engine.set_limits(limits.into_iter().map(Arc::new).collect());
        self
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now.checked_add(time).unwrap();
    }

    pub(crate) fn admit(&self, subject: &Subject<'_>, demand: &Demand) -> Result<Grant, Refusal> {
        self.engine.admit(call(1), &self.terms(subject), demand, self.now)
    }

    pub(crate) fn settle(&self, grant: Grant, actual: &Actual) {
        self.engine.settle(grant, actual, self.now);
    }

    /// Admits a call of that user and settles it as a success at once.
    pub(crate) fn send(&self, user: &str) -> Result<(), Refusal> {
        let grant = self.admit(&self::user(user), &Demand::default())?;
        self.settle(grant, &success(0, 0, 0));
        Ok(())
    }

    pub(crate) fn terms<'a>(&'a self, subject: &'a Subject<'a>) -> Terms<'a> {
        Terms { subject, plan: &self.plan, overlay: &self.overlay, own: None }
    }

    pub(crate) fn usage(&self, subject: &Subject<'_>) -> Vec<LimitState> {
        self.engine.usage(&self.terms(subject), self.now)
    }

    /// One limit of that user as it stands: used, reserved, remaining.
    pub(crate) fn standing(&self, user: &str, limit: &str) -> (i64, i64, Option<i64>) {
        let states = self.usage(&self::user(user));
        let state = states.iter().find(|state| &*state.limit.name == limit).unwrap();
        (state.used, state.reserved, state.remaining)
    }
}

pub(crate) fn user(user: &str) -> Subject<'_> {
    Subject { user, provider: "openai", model: "gpt-4o-mini", ..Subject::default() }
}
