//! Amounts that stand for actions which are not calls: held until committed, released or expired
//! (SPEC §6.6).
//!
//! An action's reservation is an ordinary grant that the engine keeps itself, under an id. Whoever
//! takes it out of the list settles it; the list gives each out once (SETTLE-2), so a commit that
//! meets an expiry or another commit changes nothing. The list and the stripes are never locked
//! together.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use tollgate_domain::id::CallId;
use tollgate_domain::limit::Metric;

use super::answer::{Grant, Refusal, Reserved, Settled};
use super::ask::Terms;
use super::decide::Ask;
use super::{Engine, Shape};

/// Expired actions that one admission clears away at most.
const MOST_AT_ONCE: usize = 16;
/// Accounts that one sweep looks at in each stripe.
const SWEPT: usize = 1_024;

/// What an action asks for.
#[derive(Clone, Copy, Debug)]
pub struct ActionDemand {
    /// Which limits are asked: those of this metric.
    pub metric: Metric,
    /// How much, in the integer of the metric.
    pub amount: i64,
    /// When it expires by itself; it stands until released where there is no such time.
    pub expires_at: Option<Timestamp>,
}

/// The actions that stand.
#[derive(Debug)]
pub(super) struct Actions {
    list: Mutex<List>,
    /// The next expiry in milliseconds, so that admissions need not lock the list to know it.
    next: AtomicI64,
}

#[derive(Debug, Default)]
struct List {
    held: HashMap<CallId, Held>,
    due: BTreeSet<(Timestamp, CallId)>,
    /// Expired, and not yet reported by a sweep.
    expired: Vec<CallId>,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) grant: Grant,
    expires_at: Option<Timestamp>,
}

impl Actions {
    pub(super) fn new() -> Self {
        Self { list: Mutex::default(), next: AtomicI64::new(i64::MAX) }
    }

    /// Enters an action; gives it back where the id is taken.
    fn put(&self, id: CallId, held: Held) -> Option<Held> {
        let mut list = self.list.lock();
        if list.held.contains_key(&id) {
            return Some(held);
        }
        if let Some(end) = held.expires_at {
            list.due.insert((end, id));
        }
        list.held.insert(id, held);
        self.note(&list);
        None
    }

    pub(super) fn take(&self, id: CallId) -> Option<Held> {
        let mut list = self.list.lock();
        let held = list.held.remove(&id)?;
        if let Some(end) = held.expires_at {
            list.due.remove(&(end, id));
        }
        self.note(&list);
        Some(held)
    }

    fn take_due(&self, now: Timestamp, most: usize) -> Vec<Held> {
        let mut list = self.list.lock();
        let mut taken = Vec::new();
        while taken.len() < most {
            let Some((end, id)) = list.due.first().copied().filter(|(end, _)| *end <= now) else {
                break;
            };
            list.due.remove(&(end, id));
            list.expired.push(id);
            taken.extend(list.held.remove(&id));
        }
        self.note(&list);
        taken
    }

    fn note(&self, list: &List) {
        let next = list.due.first().map_or(i64::MAX, |(end, _)| end.as_millisecond());
        self.next.store(next, Ordering::Release);
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.next.load(Ordering::Acquire) <= now.as_millisecond()
    }
}

impl Engine {
    /// Sets an amount aside for an action that is not a call, in all limits of its metric or in
    /// none. An id that stands already is answered as it stands.
    pub fn reserve_action(
        &self,
        id: CallId,
        terms: &Terms<'_>,
        demand: &ActionDemand,
        now: Timestamp,
    ) -> Result<Reserved, Refusal> {
        self.enter_action(id, terms, (demand, false), now)
    }

    /// Enters again, at a start, an action that was granted at `at` and still stands; no limit is
    /// asked.
    pub fn restore_action(
        &self,
        id: CallId,
        terms: &Terms<'_>,
        demand: &ActionDemand,
        at: Timestamp,
    ) -> Result<Reserved, Refusal> {
        self.enter_action(id, terms, (demand, true), at)
    }

    /// Turns an action's reservation into what was used. `None` where no such action stands: it was
    /// committed, released or has expired, or never was.
    pub fn commit_action(&self, id: CallId, amount: i64, now: Timestamp) -> Option<Settled> {
        let held = self.actions.take(id)?;
        Some(self.settle_as(&held.grant, Shape::One(amount.max(0)), now))
    }

    /// Gives an action's reservation back; `false` where no such action stands.
    pub fn release_action(&self, id: CallId, now: Timestamp) -> bool {
        let held = self.actions.take(id);
        if let Some(held) = &held {
            self.settle_as(&held.grant, Shape::One(0), now);
        }
        held.is_some()
    }

    /// Lets expire what is due and forgets subjects whose windows are over; to be called now and
    /// then. Nothing depends on when. Returns the actions that have expired since the last sweep.
    pub fn sweep(&self, now: Timestamp) -> Vec<CallId> {
        while self.actions.is_due(now) {
            self.expire(now, SWEPT);
        }
        self.stripes.each(|stripe| {
            let at = stripe.moment(now);
            stripe.sweep(&at, SWEPT);
        });
        std::mem::take(&mut self.actions.list.lock().expired)
    }

    /// Lets expire what is due, a few at a time: an action that has expired must not refuse a call.
    pub(super) fn expire_some(&self, now: Timestamp) {
        if self.actions.is_due(now) {
            self.expire(now, MOST_AT_ONCE);
        }
    }

    fn expire(&self, now: Timestamp, most: usize) {
        for held in self.actions.take_due(now, most) {
            self.settle_as(&held.grant, Shape::One(0), now);
        }
    }

    fn enter_action(
        &self,
        id: CallId,
        terms: &Terms<'_>,
        (demand, forced): (&ActionDemand, bool),
        now: Timestamp,
    ) -> Result<Reserved, Refusal> {
        self.expire_some(now);
        let ActionDemand { metric, amount, expires_at } = *demand;
        if let Some(held) = self.actions.list.lock().held.get(&id) {
            return Ok(reserved(id, held));
        }
        if !forced {
            self.check_zero(terms, amount, now)?;
        }
        let ask = Ask::Action { metric, amount: amount.max(0), forced };
        let grant = self.grant(id, terms, ask, now)?;
        let held = Held { grant, expires_at };
        let answer = reserved(id, &held);
        if let Some(second) = self.actions.put(id, held) {
            // Two of one id at once: one stands.
            self.settle_as(&second.grant, Shape::One(0), now);
        }
        Ok(answer)
    }
}

fn reserved(id: CallId, held: &Held) -> Reserved {
    let left = held.grant.headroom().filter_map(|limit| limit.remaining);
    Reserved {
        id,
        expires_at: held.expires_at,
        remaining: left.min(),
        warnings: held.grant.warnings.clone(),
    }
}
