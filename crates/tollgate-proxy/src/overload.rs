//! Overload: beyond what the machine can serve, calls are refused quickly (503, `retry-after`), so
//! that those that are served keep their latency.
//!
//! Two things say that there is no room. One is a count: more calls are under way than
//! `server.max_calls`, which bounds memory. The other is a delay: work that is ready waits for a
//! core. It is measured as the lateness of a task that asks to be woken, and what counts is the
//! least lateness of an interval, because a standing queue delays every wake-up and a hiccup of the
//! machine only one (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012).
//!
//! A thousand callers who come at once are no overload: they are served one after the other, and
//! their queue is gone in a moment. So a queue must have stood for `ONSET` before anything is
//! refused. Then nearly all is, until the queue is gone, and from there on the share follows the
//! queue from interval to interval; when the overload is over, it is nothing within half a second.
//!
//! A refused call has cost its head and nothing else: no key was looked up, no limit asked, no row
//! written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::plane::Plane;

/// How often the delay is measured while there is traffic, and while there is none.
const TICK: Duration = Duration::from_millis(10);
const IDLE_TICK: Duration = Duration::from_millis(200);
/// Fewer calls than this between two measurements are no traffic.
const TRAFFIC: u64 = 5;
/// Measurements of an interval, of which the least counts.
const INTERVAL: u32 = 5;
/// Intervals for which a queue must have stood before calls are refused: half a second.
const ONSET: u32 = 10;
/// Most of all calls, in parts per thousand. Some always pass, or nobody would see that there is room
/// again.
const MOST: u32 = 950;
/// How much more is refused with each interval in which the queue stands, and how much less with each
/// in which it does not.
const MORE: u32 = 150;
const LESS: u32 = 100;

/// Whether there is room for another call.
#[derive(Debug, Default)]
pub struct Overload {
    /// The share of calls that is refused, in parts per thousand.
    share: AtomicU32,
    /// Calls that asked since the start.
    asked: AtomicU64,
}

impl Overload {
    /// Whether a call is refused, by a random number.
    pub fn refuses(&self, draw: impl FnOnce() -> u64) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let share = self.share.load(Ordering::Relaxed);
        share > 0 && draw() % 1_000 < u64::from(share)
    }

    /// The share of calls that is refused just now, in parts per thousand.
    pub fn share(&self) -> u32 {
        self.share.load(Ordering::Relaxed)
    }
}

/// Turns delays into the share of calls that is refused.
#[derive(Debug, Default)]
struct Control {
    share: u32,
    /// The least delay of this interval.
    least: Option<Duration>,
    measured: u32,
    /// Intervals for which the queue has stood.
    stood: u32,
}

impl Control {
    /// Takes a measurement; `most` is the delay that is borne.
    fn measure(&mut self, delay: Duration, most: Duration) -> u32 {
        self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
        self.measured += 1;
        if self.measured >= INTERVAL {
            self.measured = 0;
            let stands = self.least.take().is_some_and(|least| least > most);
            self.stood = if stands { self.stood.saturating_add(1) } else { 0 };
            self.share = match (stands, self.share) {
                (true, 0) if self.stood < ONSET => 0,
                (true, 0) => MOST,
                (true, share) => (share + MORE).min(MOST),
                (false, share) => share.saturating_sub(LESS),
            };
        }
        self.share
    }
}

/// Measures how long work waits, until `stopped`.
pub async fn look_after(plane: Arc<Plane>, mut stopped: watch::Receiver<bool>) {
    let mut control = Control::default();
    let mut seen = 0;
    let mut tick = IDLE_TICK;
    loop {
        let due = Instant::now() + tick;
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = sleep_until(due) => {}
        }
        let delay = due.elapsed();
        let most = plane.snapshot.load().settings.shed_after;
        let share = if most.is_zero() { 0 } else { control.measure(delay, most) };
        plane.overload.share.store(share, Ordering::Relaxed);
        plane.metrics.shed_share(share);
        let asked = plane.overload.asked.load(Ordering::Relaxed);
        let traffic = asked.saturating_sub(std::mem::replace(&mut seen, asked)) >= TRAFFIC;
        tick = if traffic || share > 0 { TICK } else { IDLE_TICK };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BORNE: Duration = Duration::from_millis(10);

    fn run(control: &mut Control, delays_ms: &[u64]) -> u32 {
        delays_ms
            .iter()
            .fold(control.share, |_, ms| control.measure(Duration::from_millis(*ms), BORNE))
    }

    #[test]
    fn a_queue_that_stands_has_calls_refused_and_a_crowd_or_a_hiccup_does_not() {
        let mut control = Control::default();
        assert_eq!(run(&mut control, &[500, 1, 1, 900, 2]), 0, "hiccups");
        let crowd: Vec<u64> = (0..45).rev().map(|left| left * 10).collect();
        assert_eq!(run(&mut control, &crowd), 0, "a crowd that is served in its turn");
        assert_eq!(run(&mut control, &[0; 5]), 0);
        assert_eq!(run(&mut control, &[11; 49]), 0, "it has not stood for long enough");
        assert_eq!(run(&mut control, &[11]), MOST);
        assert_eq!(run(&mut control, &[1; 10]), MOST - 2 * LESS);
        assert_eq!(run(&mut control, &[11; 5]), MOST - 2 * LESS + MORE);
    }

    #[test]
    fn what_is_refused_is_over_half_a_second_after_the_queue() {
        let mut control = Control::default();
        assert_eq!(run(&mut control, &[50; 500]), MOST);
        let ticks = usize::try_from(500 / TICK.as_millis()).unwrap();
        assert_eq!(run(&mut control, &vec![0; ticks]), 0);
    }

    #[test]
    fn as_many_calls_are_refused_as_the_share_says() {
        let overload = Overload::default();
        assert!(!overload.refuses(|| 0));
        overload.share.store(300, Ordering::Relaxed);
        let refused = (0..1_000).filter(|draw| overload.refuses(|| *draw)).count();
        assert_eq!(refused, 300);
    }
}
