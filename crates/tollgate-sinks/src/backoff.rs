//! How long to wait before a service is asked again.

use std::time::Duration;

use crate::settings::Retry;

/// No service is waited for longer than this, whatever it asks for.
const LONGEST: Duration = Duration::from_hours(1);
/// Doublings after which the longest wait is reached in any case.
const MOST_DOUBLINGS: u32 = 16;

/// Waits that double with each failure, each shortened by chance, so that many programs do not come
/// back to a service at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    retry: Retry,
    failures: u32,
    seed: u64,
}

impl Backoff {
    pub(crate) const fn new(retry: Retry, seed: u64) -> Self {
        Self { retry, failures: 0, seed }
    }

    /// The service has answered.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether the last attempt failed.
    pub(crate) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// How long to wait after one more failure; at least as long as the service asked for.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = self.retry.base.saturating_mul(1 << self.failures.min(MOST_DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.min(self.retry.max);
        // Between one half and the whole.
        let share = u32::try_from(self.draw() % 1_024).unwrap_or_default();
        let wait = wait / 2 + (wait / 2 / 1_024).saturating_mul(share);
        wait.max(asked.unwrap_or_default()).min(LONGEST)
    }

    /// `SplitMix64`: even enough for waits.
    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry { base: Duration::from_secs(1), max: Duration::from_secs(30) };

    #[test]
    fn waits_double_up_to_the_longest_and_never_fall_below_half() {
        let mut backoff = Backoff::new(RETRY, 7);
        for full in [1, 2, 4, 8, 16, 30, 30] {
            let (wait, full) = (backoff.next(None), Duration::from_secs(full));
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
        assert!(backoff.is_failing());
        backoff.reset();
        assert!(!backoff.is_failing());
        assert!(backoff.next(None) <= Duration::from_secs(1));
    }

    #[test]
    fn a_service_may_ask_for_more_but_not_for_ever() {
        let mut backoff = Backoff::new(RETRY, 7);
        let minute = Duration::from_mins(1);
        assert_eq!(backoff.next(Some(minute)), minute);
        assert_eq!(backoff.next(Some(Duration::MAX)), LONGEST);
    }

    #[test]
    fn two_programs_do_not_wait_alike() {
        let waits = |seed| {
            let mut backoff = Backoff::new(RETRY, seed);
            (0..6).map(|_| backoff.next(None)).collect::<Vec<_>>()
        };
        assert_ne!(waits(1), waits(2));
        assert_eq!(waits(1), waits(1));
    }
}
