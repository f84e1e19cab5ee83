//! Turns of the limits: when other limits come into force, or count for other callers, each call is
//! counted in them exactly once.
//!
//! A call that is made under the new limits counts by its own grant. One that ended before the turn
//! is in the ledger, from which the new counters are made. Between them are calls that end while the
//! ledger is read, and calls that were admitted before the turn and end after it. Whoever makes a
//! turn therefore
//!
//! 1. begins it ([`super::Gate::begin_turn`]): from here on, calls that end are noted;
//! 2. reads the ledger and leaves out what was noted;
//! 3. finishes it ([`Turn::finish`]): no call ends while the noted ones are counted and the new
//!    limits come into force. A call that was decided before and ends after is handed to [`Late`].
//!
//! Calls are admitted all the while; only their ends wait, for the last step.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard, RwLock};
use tollgate_domain::call::CallRecord;
use tollgate_domain::id::CallId;

use super::Gate;
use crate::engine::Grant;

/// Counts a call that has ended in the limits that its grant did not cover.
pub type Late = Box<dyn Fn(&CallRecord, &Grant) + Send + Sync>;

/// Calls that ended while a turn is under way.
type Noted = HashMap<CallId, Arc<CallRecord>>;

#[derive(Default)]
pub(super) struct Turns {
    /// Held shared by every call that ends, alone by the steps of a turn.
    ends: RwLock<Option<Mutex<Noted>>>,
    /// How many turns there were.
    number: AtomicU64,
    late: OnceLock<Late>,
    /// One turn at a time, and no other use is entered during one.
    alone: Mutex<()>,
}

impl Turns {
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Does what ends a call, told the turn that holds and whom it may have to tell.
    pub(super) fn ending<T>(
        &self,
        record: &Arc<CallRecord>,
        end: impl FnOnce(u64, Option<&Late>) -> T,
    ) -> T {
        let noted = self.ends.read();
        if let Some(noted) = &*noted {
            noted.lock().insert(record.call_id, Arc::clone(record));
        }
        end(self.number(), self.late.get())
    }
}

/// A turn of the limits that is under way. Dropped, it changes nothing.
pub struct Turn<'a> {
    turns: &'a Turns,
    _alone: MutexGuard<'a, ()>,
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn(..)")
    }
}

impl Turn<'_> {
    /// Whether a call has ended since the turn began; it is handed to [`Turn::finish`].
    pub fn has_noted(&self, call: CallId) -> bool {
        self.turns.ends.read().as_ref().is_some_and(|noted| noted.lock().contains_key(&call))
    }

    /// Finishes the turn: `put` counts the calls that ended since it began and puts the new limits in
    /// force. No call ends meanwhile, so it must not wait for anything.
    pub fn finish(self, put: impl FnOnce(&mut dyn Iterator<Item = &CallRecord>)) {
        let mut ends = self.turns.ends.write();
        let noted = ends.take().map(Mutex::into_inner).unwrap_or_default();
        put(&mut noted.values().map(|record| &**record));
        self.turns.number.fetch_add(1, Ordering::Release);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.ends.write().take();
    }
}

impl Gate {
    /// Says who counts a call whose end comes after a turn that its grant knows nothing of. Once.
    pub fn tell_late(&self, late: Late) {
        drop(self.turns.late.set(late));
    }

    /// Begins a turn of the limits; waits for one that is under way.
    pub fn begin_turn(&self) -> Turn<'_> {
        let alone = self.turns.alone.lock();
        *self.turns.ends.write() = Some(Mutex::default());
        Turn { turns: &self.turns, _alone: alone }
    }

    /// Keeps turns away while use is entered that is no call of this gate, such as usage that is
    /// reported from elsewhere.
    pub fn between_turns(&self) -> impl Drop + '_ {
        self.turns.alone.lock()
    }
}
