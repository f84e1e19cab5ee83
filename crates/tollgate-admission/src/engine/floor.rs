//! The stripes as one decision sees them: exactly those it needs, locked together.
//!
//! The locks are taken in the order of the stripes' numbers, by everybody, so two decisions never
//! wait for each other; and all are held until the decision is made and entered, so nobody sees
//! half of it. Nothing is read or written outside memory while they are held.

use std::hash::RandomState;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use super::ask::Subject;
use super::counter::Moment;
use super::stripe::{Name, Stripe};
use super::table::Table;

/// Number of stripes; a set of them is a word.
const COUNT: u8 = 64;

/// All stripes of an engine.
#[derive(Debug)]
pub(super) struct Stripes {
    stripes: Box<[Padded]>,
    hasher: RandomState,
}

/// A stripe on cache lines of its own, so that one stripe's lock does not slow its neighbour's.
#[derive(Debug)]
#[repr(align(128))]
struct Padded(Mutex<Stripe>);

/// The stripes of one decision.
#[derive(Debug)]
pub(super) struct Floor<'a> {
    locked: SmallVec<[Locked<'a>; 8]>,
    set: u64,
}

/// One stripe, and the instant as it sees it.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    pub(super) stripe: MutexGuard<'a, Stripe>,
    pub(super) at: Moment,
}

/// Where the account of a group of rules is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) hash: u64,
    pub(super) stripe: u8,
    /// The account's slot, once it has been looked up.
    pub(super) slot: Option<u32>,
}

/// Per group of rules, its place; `None` where no rule of the group applies.
pub(super) type Places = SmallVec<[Option<Place>; 8]>;

impl Stripes {
    pub(super) fn new() -> Self {
        Self {
            stripes: (0..COUNT).map(|_| Padded(Mutex::new(Stripe::new()))).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Empty stripes in which each account has the place that it has here.
    pub(super) fn beside(&self) -> Self {
        let beside = |stripe: &Padded| Padded(Mutex::new(stripe.0.lock().beside()));
        Self { stripes: self.stripes.iter().map(beside).collect(), hasher: self.hasher.clone() }
    }

    /// Takes over the counters of stripes that were made beside these.
    pub(super) fn adopt(&self, gathered: &Self) {
        for (to, from) in self.stripes.iter().zip(&gathered.stripes) {
            let from = std::mem::replace(&mut *from.0.lock(), Stripe::new());
            to.0.lock().adopt(from);
        }
    }

    /// The places of the groups that are wanted and for which the subject has values.
    pub(super) fn places(&self, table: &Table, subject: &Subject<'_>, wanted: &[bool]) -> Places {
        let groups = table.groups.iter().zip(wanted);
        groups
            .map(|(group, wanted)| {
                let name = if *wanted { Name::of(group, subject) } else { None };
                name.map(|name| self.place(&name))
            })
            .collect()
    }

    /// The place of one account.
    pub(super) fn place(&self, name: &Name<'_>) -> Place {
        let hash = name.hash(&self.hasher);
        // The low bits choose the stripe; the rest, turned down, the place within it.
        let stripe = u8::try_from(hash % u64::from(COUNT)).unwrap_or(0);
        Place { hash: hash.rotate_right(6), stripe, slot: None }
    }

    /// Locks these stripes, in order.
    pub(super) fn enter(&self, stripes: impl Iterator<Item = u8>, now: Timestamp) -> Floor<'_> {
        self.lock(stripes, |stripe| stripe.moment(now))
    }

    /// Locks these stripes to write history into them.
    pub(super) fn enter_past(
        &self,
        stripes: impl Iterator<Item = u8>,
        then: Timestamp,
    ) -> Floor<'_> {
        self.lock(stripes, |stripe| stripe.past(then))
    }

    /// Locks these stripes to move what a call holds that was admitted at `at`: windows of days are
    /// those of that instant, as in the ledger; windows of time end now.
    pub(super) fn enter_again(
        &self,
        stripes: impl Iterator<Item = u8>,
        (at, now): (Timestamp, Timestamp),
    ) -> Floor<'_> {
        self.lock(stripes, |stripe| {
            let wall = stripe.past(at).wall;
            Moment { wall, ..stripe.moment(now) }
        })
    }

    /// Visits every stripe, one at a time.
    pub(super) fn each(&self, mut visit: impl FnMut(&mut Stripe)) {
        for stripe in &self.stripes {
            visit(&mut stripe.0.lock());
        }
    }

    fn lock(
        &self,
        stripes: impl Iterator<Item = u8>,
        moment: impl Fn(&mut Stripe) -> Moment,
    ) -> Floor<'_> {
        let set = stripes.fold(0u64, |set, stripe| set | 1 << (stripe % COUNT));
        let mut locked = SmallVec::new();
        let mut left = set;
        while left != 0 {
            let next = usize::try_from(left.trailing_zeros()).unwrap_or(0);
            left &= left - 1;
            if let Some(stripe) = self.stripes.get(next) {
                let mut stripe = stripe.0.lock();
                let at = moment(&mut stripe);
                locked.push(Locked { stripe, at });
            }
        }
        Floor { locked, set }
    }
}

impl<'a> Floor<'a> {
    /// A stripe that was asked for.
    pub(super) fn at(&mut self, stripe: u8) -> Option<&mut Locked<'a>> {
        let below = self.set & ((1 << (stripe % COUNT)) - 1);
        self.locked.get_mut(usize::try_from(below.count_ones()).unwrap_or(usize::MAX))
    }

    /// Forgets what is spent, where accounts were made; the last act of a decision.
    pub(super) fn tidy(mut self) {
        for Locked { stripe, at } in &mut self.locked {
            stripe.tidy(at);
        }
    }
}
