//! Other limits in force while calls are served: what a limit must know of the past when it comes
//! into force is counted from the ledger first, so that a new limit, a key's own one or a changed
//! plan begins with what was used and not with nothing.
//!
//! Everything that changes who counts where comes through here: a reload, a decision about a user, a
//! key. The order that makes each call count once is that of [`tollgate_admission::gate::Turn`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::ensure;
use jiff::{SignedDuration, Timestamp};
use tollgate_admission::books::Action;
use tollgate_admission::engine::{Engine, LimitIdentity, Source, Subject};
use tollgate_domain::call::CallRecord;
use tollgate_domain::limit::{Limit, Metric, Scope};
use tollgate_proxy::past::{Past, Users};
use tollgate_proxy::snapshot::Snapshot;
use tollgate_store::{Reader, Registry};

use super::history::History;
use super::restore::CATCH_UP;
use super::start::Handle;
use super::sweep;
use crate::out;

/// Calls of the last hours are read one by one: longer than a call can take.
const ONE_BY_ONE: SignedDuration = SignedDuration::from_hours(6);

/// Which limits count for whom.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// The plans and keys.
    pub(crate) snapshot: &'a Snapshot,
    /// The limits outside plans.
    pub(crate) outside: &'a [Arc<Limit>],
    /// What is decided about users.
    pub(crate) users: Users<'a>,
}

impl<'a> Rules<'a> {
    /// The limits of plans and those outside.
    fn limits(&self) -> impl Iterator<Item = (&'a Arc<Limit>, Source<'a>)> + use<'a> {
        let snapshot = self.snapshot;
        let plans = snapshot.plans.values().chain([&snapshot.default_plan]);
        let own = plans
            .flat_map(|plan| plan.limits.iter().map(|limit| (limit, Source::Plan(&plan.name))));
        own.chain(self.outside.iter().map(|limit| (limit, Source::Outside)))
    }

    /// The limits of keys, by the key's name.
    fn of_keys(&self) -> HashMap<&'a str, HashSet<LimitIdentity>> {
        let keys = self.snapshot.keys.entries();
        let own = keys.filter_map(|key| Some((&*key.name, key.own.as_ref()?)));
        own.map(|(name, own)| {
            let limits = own.limits().iter();
            (name, limits.map(|limit| LimitIdentity::of(limit, Source::Key)).collect())
        })
        .collect()
    }

    /// The limits of keys that `which` names.
    fn of_keys_with(&self, which: impl Fn(&str, &Limit) -> bool) -> Vec<Arc<Limit>> {
        let mut limits = Vec::new();
        for key in self.snapshot.keys.entries() {
            let own = key.own.iter().flat_map(|own| own.limits());
            limits.extend(own.filter(|limit| which(&key.name, limit)).map(Arc::clone));
        }
        limits
    }
}

/// A change from some rules to others.
pub(crate) struct RuleChange<'a> {
    /// As it is in force.
    pub(crate) before: Rules<'a>,
    /// As it is to be.
    pub(crate) after: Rules<'a>,
    /// The only user who is concerned, where it is one.
    pub(crate) user: Option<&'a str>,
    /// Whether users may have another plan since.
    pub(crate) moves: bool,
}

/// Puts a change in force with `put`. Where the ledger cannot be read it is put in force all the
/// same, counting from nothing, and the next start counts again.
pub(crate) fn put_in_force(handle: &Handle, change: &RuleChange<'_>, put: impl FnOnce()) {
    let new = New::of(change, handle.plane.gate.engine());
    if new.is_nothing() {
        return put();
    }
    let mut put = Some(put);
    if let Err(error) = turn(handle, change, &new, || put.take().map_or((), |put| put())) {
        out::note(format_args!(
            "what was used before counts in the new limits from the next start on only: {error:#}"
        ));
    }
    if let Some(put) = put {
        put();
    }
}

/// Whether users may have another plan by the configuration and by their keys.
pub(crate) fn plans_differ(before: &Snapshot, after: &Snapshot) -> bool {
    let guests =
        |snapshot: &Snapshot| snapshot.guests.as_ref().map(|guests| Arc::clone(&guests.plan));
    let plans = |snapshot: &Snapshot| -> HashMap<Arc<str>, Option<Arc<str>>> {
        let keys = snapshot.keys.entries();
        keys.map(|key| (Arc::clone(&key.name), key.plan.clone())).collect()
    };
    let then = plans(before);
    let moved = |(key, plan): (&Arc<str>, &Option<Arc<str>>)| {
        then.get(key).is_some_and(|before| before != plan)
    };
    before.default_plan.name != after.default_plan.name
        || guests(before) != guests(after)
        || plans(after).iter().any(moved)
}

/// Reads what was used, and puts the change in force at the one moment at which nothing is missed.
fn turn(
    handle: &Handle,
    change: &RuleChange<'_>,
    new: &New<'_>,
    put: impl FnOnce(),
) -> anyhow::Result<()> {
    let gate = &handle.plane.gate;
    let turn = gate.begin_turn();
    let registry = Registry::open(&handle.database)?;
    sweep::record_pending(handle, &registry, Timestamp::MAX)?;
    handle.ledger.hurry();
    let reader = Reader::open(&handle.database)?;
    ensure!(reader.catch_up(CATCH_UP)?, "the newest calls are not in the database yet");
    let now = handle.ground.clock.now();
    let Rules { snapshot, outside, users } = change.after;
    let gathered = gate.engine().beside(outside.into());
    let past = Past::with(&gathered, snapshot, users);
    let wanted = |limit: &Limit, source: Source<'_>, who: &Subject<'_>| {
        change.user.is_none_or(|user| user == who.user) && new.is_for(limit, source, who)
    };
    let skip = |call| turn.has_noted(call);
    History {
        reader,
        past: &past,
        limits: new.limits.clone(),
        wanted: &wanted,
        user: change.user.map(Arc::from),
        skip: &skip,
        rows_since: now.checked_sub(ONE_BY_ONE)?,
        zone: snapshot.settings.zone.clone(),
        now,
    }
    .absorb()?;
    let counted = |action: &&Action| new.counts(action.metric);
    let ended = registry.ended_actions(Timestamp::UNIX_EPOCH)?;
    ended.iter().filter(counted).for_each(|action| past.action_where(action, wanted));
    let standing = registry.standing_actions()?;
    turn.finish(|noted| {
        noted.for_each(|call: &CallRecord| past.call_where(call, wanted));
        gate.engine().adopt(&gathered);
        put();
        let live = Past::with(gate.engine(), snapshot, users);
        standing.iter().filter(counted).for_each(|action| live.hold_anew(action));
    });
    Ok(())
}

/// What is new about the rules.
struct New<'a> {
    before: Past<'a>,
    after: Past<'a>,
    moves: bool,
    known: HashSet<LimitIdentity>,
    known_of_keys: HashMap<&'a str, HashSet<LimitIdentity>>,
    limits: Vec<Arc<Limit>>,
}

impl<'a> New<'a> {
    fn of(change: &RuleChange<'a>, engine: &'a Engine) -> Self {
        let RuleChange { before, after, moves, .. } = *change;
        let mut new = Self {
            before: Past::with(engine, before.snapshot, before.users),
            after: Past::with(engine, after.snapshot, after.users),
            moves,
            known: before.limits().map(|(limit, at)| LimitIdentity::of(limit, at)).collect(),
            known_of_keys: before.of_keys(),
            limits: Vec::new(),
        };
        let open = after.limits().filter(|(limit, source)| new.is_new(limit, *source));
        let own = after.of_keys_with(|key, limit| new.is_new_of(key, limit));
        let limits: Vec<_> = open.map(|(limit, _)| Arc::clone(limit)).chain(own).collect();
        new.limits = limits;
        new
    }

    fn is_nothing(&self) -> bool {
        self.limits.is_empty()
    }

    /// Whether a new limit counts what an action of this metric uses.
    fn counts(&self, metric: Metric) -> bool {
        self.limits.iter().any(|limit| limit.metric == metric)
    }

    /// Whether a limit of a plan or outside is new for anybody.
    fn is_new(&self, limit: &Limit, source: Source<'_>) -> bool {
        let moved = matches!(source, Source::Plan(_)) && self.moves && is_personal(limit);
        moved || !self.known.contains(&LimitIdentity::of(limit, source))
    }

    /// Whether a limit of a key is new for it.
    fn is_new_of(&self, key: &str, limit: &Limit) -> bool {
        let known = self.known_of_keys.get(key);
        !known.is_some_and(|known| known.contains(&LimitIdentity::of(limit, Source::Key)))
    }

    /// Whether a limit is new for a caller.
    fn is_for(&self, limit: &Limit, source: Source<'_>, who: &Subject<'_>) -> bool {
        if source == Source::Key {
            return who.key.is_some_and(|key| self.is_new_of(key, limit));
        }
        let moved = matches!(source, Source::Plan(_)) && self.moves && is_personal(limit);
        !self.known.contains(&LimitIdentity::of(limit, source)) || (moved && self.has_moved(who))
    }

    fn has_moved(&self, who: &Subject<'_>) -> bool {
        let then = self.before.plan_of(who.user, who.key);
        then.is_some() && then != self.after.plan_of(who.user, who.key)
    }
}

/// Whether a limit counts for each user alone, so that it is the user's history that it knows.
fn is_personal(limit: &Limit) -> bool {
    limit.scope.contains(&Scope::User)
}
