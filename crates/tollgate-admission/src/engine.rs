//! The limits engine: decides in memory, in about a microsecond, whether a call may be made, sets
//! aside what it can use, and settles it.
//!
//! It is responsible for the counters and for nothing else: it does no I/O, reads no clock (the time
//! is an argument) and writes no ledger. What it holds is the fast copy of the ledger; at a start it
//! is filled from there with [`Engine::absorb`].
//!
//! # How a decision is made
//!
//! The limits of the plan, those of the key and those outside both are one `table`, made once and
//! found by the plan's name. Limits with the same scope count in one *account* per combination of scope values;
//! accounts live in 64 `stripe`s, each behind one lock. A decision
//!
//! 1. hashes each scope that applies once, which gives the stripe and the place in it;
//! 2. locks the stripes it needs, in the order of their numbers (`floor`), so that decisions never
//!    wait in a circle, and holds them until it is done, so that nobody sees half of one;
//! 3. counts what each window holds at this instant, weighs all limits and, if every one of them
//!    covers the call, reserves in every one of them (`decide`). A refusal writes nothing.
//!
//! Concurrent decisions on one counter are thereby serial, so used + reserved never passes a hard
//! maximum (LIMIT-1), however many ask at once. The locks are held for less than a microsecond and
//! never across I/O.
//!
//! # How it ends
//!
//! A [`Grant`] names what was reserved by number (stripe, slot, counter, window); settling needs no
//! name and no search. It is taken by value and cannot be copied, so a call settles once; what is
//! used above the reservation is debited in full. Amounts go into the window of the admission, also
//! when that window has turned meanwhile. Requests under a sliding limit count admissions and stay
//! counted; a call that failed before any output gives back everything else.
//!
//! # Windows
//!
//! A window's key is a function of its kind, its zone and the instant (`window`); nothing is reset.
//! `calendar` holds windows with fixed ends, `rolling` the last so many days, `sliding` a log
//! of the last so many milliseconds. How each behaves when the clock steps is written there.

mod action;
mod answer;
mod ask;
mod calendar;
mod counter;
mod decide;
mod entry;
mod floor;
mod history;
mod own;
mod rolling;
mod sliding;
mod stripe;
mod table;
mod weigh;
mod window;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_domain::decision as kept;
use tollgate_domain::fault::Code;
use tollgate_domain::id::CallId;
use tollgate_domain::limit::{Limit, Metric, Mode, OnLimit, Scope, Window};

pub use self::action::ActionDemand;
pub use self::answer::{
    Balance, Census, Grant, Headroom, LimitState, Passed, Refusal, Reserved, Settled, Warning,
};
pub use self::ask::{Actual, Amounts, Demand, Overlay, Override, Subject, Terms};
pub use self::own::OwnLimits;
pub use self::table::{LimitIdentity, Source};

use self::action::Actions;
use self::counter::{Standing, counts_admissions};
use self::decide::{Ask, Decision, warning};
use self::floor::{Floor, Place, Stripes};
use self::stripe::Name;
use self::table::{Rule, Tables};
use self::weigh::max_of;

/// The limits and their counters.
#[derive(Debug)]
pub struct Engine {
    stripes: Stripes,
    tables: Tables,
    actions: Actions,
    /// What refuses a user whose quota is at zero.
    zero: Arc<Limit>,
}

/// What is settled: a call by its amounts, or an action by the amount of its one metric.
#[derive(Clone, Copy)]
enum Shape {
    Call(Amounts),
    One(i64),
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// An engine that has counted nothing and knows no limit outside plans.
    pub fn new() -> Self {
        Self {
            stripes: Stripes::new(),
            tables: Tables::new(),
            actions: Actions::new(),
            zero: Arc::new(quota_zero()),
        }
    }

    /// Puts these limits outside plans in force, for calls admitted from now on. Counts stay: a
    /// counter belongs to a name, a scope, a metric and a window, whatever the maximum is. A limit
    /// with another scope, metric, window or zone counts from nothing (see [`Engine::absorb`]).
    pub fn set_limits(&self, limits: Arc<[Arc<Limit>]>) {
        self.tables.set_outside(limits);
    }

    /// Decides on a call: every limit of the plan and outside plans that applies takes what the call
    /// can use, or none does.
    pub fn admit(
        &self,
        call: CallId,
        terms: &Terms<'_>,
        demand: &Demand,
        now: Timestamp,
    ) -> Result<Grant, Refusal> {
        self.check_zero(terms, 1, now)?;
        self.expire_some(now);
        self.grant(call, terms, Ask::Call(demand), now)
    }

    /// Settles a call: what it used is entered, the rest of what was set aside is given back.
    #[expect(clippy::needless_pass_by_value, reason = "a grant is used up by settling it")]
    pub fn settle(&self, grant: Grant, actual: &Actual, now: Timestamp) -> Settled {
        self.settle_as(&grant, Shape::Call(actual.amounts()), now)
    }

    /// How every limit stands that counts for this subject, in the order of the configuration, the
    /// plan's first. Filters by feature, model and provider do not hide a limit here; scopes for
    /// which the subject has no value do.
    pub fn usage(&self, terms: &Terms<'_>, now: Timestamp) -> Vec<LimitState> {
        self.expire_some(now);
        let table = self.tables.of(terms.plan, terms.own);
        let all = vec![true; table.groups.len()];
        let places = self.stripes.places(&table, terms.subject, &all);
        let mut floor = self.stripes.enter(places.iter().flatten().map(|place| place.stripe), now);
        let mut states: Vec<(usize, LimitState)> = Vec::with_capacity(table.rules.len());
        for rule in &table.rules {
            let Some(Some(place)) = places.get(rule.group) else {
                continue;
            };
            let group = table.groups.get(rule.group);
            let Some(name) = group.and_then(|group| Name::of(group, terms.subject)) else {
                continue;
            };
            let (max, _) = max_of(rule, terms.overlay, now);
            let standing = standing(&mut floor, place, (rule, &name), max);
            states.push((rule.order, state(rule, &standing, now)));
        }
        states.sort_by_key(|(order, _)| *order);
        states.into_iter().map(|(_, state)| state).collect()
    }

    /// How much it holds, counted through.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        self.stripes.each(|stripe| {
            let (accounts, counters, held) = stripe.census();
            census.accounts += accounts;
            census.counters += counters;
            census.held += held;
        });
        census
    }

    fn grant(
        &self,
        call: CallId,
        terms: &Terms<'_>,
        ask: Ask<'_>,
        now: Timestamp,
    ) -> Result<Grant, Refusal> {
        let table = self.tables.of(terms.plan, terms.own);
        let taken = Decision { table: &table, terms, ask, now }.run(&self.stripes)?;
        let cost = match ask {
            Ask::Call(demand) => demand.cost(taken.output_tokens),
            Ask::Action { .. } => tollgate_domain::money::NanoUsd::ZERO,
        };
        Ok(Grant {
            call,
            table,
            entries: taken.entries,
            output_tokens: taken.output_tokens,
            cost,
            warnings: taken.warnings,
            passed: taken.passed,
            decision: taken.decision,
        })
    }

    fn settle_as(&self, grant: &Grant, used: Shape, now: Timestamp) -> Settled {
        let mut settled = Settled::default();
        if grant.table.engine != self.tables.engine() {
            return settled;
        }
        let mut floor = self.stripes.enter(grant.entries.iter().map(|entry| entry.stripe), now);
        for entry in &grant.entries {
            let Some(rule) = grant.table.rules.get(usize::from(entry.rule)) else {
                continue;
            };
            let limit = &rule.limit;
            if counts_admissions(limit) {
                continue;
            }
            let Some(locked) = floor.at(entry.stripe) else {
                continue;
            };
            let at = locked.at;
            locked.stripe.unpin(entry.slot);
            let Some(counter) = locked.stripe.counter(entry.slot, entry.counter) else {
                continue;
            };
            let actual = match used {
                Shape::Call(amounts) => amounts.of(limit.metric, false),
                Shape::One(amount) => amount,
            };
            if limit.warn_at.is_empty() || limit.window == Window::Now {
                counter.settle(entry.key, entry.amount, actual, &at);
                continue;
            }
            let before = counter.used(limit, entry.key, &at);
            counter.settle(entry.key, entry.amount, actual, &at);
            if let Some((before, after)) = before.zip(counter.used(limit, entry.key, &at)) {
                let fired = counter.crossed(limit, entry.ceiling, (before, after), &at);
                let warn = |step| warning(rule, step, after, entry.ceiling);
                settled.warnings.extend(fired.into_iter().map(warn));
            }
        }
        settled
    }

    /// Refuses a user whose quota is at zero: it is an override on everything, and named as such.
    fn check_zero(&self, terms: &Terms<'_>, asked: i64, now: Timestamp) -> Result<(), Refusal> {
        let Some(end) = terms.overlay.zero(now) else {
            return Ok(());
        };
        let scopes = kept::Scopes::of(&self.zero.scope);
        let names = (&*self.zero.name, None);
        let zero = kept::Constants::of(names, scopes, self.zero.metric, self.zero.window);
        let figures = kept::Figures { max: Some(0), taken: asked, ..kept::Figures::default() };
        let refused = kept::Terms { refused_by: Some(0), ..kept::Terms::default() };
        Err(Refusal {
            code: Code::QuotaExhausted,
            limit: Arc::clone(&self.zero),
            plan: None,
            balance: Balance { used: 0, reserved: 0, max: 0, asked },
            frees_at: Some(end).filter(|end| *end < Timestamp::MAX),
            decided_by_bound: false,
            warnings: Box::default(),
            decision: kept::Decision::write(&refused, [(&zero, figures)].into_iter()),
        })
    }

    fn place_of<'a>(
        &self,
        table: &'a table::Table,
        rule: &Rule,
        subject: &'a Subject<'a>,
    ) -> Option<(Place, Name<'a>)> {
        let group = table.groups.get(rule.group)?;
        let name = Name::of(group, subject)?;
        Some((self.stripes.place(&name), name))
    }
}

/// What the counter of a rule holds; nothing where nobody has touched it.
fn standing(
    floor: &mut Floor<'_>,
    place: &Place,
    (rule, name): (&Rule, &Name<'_>),
    max: Option<i64>,
) -> Standing {
    let mut find = || {
        let locked = floor.at(place.stripe)?;
        let at = locked.at;
        let slot = locked.stripe.find(place.hash, name)?;
        let counter = locked.stripe.counter_of(slot, rule.identity)?;
        Some(counter.count(&rule.limit, max, &at))
    };
    find().unwrap_or_else(|| Standing::untouched(max))
}

fn state(rule: &Rule, standing: &Standing, now: Timestamp) -> LimitState {
    // A counter that nobody has touched has a window all the same.
    let limit = &rule.limit;
    let end = || window::span(limit.window, &limit.zone, now.as_millisecond()).end;
    let turns_at = standing.turns_at.or_else(|| Some(end()).filter(|end| *end != i64::MAX));
    LimitState {
        limit: Arc::clone(limit),
        plan: rule.plan.clone(),
        used: standing.used,
        reserved: standing.held,
        remaining: standing.room().map(|room| room.max(0)),
        max: standing.ceiling,
        resets_at: turns_at.and_then(window::timestamp),
    }
}

/// The limit that a refusal names when a user's quota is at zero.
fn quota_zero() -> Limit {
    Limit {
        name: Arc::from("quota_zero"),
        scope: vec![Scope::User],
        metric: Metric::Requests,
        window: Window::Total,
        max: Some(0),
        on_limit: OnLimit::Deny,
        mode: Mode::Enforce,
        warn_at: Vec::new(),
        rollover: 0,
        zone: TimeZone::UTC,
        feature: None,
        models: Vec::new(),
        providers: Vec::new(),
    }
}
