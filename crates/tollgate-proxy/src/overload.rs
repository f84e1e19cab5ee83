//! Overload: beyond what the machine can serve, calls are refused quickly (503, `retry-after`), so
//! that those that are served keep their latency.
//!
//! Two things say that there is no room. One is a count: more calls are under way than
//! `server.max_calls`, which bounds memory. The other is a delay: what is ready waits for a core. It
//! is measured as a call feels it: a thread of its own, which the machine lets run when its time
//! comes, writes a byte into a pair of sockets, and a task that waits for it as connections do tells
//! when it came. The delay is counted in the time that this process has computed meanwhile, by core:
//! what waits because something else has the machine is no queue of ours, and refusing calls would
//! not shorten it. What counts is the median of an interval, because a standing queue delays everything
//! and a hiccup of the machine only something (after Nichols and Jacobson, "Controlling Queue Delay",
//! ACM Queue 2012).
//!
//! A thousand callers who come at once are no overload: they are served one after the other, and
//! their queue is gone in a moment; nor are a few callers (`FEW`), whatever keeps the machine busy. So
//! nothing is refused before a queue of `server.shed_after` has stood for `ONSET`, or more than a
//! `CROWD` of calls or connections have come since a shorter one stands. From then on only so many
//! calls a second pass: fewer with each interval in which the queue does not get shorter; while there
//! is none soon nearly as many as when it came, and then carefully more. A call waits several times on
//! its way, so a quarter of `server.shed_after` counts as a queue then. When fewer come than may pass
//! nobody is refused any more, and half a second later all of it is over.
//!
//! A refused call has cost its head and nothing else: no key was looked up, no limit asked, no row
//! written.

mod control;
mod delay;

use std::io::{self, Write as _};
use std::os::unix::net;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::watch;

use self::control::{Control, Interval, Load};
use self::delay::{Delay, Work, hear};
use crate::plane::Plane;

/// How often the delay is measured while there is traffic, and while there is none.
const TICK: Duration = Duration::from_millis(10);
const IDLE_TICK: Duration = Duration::from_millis(200);
/// Fewer calls than this between two measurements are no traffic.
const TRAFFIC: u32 = 5;
/// Looks at the delay in an interval: 50 ms.
const INTERVAL: u32 = 5;

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
    let work = Work::of_runtime();
    let heard = hear(far, Arc::clone(&delay), work);
    thread::Builder::new()
        .name("overload".to_owned())
        .spawn(move || measure(&plane, near, (&delay, work), &stopped))?;
    Ok(heard)
}

fn measure(
    plane: &Plane,
    mut near: net::UnixStream,
    (delay, work): (&Delay, Work),
    stopped: &watch::Receiver<bool>,
) {
    let overload = &plane.overload;
    let (mut control, mut counts, mut ticks) = (Control::default(), Counts::of(overload), 0);
    let (mut tick, mut rate, mut last) = (IDLE_TICK, None, plane.clock.monotonic());
    let mut began = last;
    while !*stopped.borrow() {
        thread::park_timeout(tick);
        if delay.begins(work.done()) && near.write_all(&[0]).is_err() {
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
        let seen = Interval { length, delay: delay.take(work.done()), passed, refused, load };
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
