//! How many retries a provider bears.

use std::time::Duration;

use parking_lot::Mutex;

use crate::ring::Ring;

/// Time over which they are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Retries in that time that a provider bears however few calls it gets.
const FEWEST: u64 = 10;
/// Of so many calls one may be a retry.
const CALLS_PER_RETRY: u64 = 5;

/// Retries of one provider, so that they do not multiply an outage: no more than a share of its
/// calls over a window, but always a few.
#[derive(Default)]
pub(super) struct Budget(Mutex<Ring>);

impl Budget {
    /// Counts a call.
    pub(super) fn called(&self, now: Duration) {
        self.0.lock().add(WINDOW, now, [1, 0]);
    }

    /// Whether one more is borne; if so it is taken.
    pub(super) fn take(&self, now: Duration) -> bool {
        let mut ring = self.0.lock();
        let [calls, retries] = ring.sums(WINDOW, now);
        let allowed = retries < FEWEST.max(calls / CALLS_PER_RETRY);
        if allowed {
            ring.add(WINDOW, now, [0, 1]);
        }
        allowed
    }
}
