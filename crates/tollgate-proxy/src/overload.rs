//! Overload: beyond what the machine can serve, calls are refused quickly (503, `retry-after`), so
//! that those that are served keep their latency.
//!
//! Two things say that there is no room. One is a count: more calls are under way than
//! `server.max_calls`, which bounds memory. The other is a delay: what is ready waits for a core. It
//! is measured as a call feels it: a thread of its own, which the machine lets run when its time
//! comes, writes a byte into a pair of sockets, and a task that waits for it as connections do tells
//! when it came. What counts is the median of an interval, because a standing queue delays everything
//! and a hiccup of the machine only something (after Nichols and Jacobson, "Controlling Queue Delay",
//! ACM Queue 2012).
//!
//! A thousand callers who come at once are no overload: they are served one after the other, and
//! their queue is gone in a moment; nor are a few callers who keep a machine busy. So nothing is
//! refused before a queue of `server.shed_after` has stood for `ONSET`, or more than a `CROWD` of calls
//! or connections have come since a shorter one stands. From then on only so many calls a second
//! pass: fewer with each interval in which the queue does not get shorter; while there is none soon
//! nearly as many as when it came, and then carefully more. A call waits several times on its way, so a
//! quarter of `server.shed_after` counts as a queue then. When fewer come than may pass nobody is
//! refused any more, and half a second later all of it is over.
//!
//! A refused call has cost its head and nothing else: no key was looked up, no limit asked, no row
//! written.

use std::io::{self, Write as _};
use std::os::unix::net;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::plane::Plane;

/// How often the delay is measured while there is traffic, and while there is none.
const TICK: Duration = Duration::from_millis(10);
const IDLE_TICK: Duration = Duration::from_millis(200);
/// Fewer calls than this between two measurements are no traffic.
const TRAFFIC: u32 = 5;
/// Looks at the delay in an interval: 50 ms.
const INTERVAL: u32 = 5;
/// Intervals for which a queue must have stood before calls are refused: half a second.
const ONSET: u32 = 10;
/// By how many the calls under way and the connections may have grown since the queue stands.
const CROWD: i64 = 1_024;
/// The part of the delay that is borne, which is a queue where there are too many already.
const SHORT: u32 = 4;
/// Intervals in which nobody was refused and no queue stood, after which all may pass.
const OVER: u32 = 10;
/// The part of the calls that pass which may go on passing where the queue does not get shorter.
const FEWER: f64 = 0.7;
/// Parts of the calls that passed when the last queue came: how many may soon pass again, by how many
/// more with each interval until then, and by how many after it.
const NEARLY: f64 = 0.9;
const AGAIN: f64 = 0.05;
const MORE: f64 = 0.005;
/// Intervals without a queue after which the last step is twice as long.
const TWICE: u32 = 20;
/// Calls a second that pass however long the queue is, or nobody would see that it is gone.
const LEAST: f64 = 50.0;

/// Whether there is room for another call.
#[derive(Debug, Default)]
pub struct Overload {
    /// Whether only some calls may pass.
    sheds: AtomicBool,
    /// How many may still pass, while only some may.
    passes: AtomicI64,
    /// Calls that asked since the start.
    asked: AtomicU64,
    /// Those of them that were refused.
    refused: AtomicU64,
    /// Connections of clients.
    connections: AtomicI64,
}

/// A connection of a client, as long as it stands.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Plane>);

impl Connected {
    /// One more.
    pub(crate) fn to(plane: &Arc<Plane>) -> Self {
        plane.overload.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(plane))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.overload.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Overload {
    /// Whether a call is refused.
    pub fn refuses(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !self.sheds.load(Ordering::Relaxed) {
            return false;
        }
        let refused = self.passes.fetch_sub(1, Ordering::Relaxed) <= 0;
        if refused {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        refused
    }

    /// From now on so many calls a second pass, and now as many as belong to this time; `None` lets
    /// all pass.
    fn allow(&self, rate: Option<f64>, time: Duration) {
        if let Some(rate) = rate {
            self.passes.store(whole(rate * time.as_secs_f64()), Ordering::Relaxed);
        }
        self.sheds.store(rate.is_some(), Ordering::Relaxed);
    }
}

/// The next whole number, as far as there is one.
fn whole(number: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
    let whole = number.ceil() as i64;
    whole
}

/// Says how many calls a second may pass.
#[derive(Debug, Default)]
struct Control {
    /// How many, where not all may.
    rate: Option<f64>,
    /// How many did when the last queue came.
    peak: f64,
    /// Intervals without a queue since.
    good: u32,
    /// Intervals for which a queue has stood that is not borne.
    stood: u32,
    /// Intervals for which nobody was refused and no queue stood.
    calm: u32,
    /// The delay of the interval before.
    last: Duration,
    /// How many there were when the short queue began to stand.
    before: Load,
}

/// What was seen in an interval.
#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    /// How long it took.
    length: Duration,
    /// The median of the delays in it.
    delay: Duration,
    /// How many calls passed, and how many were refused.
    passed: u32,
    refused: u32,
    /// What is there at its end.
    load: Load,
}

/// What is there to be served.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    /// Calls under way.
    calls: i64,
    /// Connections of clients.
    connections: i64,
}

impl Load {
    /// Whether far more is there than before.
    fn is_crowd(self, before: Self) -> bool {
        let more = |now: i64, before: i64| now.saturating_sub(before) > CROWD;
        more(self.calls, before.calls) || more(self.connections, before.connections)
    }
}

impl Control {
    /// An interval is over; `most` is the delay that is borne.
    fn interval(&mut self, seen: Interval, most: Duration) -> Option<f64> {
        let queue = seen.delay > most / SHORT;
        let grows = seen.delay >= std::mem::replace(&mut self.last, seen.delay);
        self.stood = if seen.delay > most { self.stood.saturating_add(1) } else { 0 };
        self.calm = if queue || seen.refused > 0 { 0 } else { self.calm.saturating_add(1) };
        let passed = f64::from(seen.passed) / seen.length.as_secs_f64().max(TICK.as_secs_f64());
        self.rate = match self.rate {
            None if self.stood >= ONSET || (queue && seen.load.is_crowd(self.before)) => {
                self.peak = passed;
                Some(passed * FEWER)
            }
            None => None,
            Some(_) if self.calm >= OVER => None,
            Some(rate) if queue && grows => {
                self.peak = if self.good > 0 { rate } else { self.peak };
                Some(rate * FEWER)
            }
            Some(rate) if !queue && seen.refused > 0 => Some(rate + self.peak * self.step(rate)),
            same => same,
        };
        self.rate = self.rate.map(|rate| rate.max(LEAST));
        self.good = if queue { 0 } else { self.good.saturating_add(1) };
        if !queue {
            self.before = seen.load;
        }
        self.rate
    }

    /// How many more may pass, as a part of the peak.
    fn step(&self, rate: f64) -> f64 {
        if rate < self.peak * NEARLY {
            return AGAIN;
        }
        let doubled = 1_u32.checked_shl(self.good / TWICE).unwrap_or(u32::MAX);
        MORE * f64::from(doubled)
    }
}

/// How long what is ready waits for its turn.
#[derive(Debug, Default)]
struct Delay(Mutex<Turns>);

/// Moments are those of the clock that measures latency.
#[derive(Debug, Default)]
struct Turns {
    /// Since when a byte has waited to be read.
    waits: Option<Duration>,
    /// How long those took that were read since this was asked.
    took: Vec<Duration>,
}

impl Delay {
    /// Whether a byte may be written that was due then: the one before has been read.
    fn begins(&self, due: Duration) -> bool {
        let mut turns = self.0.lock();
        let free = turns.waits.is_none();
        turns.waits.get_or_insert(due);
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
    fn take(&self, now: Duration) -> Duration {
        let mut turns = self.0.lock();
        let mut took = std::mem::take(&mut turns.took);
        took.extend(turns.waits.map(|since| now.saturating_sub(since)));
        took.sort_unstable();
        took.get(took.len() / 2).copied().unwrap_or_default()
    }
}

/// Reads the bytes, as a connection reads its requests.
async fn hear(mut far: UnixStream, delay: Arc<Delay>, plane: Arc<Plane>) {
    let mut byte = [0];
    while let Ok(1..) = far.read(&mut byte).await {
        delay.ends(plane.clock.monotonic());
    }
}

/// Starts to measure how long work waits, and to say how much of it is taken in, until `stopped`.
/// What is given back listens, and is to be run with the calls.
///
/// # Errors
///
/// Where the machine has no socket or thread left.
pub fn look_after(
    plane: Arc<Plane>,
    stopped: watch::Receiver<bool>,
) -> io::Result<impl Future<Output = ()> + Send> {
    let (near, far) = net::UnixStream::pair()?;
    far.set_nonblocking(true)?;
    let far = UnixStream::from_std(far)?;
    let delay = Arc::new(Delay::default());
    let heard = hear(far, Arc::clone(&delay), Arc::clone(&plane));
    thread::Builder::new()
        .name("overload".to_owned())
        .spawn(move || measure(&plane, near, &delay, &stopped))?;
    Ok(heard)
}

fn measure(
    plane: &Plane,
    mut near: net::UnixStream,
    delay: &Delay,
    stopped: &watch::Receiver<bool>,
) {
    let overload = &plane.overload;
    let (mut control, mut counts, mut ticks) = (Control::default(), Counts::of(overload), 0);
    let (mut tick, mut rate, mut last) = (IDLE_TICK, None, plane.clock.monotonic());
    let mut began = last;
    while !*stopped.borrow() {
        let due = plane.clock.monotonic() + tick;
        thread::park_timeout(tick);
        if delay.begins(due) && near.write_all(&[0]).is_err() {
            return;
        }
        let now = plane.clock.monotonic();
        overload.allow(rate, now.saturating_sub(std::mem::replace(&mut last, now)));
        ticks += 1;
        if ticks < INTERVAL && tick == TICK {
            continue;
        }
        ticks = 0;
        let most = plane.snapshot.load().settings.shed_after;
        let (passed, refused) = counts.since(overload);
        let load = Load {
            calls: plane.metrics.inflight().get(),
            connections: overload.connections.load(Ordering::Relaxed),
        };
        let length = now.saturating_sub(std::mem::replace(&mut began, now));
        let seen = Interval { length, delay: delay.take(now), passed, refused, load };
        rate = if most.is_zero() { None } else { control.interval(seen, most) };
        let asked = passed.saturating_add(refused);
        plane.metrics.shed_share(refused.saturating_mul(1_000).checked_div(asked).unwrap_or(0));
        tick = if asked >= TRAFFIC || rate.is_some() { TICK } else { IDLE_TICK };
    }
}

/// How many calls had asked, and how many were refused.
struct Counts(u64, u64);

impl Counts {
    fn of(overload: &Overload) -> Self {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Self(read(&overload.asked), read(&overload.refused))
    }

    /// How many have passed and how many were refused since this was asked.
    fn since(&mut self, overload: &Overload) -> (u32, u32) {
        let now = Self::of(overload);
        let more = |now: u64, before: u64| u32::try_from(now - before).unwrap_or(u32::MAX);
        let (asked, refused) = (more(now.0, self.0), more(now.1, self.1));
        *self = now;
        (asked.saturating_sub(refused), refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BORNE: Duration = Duration::from_millis(16);

    fn seen(delay_ms: u64, refused: u32, calls: i64) -> Interval {
        Interval {
            length: TICK * INTERVAL,
            delay: Duration::from_millis(delay_ms),
            passed: 100,
            refused,
            load: Load { calls, connections: 7 },
        }
    }

    /// Intervals, each with its delay in milliseconds and the calls under way.
    fn run(control: &mut Control, intervals: &[(u64, i64)]) -> Option<f64> {
        intervals
            .iter()
            .fold(control.rate, |_, (ms, calls)| control.interval(seen(*ms, 0, *calls), BORNE))
    }

    fn is(rate: Option<f64>, expected: f64) -> bool {
        rate.is_some_and(|rate| (rate - expected).abs() < 1e-6)
    }

    /// A hundred calls passed in 50 ms.
    const PASSED: f64 = 2_000.0;

    #[test]
    fn a_queue_that_stands_has_calls_refused_and_a_crowd_or_a_hiccup_does_not() {
        let mut control = Control::default();
        assert_eq!(run(&mut control, &[(500, 10), (1, 10), (900, 10), (2, 10)]), None, "hiccups");
        let crowd: Vec<(u64, i64)> =
            (0..9).rev().map(|left| (left * 50, i64::try_from(left).unwrap() * 100)).collect();
        assert_eq!(run(&mut control, &crowd), None, "a crowd that is served in its turn");
        assert_eq!(run(&mut control, &[(16, 60); 100]), None, "a few who keep the machine busy");
        assert_eq!(run(&mut control, &[(17, 60); 9]), None, "it has not stood for long enough");
        assert!(is(run(&mut control, &[(17, 60)]), PASSED * FEWER));
    }

    #[test]
    fn what_passes_follows_the_queue() {
        let mut control =
            Control { rate: Some(1_000.0), peak: 9_000.0, good: 1, ..Control::default() };
        let mut next = |ms, refused| control.interval(seen(ms, refused, 60), BORNE);
        assert!(is(next(5, 9), 700.0), "a short queue counts");
        assert!(is(next(9, 9), 490.0), "and a longer one");
        assert!(is(next(8, 9), 490.0), "one that gets shorter is waited for");
        assert!(is(next(2, 9), 540.0), "without one more may pass");
        assert!(is(next(2, 0), 540.0), "not where all have passed");
        for _interval in 0..8 {
            next(2, 9);
        }
        assert!(is(next(2, 9), 945.0), "carefully, from nearly as many as when the queue came");
        for _interval in 0..99 {
            next(50, 9);
        }
        assert!(is(next(50, 9), LEAST), "some always pass");
    }

    #[test]
    fn a_flood_is_refused_before_its_queue_has_stood_for_long() {
        let mut control = Control::default();
        assert_eq!(run(&mut control, &[(0, 3_000), (5, 4_000)]), None, "a thousand more");
        assert!(run(&mut control, &[(5, 4_025)]).is_some());
        let mut control = Control::default();
        let connected = |delay, connections| Interval {
            load: Load { calls: 60, connections },
            ..seen(delay, 0, 60)
        };
        assert_eq!(control.interval(connected(0, 5_000), BORNE), None);
        assert_eq!(control.interval(connected(5, 6_024), BORNE), None);
        assert!(control.interval(connected(5, 6_025), BORNE).is_some());
    }

    #[test]
    fn all_may_pass_half_a_second_after_the_overload() {
        let mut control = Control { rate: Some(1_000.0), ..Control::default() };
        assert!(run(&mut control, &[(0, 5); 9]).is_some());
        assert_eq!(run(&mut control, &[(0, 5)]), None);
        assert_eq!(TICK * INTERVAL * OVER, Duration::from_millis(500));
    }

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

    #[test]
    fn as_many_calls_pass_as_their_time_allows() {
        let overload = Overload::default();
        let pass = || (0..100).filter(|_| !overload.refuses()).count();
        assert_eq!(pass(), 100);
        overload.allow(Some(3_000.0), TICK);
        assert_eq!(pass(), 30);
        overload.allow(Some(3_000.0), TICK * 2);
        assert_eq!(pass(), 60);
        overload.allow(None, TICK);
        assert_eq!(pass(), 100);
    }
}
