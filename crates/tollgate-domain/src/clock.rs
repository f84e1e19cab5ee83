//! Time as an argument: whoever needs an instant is handed a [`Clock`], so that tests own the time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Where the program reads the time: the machine's clock, or one that a test moves by hand.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { started: Instant },
    Manual(Arc<AtomicI64>),
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System { .. } => "Clock::system",
            Source::Manual(_) => "Clock::manual",
        })
    }
}

impl Clock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's time")]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now() })
    }

    /// A clock that stands at `start` until [`Clock::advance`] or [`Clock::set`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_microsecond()))))
    }

    /// The wall-clock time, to the microsecond.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
            Source::System { .. } => {
                Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::MIN)
            }
            Source::Manual(at) => {
                Timestamp::from_microsecond(at.load(Ordering::Acquire)).unwrap_or(Timestamp::MIN)
            }
        }
    }

    /// Time that has passed since some fixed instant; never runs backwards on the machine's clock.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { started } => started.elapsed(),
            Source::Manual(at) => Duration::from_micros(at.load(Ordering::Acquire).unsigned_abs()),
        }
    }

    /// Moves a manual clock forward; does nothing to the machine's.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(at) = &self.0 {
            at.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::AcqRel);
        }
    }

    /// Puts a manual clock to `at`, forwards or back; does nothing to the machine's.
    pub fn set(&self, at: Timestamp) {
        if let Source::Manual(cell) = &self.0 {
            cell.store(at.as_microsecond(), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let start: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let clock = Clock::manual(start);
        assert_eq!(clock.now(), start);
        clock.clone().advance(Duration::from_secs(1));
        assert_eq!(clock.now().as_second(), start.as_second() + 1);
        clock.set(start);
        assert_eq!(clock.now(), start);
    }
}
