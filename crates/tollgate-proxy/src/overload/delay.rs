//! How long what is ready waits for its turn, in the time that this process computes meanwhile.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::runtime::Handle;

/// How long what is ready waits for its turn.
#[derive(Debug, Default)]
pub(super) struct Delay(Mutex<Turns>);

/// Moments are those of the clock that counts what this process computes.
#[derive(Debug, Default)]
struct Turns {
    /// Since when a byte has waited to be read.
    waits: Option<Duration>,
    /// How long those took that were read since this was asked.
    took: Vec<Duration>,
}

impl Delay {
    /// Whether a byte may be written now: the one before has been read.
    pub(super) fn begins(&self, now: Duration) -> bool {
        let mut turns = self.0.lock();
        let free = turns.waits.is_none();
        turns.waits.get_or_insert(now);
        free
    }

    /// It was read.
    fn ends(&self, now: Duration) {
        let mut turns = self.0.lock();
        if let Some(since) = turns.waits.take() {
            turns.took.push(now.saturating_sub(since));
        }
    }

    /// The median since this was asked; the byte that still waits counts too.
    pub(super) fn take(&self, now: Duration) -> Duration {
        let mut turns = self.0.lock();
        let mut took = std::mem::take(&mut turns.took);
        took.extend(turns.waits.map(|since| now.saturating_sub(since)));
        took.sort_unstable();
        took.get(took.len() / 2).copied().unwrap_or_default()
    }
}

/// Reads the bytes, as a connection reads its requests.
pub(super) async fn hear(mut far: UnixStream, delay: Arc<Delay>, work: Work) {
    let mut byte = [0];
    while let Ok(1..) = far.read(&mut byte).await {
        delay.ends(work.done());
    }
}

/// The clock that counts what this process computes, in time of each of so many cores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work(u32);

impl Work {
    /// Of the runtime that this is called in.
    pub(super) fn of_runtime() -> Self {
        let workers = Handle::current().metrics().num_workers();
        Self(u32::try_from(workers).unwrap_or(u32::MAX))
    }

    /// What was computed so far.
    pub(super) fn done(self) -> Duration {
        let done = clock_gettime(ClockId::ProcessCPUTime);
        Duration::try_from(done).unwrap_or_default() / self.0.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_the_median_and_the_byte_that_still_waits_counts() {
        let (delay, at) = (Delay::default(), Duration::from_millis);
        assert_eq!(delay.take(at(0)), Duration::ZERO);
        for (due, read) in [(0, 1), (10, 95), (100, 104)] {
            assert!(delay.begins(at(due)));
            delay.ends(at(read));
        }
        assert_eq!(delay.take(at(110)), Duration::from_millis(4));
        assert!(delay.begins(at(120)));
        assert!(!delay.begins(at(130)), "one at a time");
        assert_eq!(delay.take(at(150)), Duration::from_millis(30));
        assert_eq!(delay.take(at(170)), Duration::from_millis(50));
    }
}
