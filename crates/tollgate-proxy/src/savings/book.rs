//! Answers by key: those that are kept, and those on their way. Whoever asks meets one of them, or is
//! the first to ask; there is no gap between the two in which a second call could be made.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tollgate_domain::clock::Clock;

use super::flight::{Bringer, Flight, Listener};
use super::kept::Kept;
use super::key::Digest;
use super::shelf::Shelf;

/// Parts of the table of flights that are locked one by one.
const SHARDS: usize = 64;

type Flights = Mutex<HashMap<Digest, Arc<Flight>>>;

/// Answers by key.
pub(super) struct Book {
    shelf: ArcSwap<Shelf<Kept>>,
    room: AtomicUsize,
    flights: Box<[Flights]>,
    /// When an answer was lost that was still to be known, in microseconds of the clock that
    /// measures latency.
    forgot_us: AtomicU64,
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").field("held", &self.held()).finish_non_exhaustive()
    }
}

/// What is found under a key.
pub(super) enum Found {
    /// An answer that is kept.
    Kept(Arc<Kept>),
    /// One on its way.
    Flight(Arc<Flight>),
    /// Nothing: whoever asked is the first.
    Nothing(Lead),
}

/// A flight whose call has yet to be made. Dropped before it starts, whoever has joined looks again.
pub(super) struct Lead {
    flight: Arc<Flight>,
    started: bool,
}

impl Lead {
    fn new(flight: Arc<Flight>) -> Self {
        Self { flight, started: false }
    }

    /// A flight that stands in no book: nobody can join it.
    pub(super) fn alone(flight: Arc<Flight>) -> Self {
        flight.close();
        Self::new(flight)
    }

    /// The call is made; the listener that pays for it.
    pub(super) fn start(mut self, bringer: Bringer) -> Listener {
        self.started = true;
        self.flight.start(bringer);
        self.flight.payer()
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.started {
            self.flight.give_up();
        }
    }
}

impl Book {
    /// An empty book with room for nothing yet.
    pub(super) fn new() -> Self {
        Self {
            shelf: ArcSwap::from_pointee(Shelf::new(0)),
            room: AtomicUsize::new(0),
            flights: (0..SHARDS).map(|_| Flights::default()).collect(),
            forgot_us: AtomicU64::new(0),
        }
    }

    /// Gives it so much room. Where that is another than before, what was kept is lost.
    pub(super) fn resize(&self, room: usize, clock: &Clock) {
        if self.room.swap(room, Ordering::AcqRel) != room {
            self.shelf.store(Arc::new(Shelf::new(room)));
            self.forgets(clock);
        }
    }

    /// The largest answer that is kept, in bytes.
    pub(super) fn largest(&self) -> usize {
        self.shelf.load().largest()
    }

    /// Bytes and number of what is kept.
    pub(super) fn held(&self) -> (usize, usize) {
        self.shelf.load().held()
    }

    /// What is kept under a key.
    pub(super) fn kept(&self, key: &Digest, now: Duration) -> Option<Arc<Kept>> {
        self.shelf.load().get(key, now)
    }

    /// Looks under a key; `flight` makes the one that is found by those who come after.
    pub(super) fn look(
        &self,
        key: &Digest,
        now: Duration,
        flight: impl FnOnce() -> Arc<Flight>,
    ) -> Found {
        if let Some(kept) = self.kept(key, now) {
            return Found::Kept(kept);
        }
        let Some(shard) = self.shard(key) else { return Found::Nothing(Lead::alone(flight())) };
        let mut shard = shard.lock();
        if let Some(known) = shard.get(key).filter(|known| known.is_open()) {
            return Found::Flight(Arc::clone(known));
        }
        // It may have landed in between.
        if let Some(kept) = self.kept(key, now) {
            return Found::Kept(kept);
        }
        let flight = flight();
        shard.insert(*key, Arc::clone(&flight));
        Found::Nothing(Lead::new(flight))
    }

    /// Keeps an answer.
    pub(super) fn keep(&self, key: &Digest, kept: Kept, ttl: Duration, clock: &Clock) {
        let now = clock.monotonic();
        let put = self.shelf.load().put(key, kept, (now.saturating_add(ttl), now));
        if !put.kept || put.displaced {
            self.forgets(clock);
        }
    }

    /// Notes that an answer is lost that was still to be known.
    pub(super) fn forgets(&self, clock: &Clock) {
        let now = u64::try_from(clock.monotonic().as_micros()).unwrap_or(u64::MAX);
        self.forgot_us.fetch_max(now, Ordering::Relaxed);
    }

    /// When an answer was last lost that was still to be known; at first, when the program started.
    pub(super) fn forgot(&self) -> Duration {
        Duration::from_micros(self.forgot_us.load(Ordering::Relaxed))
    }

    /// Takes a flight out.
    pub(super) fn leave(&self, flight: &Flight) {
        flight.close();
        let Some(shard) = self.shard(&flight.key) else { return };
        let mut shard = shard.lock();
        if shard.get(&flight.key).is_some_and(|known| std::ptr::eq(&raw const **known, flight)) {
            shard.remove(&flight.key);
        }
    }

    fn shard(&self, key: &Digest) -> Option<&Flights> {
        let [.., last] = *key;
        self.flights.get(usize::from(last) % SHARDS)
    }
}
