//! Whom the news of an answer wake.

use std::collections::HashMap;
use std::task::Waker;

use parking_lot::Mutex;

/// The listeners that wait, by number.
#[derive(Debug, Default)]
pub(super) struct Wakers(Mutex<HashMap<u64, Waker>>);

impl Wakers {
    /// Listener `id` waits.
    pub(super) fn register(&self, id: u64, waker: &Waker) {
        let mut wakers = self.0.lock();
        match wakers.get_mut(&id) {
            Some(known) => known.clone_from(waker),
            None => {
                wakers.insert(id, waker.clone());
            }
        }
    }

    /// Listener `id` has left.
    pub(super) fn remove(&self, id: u64) {
        self.0.lock().remove(&id);
    }

    /// Wakes all, but for one that is awake.
    pub(super) fn wake(&self, but: Option<u64>) {
        let wakers = self.0.lock();
        let asleep = wakers.iter().filter(|(id, _)| Some(**id) != but);
        asleep.for_each(|(_, waker)| waker.wake_by_ref());
    }
}
