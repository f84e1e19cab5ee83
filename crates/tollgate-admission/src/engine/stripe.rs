//! Where the counters live: stripes of accounts, each stripe behind one lock.
//!
//! An account is one combination of scope values ("user alice", "user alice and model x") with the
//! counters of all limits of that scope. It is found by a keyed 64-bit hash that is computed once per
//! call; the hash only chooses the stripe and the place to look, the full text decides (two names
//! with one hash are two accounts). Accounts stand in slots that do not move, so whoever holds a
//! reservation comes back by number; an account with reservations is *pinned* and never forgotten.
//!
//! Nothing expires by a job: each new account pays for looking at two others, in turn, and those
//! whose windows are over are forgotten.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::HashTable;
use jiff::Timestamp;
use smallvec::SmallVec;
use tollgate_domain::limit::{Limit, Scope};

use super::ask::Subject;
use super::counter::{Counter, Moment};
use super::table::{Group, bit};

/// No slot.
const NONE: u32 = u32::MAX;
/// A step back of the clock by at least this many microseconds is a step; less is two threads that
/// read the clock in one order and got the lock in the other.
const STEP_BACK: i64 = 1_000_000;
/// What is remembered of an agent's run after its last call, in milliseconds: seven days.
const SESSION_LINGER: i64 = 7 * 86_400_000;

/// Accounts behind one lock.
#[derive(Debug)]
pub(super) struct Stripe {
    index: HashTable<u32>,
    slots: Vec<Slot>,
    free: u32,
    /// Which slot is looked at next for being forgotten.
    hand: usize,
    /// Accounts made since the last look.
    made: u32,
    /// The highest time handed out, and what is added to the clock after it stepped back; both in
    /// microseconds.
    latest: i64,
    offset: i64,
}

#[derive(Debug)]
enum Slot {
    /// With the next free slot.
    Free(u32),
    Taken(Account),
}

/// The bytes of a name.
type Bytes = SmallVec<[u8; 32]>;

/// What a call reads first stands together: among a million accounts each cache line is a wait.
#[derive(Debug)]
#[repr(C)]
struct Account {
    hash: u64,
    /// Mostly short enough to stand here, so that comparing it touches no other memory.
    name: Bytes,
    counters: Vec<Counter>,
    /// Reservations that will come back by number.
    pins: u32,
    /// Whether one of its counters carries unused allowance over.
    carries: bool,
    /// When it was last found, in milliseconds.
    touched: i64,
}

/// The name of an account before it exists: a group of scopes and the subject's values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    group: &'a Group,
    subject: &'a Subject<'a>,
}

impl<'a> Name<'a> {
    /// The name, where the subject has a value for each scope.
    pub(super) fn of(group: &'a Group, subject: &'a Subject<'a>) -> Option<Self> {
        let complete = group.scopes.iter().all(|scope| subject.value(*scope).is_some());
        complete.then_some(Self { group, subject })
    }

    /// Its hash.
    pub(super) fn hash(&self, hasher: &impl BuildHasher) -> u64 {
        let mut state = hasher.build_hasher();
        state.write_u16(self.group.mask);
        for value in self.values() {
            value.hash(&mut state);
        }
        state.finish()
    }

    fn values(&self) -> impl Iterator<Item = &'a str> {
        let subject = self.subject;
        self.group.scopes.iter().map(move |scope| subject.value(*scope).unwrap_or_default())
    }

    /// The bytes under which it is kept: the scopes, then each value after its length.
    fn encode(&self) -> Bytes {
        let mut bytes = Bytes::from_slice(&self.group.mask.to_le_bytes());
        for value in self.values() {
            bytes.extend_from_slice(&length(value));
            bytes.extend_from_slice(value.as_bytes());
        }
        bytes.shrink_to_fit();
        bytes
    }

    /// Whether those bytes are this name.
    fn is(&self, bytes: &[u8]) -> bool {
        let rest = bytes.strip_prefix(&self.group.mask.to_le_bytes());
        let rest = self.values().try_fold(rest, |rest, value| {
            let rest = rest?.strip_prefix(&length(value))?;
            Some(rest.strip_prefix(value.as_bytes()))
        });
        rest.flatten().is_some_and(<[u8]>::is_empty)
    }
}

/// The length of a value as it is kept.
fn length(value: &str) -> [u8; 4] {
    u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes()
}

fn place(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

impl Stripe {
    pub(super) fn new() -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: NONE,
            hand: 0,
            made: 0,
            latest: i64::MIN,
            offset: 0,
        }
    }

    /// An empty stripe with the same clock.
    pub(super) fn beside(&self) -> Self {
        Self { latest: self.latest, offset: self.offset, ..Self::new() }
    }

    /// Takes over the counters of a stripe that was made beside this one.
    pub(super) fn adopt(&mut self, gathered: Self) {
        for slot in gathered.slots {
            let Slot::Taken(from) = slot else { continue };
            let same = |slot: &u32| self.account(*slot).is_some_and(|to| to.name == from.name);
            let Some(known) = self.index.find(from.hash, same).copied() else {
                let hash = from.hash;
                let slot = self.put(from);
                let slots = &self.slots;
                self.index.insert_unique(hash, slot, |other| hash_of(slots, *other));
                continue;
            };
            let Some(to) = self.account_mut(known) else { continue };
            to.carries |= from.carries;
            for counter in from.counters {
                let identity = counter.identity;
                match to.counters.iter_mut().find(|known| known.identity == identity) {
                    Some(known) => known.adopt(counter),
                    None => to.counters.push(counter),
                }
            }
        }
    }

    /// The instant as this stripe sees it. Its own clock stands still when the machine's steps back
    /// and goes on from there, so a sliding window can only grow longer by it, not stay shut until
    /// the old time is reached again.
    pub(super) fn moment(&mut self, now: Timestamp) -> Moment {
        let wall = now.as_microsecond();
        let mut at = wall.saturating_add(self.offset);
        if at < self.latest {
            let back = self.latest.saturating_sub(at);
            if back >= STEP_BACK {
                self.offset = self.offset.saturating_add(back);
            }
            at = self.latest;
        }
        self.latest = at;
        moment(wall, at)
    }

    /// An instant of the past as this stripe sees it; its clock does not move by it.
    pub(super) fn past(&self, then: Timestamp) -> Moment {
        let wall = then.as_microsecond();
        moment(wall, wall.saturating_add(self.offset))
    }

    /// The slot of an account, if there is one.
    pub(super) fn find(&self, hash: u64, name: &Name<'_>) -> Option<u32> {
        let is = |slot: &u32| self.account(*slot).is_some_and(|account| name.is(&account.name));
        self.index.find(hash, is).copied()
    }

    /// A digest of the newest entries of an account's counters, which reads the memory that counting
    /// them will read.
    pub(super) fn newest(&self, slot: u32) -> i64 {
        let counters = self.account(slot).map(|account| &*account.counters).unwrap_or_default();
        counters.iter().fold(0, |newest, counter| newest ^ counter.newest())
    }

    /// The slot of an account that is used now, if there is one.
    pub(super) fn find_used(&mut self, hash: u64, name: &Name<'_>, now: &Moment) -> Option<u32> {
        let slot = self.find(hash, name)?;
        if let Some(Slot::Taken(account)) = self.slots.get_mut(place(slot)) {
            account.touched = now.wall;
        }
        Some(slot)
    }

    /// The slot of an account, made where there is none.
    pub(super) fn find_or_make(&mut self, hash: u64, name: &Name<'_>, now: &Moment) -> u32 {
        if let Some(slot) = self.find_used(hash, name, now) {
            return slot;
        }
        self.made = self.made.saturating_add(1);
        let account = Account {
            hash,
            name: name.encode(),
            counters: Vec::new(),
            pins: 0,
            carries: false,
            touched: now.wall,
        };
        let slot = self.put(account);
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |other| hash_of(slots, *other));
        slot
    }

    /// Where in the account the counter of this identity stands, made where there is none.
    pub(super) fn counter_index(&mut self, slot: u32, identity: u32, limit: &Limit) -> u16 {
        let Some(Slot::Taken(account)) = self.slots.get_mut(place(slot)) else {
            return u16::MAX;
        };
        let counters = &mut account.counters;
        let index = counters.iter().position(|one| one.identity == identity).unwrap_or_else(|| {
            if counters.len() == counters.capacity() {
                counters.reserve_exact((counters.len() / 4).max(1));
            }
            counters.push(Counter::new(identity, limit.window));
            account.carries |= limit.rollover > 0;
            counters.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    /// The counter of this identity, if the account has one.
    pub(super) fn counter_of(&mut self, slot: u32, identity: u32) -> Option<&mut Counter> {
        let account = self.account_mut(slot)?;
        account.counters.iter_mut().find(|counter| counter.identity == identity)
    }

    /// The counter at an index of an account.
    pub(super) fn counter(&mut self, slot: u32, index: u16) -> Option<&mut Counter> {
        self.account_mut(slot)?.counters.get_mut(usize::from(index))
    }

    /// Keeps an account from being forgotten, once more.
    pub(super) fn pin(&mut self, slot: u32) {
        if let Some(account) = self.account_mut(slot) {
            account.pins = account.pins.saturating_add(1);
        }
    }

    /// Takes one such hold away.
    pub(super) fn unpin(&mut self, slot: u32) {
        if let Some(account) = self.account_mut(slot) {
            account.pins = account.pins.saturating_sub(1);
        }
    }

    /// Looks at two accounts for each that was made, and forgets those whose windows are over. Not
    /// while a decision is under way: it knows accounts by slot.
    pub(super) fn tidy(&mut self, now: &Moment) {
        for _ in 0..std::mem::take(&mut self.made).saturating_mul(2) {
            self.look(now);
        }
    }

    /// Looks at so many accounts.
    pub(super) fn sweep(&mut self, now: &Moment, accounts: usize) {
        for _ in 0..accounts.min(self.slots.len()) {
            self.look(now);
        }
    }

    /// Accounts, counters, and reservations that have not come back.
    pub(super) fn census(&self) -> (u64, u64, u64) {
        let taken = self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken(account) => Some(account),
            Slot::Free(_) => None,
        });
        taken.fold((0, 0, 0), |(accounts, counters, pins), account| {
            let more = u64::try_from(account.counters.len()).unwrap_or(u64::MAX);
            (accounts + 1, counters + more, pins + u64::from(account.pins))
        })
    }

    fn look(&mut self, now: &Moment) {
        let slot = self.hand;
        self.hand = if slot + 1 < self.slots.len() { slot + 1 } else { 0 };
        let Some(Slot::Taken(account)) = self.slots.get_mut(slot) else {
            return;
        };
        if account.pins > 0 {
            return;
        }
        let idle = account.is_idle_session(now);
        let carries = account.carries;
        account
            .counters
            .retain(|counter| !(counter.is_spent(now, carries) || (idle && counter.is_endless())));
        if account.counters.is_empty() {
            self.forget(slot);
        }
    }

    fn forget(&mut self, slot: usize) {
        let Ok(number) = u32::try_from(slot) else {
            return;
        };
        let hash = hash_of(&self.slots, number);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Slot::Free(self.free);
            self.free = number;
        }
    }

    fn put(&mut self, account: Account) -> u32 {
        let slot = self.free;
        if let Some(place) = self.slots.get_mut(place(slot)) {
            if let Slot::Free(next) = place {
                self.free = *next;
            }
            *place = Slot::Taken(account);
            return slot;
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(NONE);
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact((self.slots.len() / 4).max(4));
        }
        self.slots.push(Slot::Taken(account));
        slot
    }

    fn account(&self, slot: u32) -> Option<&Account> {
        match self.slots.get(place(slot)) {
            Some(Slot::Taken(account)) => Some(account),
            _ => None,
        }
    }

    fn account_mut(&mut self, slot: u32) -> Option<&mut Account> {
        match self.slots.get_mut(place(slot)) {
            Some(Slot::Taken(account)) => Some(account),
            _ => None,
        }
    }
}

impl Account {
    /// Whether it is a run of an agent that has been silent for long: runs have no end that anybody
    /// tells, and each would stay for ever under a limit without a window.
    fn is_idle_session(&self, now: &Moment) -> bool {
        let mask = self.name.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        mask & bit(Scope::Session) != 0 && self.touched.saturating_add(SESSION_LINGER) <= now.wall
    }
}

fn hash_of(slots: &[Slot], slot: u32) -> u64 {
    match slots.get(place(slot)) {
        Some(Slot::Taken(account)) => account.hash,
        _ => 0,
    }
}

fn moment(wall: i64, steady: i64) -> Moment {
    Moment {
        wall: wall.div_euclid(1_000),
        steady: steady.div_euclid(1_000),
        stamp: steady.div_euclid(1_000) + i64::from(steady.rem_euclid(1_000) != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasherDefault;

    /// A hasher that knows one hash.
    #[derive(Default)]
    struct Same;

    impl Hasher for Same {
        fn finish(&self) -> u64 {
            42
        }

        fn write(&mut self, _bytes: &[u8]) {}
    }

    fn at(millis: i64) -> Moment {
        moment(millis * 1_000, millis * 1_000)
    }

    #[test]
    fn names_with_one_hash_are_still_different_accounts() {
        let hasher = BuildHasherDefault::<Same>::default();
        let pair = Group { scopes: [Scope::User, Scope::Model].into(), mask: 0b10_0001 };
        let user = Group { scopes: [Scope::User].into(), mask: 1 };
        let mut stripe = Stripe::new();
        let mut slots_of = |_round| {
            let mut slots = std::collections::BTreeSet::new();
            for (name, model) in [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ("a", "c")] {
                let subject = Subject { user: name, model, ..Subject::default() };
                for name in [&pair, &user].into_iter().filter_map(|one| Name::of(one, &subject)) {
                    assert!(name.is(&name.encode()));
                    slots.insert(stripe.find_or_make(name.hash(&hasher), &name, &at(0)));
                }
            }
            slots
        };
        let seen = slots_of(1);
        assert_eq!(slots_of(2), seen);
        // Four pairs with a model, and the users ab, a, abc and "".
        assert_eq!(seen.len(), 8);
        assert_eq!(stripe.census().0, 8);
    }

    #[test]
    fn the_steady_clock_never_runs_back_and_goes_on_after_a_step() {
        let mut stripe = Stripe::new();
        let time = |micros| Timestamp::from_microsecond(micros).unwrap();
        let minute = 60_000_000;
        assert_eq!(stripe.moment(time(100 * minute)).steady, 6_000_000);
        // Two threads in the other order.
        assert_eq!(stripe.moment(time(100 * minute - 500)).stamp, 6_000_000);
        // A step back of half an hour, then two minutes more.
        assert_eq!(stripe.moment(time(70 * minute)).steady, 6_000_000);
        let later = stripe.moment(time(72 * minute));
        assert_eq!((later.steady, later.wall), (6_120_000, 4_320_000));
        // Forward again.
        assert_eq!(stripe.moment(time(103 * minute)).steady, 133 * 60_000);
    }

    #[test]
    fn what_is_pinned_stays_and_what_is_spent_makes_room() {
        let hasher = std::hash::RandomState::new();
        let group = Group { scopes: [Scope::User].into(), mask: 1 };
        let mut stripe = Stripe::new();
        for n in 0..10_000 {
            let text = format!("user {n}");
            let subject = Subject { user: &text, ..Subject::default() };
            let name = Name::of(&group, &subject).unwrap();
            let slot = stripe.find_or_make(name.hash(&hasher), &name, &at(n));
            if n == 0 {
                stripe.pin(slot);
            }
            stripe.tidy(&at(n));
        }
        assert!(stripe.slots.len() < 10, "{}", stripe.slots.len());
        let subject = Subject { user: "user 0", ..Subject::default() };
        let name = Name::of(&group, &subject).unwrap();
        assert!(stripe.find(name.hash(&hasher), &name).is_some());
        stripe.unpin(0);
        stripe.sweep(&at(0), 100);
        assert_eq!(stripe.census(), (0, 0, 0));
        assert!(stripe.index.is_empty());
    }
}
