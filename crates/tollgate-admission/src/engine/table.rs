//! The limits of a plan and those outside plans, as one table that admission walks without looking
//! anything up by name.
//!
//! A table is made when a plan is seen for the first time, and again when the plan holds other
//! limits or the limits outside plans change. What survives is the *identity* of a limit: its name,
//! its plan, what it counts, for whom and over which window. Each identity has a number, given once;
//! counters know their limit by that number, so a new maximum finds the old count.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use tollgate_domain::decision::{Constants, Scopes};
use tollgate_domain::fault::Code;
use tollgate_domain::limit::{Limit, Metric, Plan, Scope, Window};

use super::ask::Subject;
use super::own::OwnLimits;
use crate::identity::matches_name;

/// Plans remembered at once; more than these start the memory afresh.
const MOST_PLANS: usize = 1_024;

/// A limit in a table.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) limit: Arc<Limit>,
    /// The plan that it belongs to; `None` outside plans.
    pub(super) plan: Option<Arc<str>>,
    /// Whether it belongs to a key.
    pub(super) of_key: bool,
    /// The number of its identity.
    pub(super) identity: u32,
    /// The group of rules with the same scope.
    pub(super) group: usize,
    /// Its place in the configuration: the plan's limits first, then the key's own.
    pub(super) order: usize,
    /// What never changes about it, as decisions keep it.
    pub(super) kept: Constants,
    /// Whether the overlay of the user speaks about it.
    pub(super) personal: bool,
}

/// Rules of one scope count under one account.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) scopes: Box<[Scope]>,
    /// The scopes as bits.
    pub(super) mask: u16,
}

/// All limits that can apply to a call on one plan, in the order in which they may refuse.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rules: Box<[Rule]>,
    pub(super) groups: Box<[Group]>,
    /// The engine it belongs to: slots in a grant mean nothing to another.
    pub(super) engine: u64,
    limits: Box<[Arc<Limit>]>,
    outside: Arc<[Arc<Limit>]>,
}

impl Table {
    /// Whether it was made of exactly these limits. The table keeps its limits alive, so equal
    /// addresses are the same limits.
    fn is_of(&self, plan: &Plan) -> bool {
        self.limits.len() == plan.limits.len()
            && self.limits.iter().zip(&plan.limits).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

impl Rule {
    /// Whether the filters let this subject's calls through to the limit.
    pub(super) fn concerns(&self, subject: &Subject<'_>) -> bool {
        let limit = &self.limit;
        let among = |names: &[Arc<str>], name: &str| {
            names.is_empty() || names.iter().any(|pattern| matches_name(pattern, name))
        };
        limit.feature.as_deref().is_none_or(|feature| subject.feature == Some(feature))
            && among(&limit.models, subject.model)
            && among(&limit.providers, subject.provider)
    }

    /// Where it stands.
    pub(super) fn source(&self) -> Source<'_> {
        match &self.plan {
            Some(plan) => Source::Plan(plan),
            None if self.of_key => Source::Key,
            None => Source::Outside,
        }
    }

    /// The code of its refusals.
    pub(super) fn code(&self) -> Code {
        match (self.limit.metric, self.limit.window) {
            (Metric::CostUsd, _) => Code::BudgetExhausted,
            (Metric::Concurrency, _) => Code::ConcurrencyLimited,
            (_, Window::Sliding { .. }) => Code::RateLimited,
            _ => Code::QuotaExhausted,
        }
    }

    /// Cheap refusals first: rates, what runs at once, quotas, budgets.
    fn rank(&self) -> u8 {
        match self.code() {
            Code::RateLimited => 0,
            Code::ConcurrencyLimited => 1,
            Code::BudgetExhausted => 3,
            _ => 2,
        }
    }
}

/// All tables of an engine.
#[derive(Debug)]
pub(super) struct Tables {
    now: ArcSwap<Made>,
    /// Shared with engines beside this one.
    identities: Arc<Mutex<HashMap<LimitIdentity, u32>>>,
    engine: u64,
}

#[derive(Debug)]
struct Made {
    outside: Arc<[Arc<Limit>]>,
    plans: HashMap<Arc<str>, Arc<Table>>,
}

/// Where a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source<'a> {
    /// In this plan.
    Plan(&'a str),
    /// With a key.
    Key,
    /// Outside both.
    Outside,
}

/// What makes a counter the same counter over reloads. The zone is part of it for windows that have
/// one: the same day in another zone is another window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitIdentity {
    plan: Option<Arc<str>>,
    of_key: bool,
    name: Arc<str>,
    scope: Vec<Scope>,
    metric: Metric,
    window: Window,
    zone: Option<String>,
}

impl LimitIdentity {
    /// That of a limit, by where it stands. Those of two keys are the same where they are alike: the
    /// keys have counters of their own.
    pub fn of(limit: &Limit, source: Source<'_>) -> Self {
        let zone = match limit.window {
            Window::Day | Window::Week | Window::Month | Window::Rolling { .. } => {
                let name = limit.zone.iana_name().map(str::to_owned);
                Some(name.unwrap_or_else(|| format!("{:?}", limit.zone)))
            }
            _ => None,
        };
        Self {
            plan: if let Source::Plan(plan) = source { Some(plan.into()) } else { None },
            of_key: source == Source::Key,
            name: Arc::clone(&limit.name),
            scope: limit.scope.clone(),
            metric: limit.metric,
            window: limit.window,
            zone,
        }
    }
}

impl Tables {
    pub(super) fn new() -> Self {
        let made = Made { outside: Arc::from([]), plans: HashMap::new() };
        Self {
            now: ArcSwap::from_pointee(made),
            identities: Arc::default(),
            engine: RandomState::new().build_hasher().finish(),
        }
    }

    /// Tables of another engine, in which limits have the same numbers.
    pub(super) fn beside(&self) -> Self {
        Self { identities: Arc::clone(&self.identities), ..Self::new() }
    }

    /// The mark of the engine that these belong to.
    pub(super) const fn engine(&self) -> u64 {
        self.engine
    }

    /// Puts other limits outside plans in force.
    pub(super) fn set_outside(&self, outside: Arc<[Arc<Limit>]>) {
        let _one_at_a_time = self.identities.lock();
        self.now.store(Arc::new(Made { outside, plans: HashMap::new() }));
    }

    /// The table for a plan as it is now, and for a key with limits of its own.
    pub(super) fn of(&self, plan: &Plan, own: Option<&OwnLimits>) -> Arc<Table> {
        let made: Guard<Arc<Made>> = self.now.load();
        if let Some(own) = own {
            let fits = |table: &Table| {
                table.engine == self.engine
                    && table.is_of(plan)
                    && Arc::ptr_eq(&table.outside, &made.outside)
            };
            return own.table(plan, fits, || {
                compile(
                    (plan, own.limits()),
                    &made.outside,
                    self.engine,
                    &mut self.identities.lock(),
                )
            });
        }
        match made.plans.get(&plan.name).filter(|table| table.is_of(plan)) {
            Some(table) => Arc::clone(table),
            None => self.make(plan),
        }
    }

    #[cold]
    fn make(&self, plan: &Plan) -> Arc<Table> {
        let mut identities = self.identities.lock();
        let made = self.now.load_full();
        if let Some(table) = made.plans.get(&plan.name).filter(|table| table.is_of(plan)) {
            return Arc::clone(table);
        }
        let table = Arc::new(compile((plan, &[]), &made.outside, self.engine, &mut identities));
        let mut plans = made.plans.clone();
        if plans.len() >= MOST_PLANS {
            plans.clear();
        }
        plans.insert(Arc::clone(&plan.name), Arc::clone(&table));
        self.now.store(Arc::new(Made { outside: Arc::clone(&made.outside), plans }));
        table
    }
}

fn compile(
    (plan, key): (&Plan, &[Arc<Limit>]),
    outside: &Arc<[Arc<Limit>]>,
    engine: u64,
    identities: &mut HashMap<LimitIdentity, u32>,
) -> Table {
    let mut groups: Vec<Group> = Vec::new();
    let own = plan.limits.iter().map(|limit| (limit, Source::Plan(&plan.name)));
    let of_key = key.iter().map(|limit| (limit, Source::Key));
    let other = outside.iter().map(|limit| (limit, Source::Outside));
    let mut rules: Vec<Rule> = own
        .chain(of_key)
        .chain(other)
        .enumerate()
        .map(|(order, (limit, source))| {
            let next = u32::try_from(identities.len()).unwrap_or(u32::MAX);
            let identity = LimitIdentity::of(limit, source);
            let scopes = Scopes::of(&limit.scope);
            let names = (&*limit.name, identity.plan.as_deref());
            Rule {
                limit: Arc::clone(limit),
                kept: Constants::of(names, scopes, limit.metric, limit.window),
                plan: identity.plan.clone(),
                of_key: identity.of_key,
                // What is decided about a user leaves the limits of keys alone.
                personal: match source {
                    Source::Plan(_) => true,
                    Source::Key => false,
                    Source::Outside => limit.scope.contains(&Scope::User),
                },
                identity: *identities.entry(identity).or_insert(next),
                group: group_of(&mut groups, &limit.scope),
                order,
            }
        })
        .collect();
    rules.sort_by_key(Rule::rank);
    Table {
        rules: rules.into(),
        groups: groups.into(),
        engine,
        limits: plan.limits.iter().map(Arc::clone).collect(),
        outside: Arc::clone(outside),
    }
}

/// The group of a scope, made where it is new.
fn group_of(groups: &mut Vec<Group>, scope: &[Scope]) -> usize {
    let mask = scope.iter().fold(0, |mask, scope| mask | bit(*scope));
    groups.iter().position(|group| group.mask == mask).unwrap_or_else(|| {
        let mut scopes = scope.to_vec();
        scopes.sort_unstable();
        scopes.dedup();
        groups.push(Group { scopes: scopes.into(), mask });
        groups.len() - 1
    })
}

/// A scope as a bit.
pub(super) const fn bit(scope: Scope) -> u16 {
    match scope {
        Scope::User => 1,
        Scope::Key => 1 << 1,
        Scope::Team => 1 << 2,
        Scope::Ip => 1 << 3,
        Scope::Provider => 1 << 4,
        Scope::Model => 1 << 5,
        Scope::Feature => 1 << 6,
        Scope::Session => 1 << 7,
        Scope::Global => 1 << 8,
    }
}
