//! The open loop: calls start at their time, whatever has become of those before, and each is timed
//! from when it was meant to start. So a proxy that falls behind cannot slow its own load down.
#![expect(
    clippy::disallowed_methods,
    reason = "a measuring tool reads the clock, sleeps precisely and spawns its own tasks"
)]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::load::Connection;

/// Connections that are opened, with a call each, before the loop begins.
const WARM: usize = 96;
/// Most connections. A call for which there is none waits, and its time runs.
const MOST: usize = 2_048;

/// So many calls a second, for so long.
#[derive(Clone, Copy)]
pub(super) struct OpenLoop {
    pub(super) address: SocketAddr,
    pub(super) rate: u32,
    pub(super) length: Duration,
}

/// One call of an open loop.
#[derive(Clone, Copy)]
pub(super) struct Call {
    /// When it was meant to start, from the beginning of the loop.
    pub(super) at: Duration,
    /// From then to the end of its answer.
    pub(super) time: Duration,
    /// The status of its answer; 0 where the connection broke.
    pub(super) status: u16,
    /// Whether the answer says when to come again.
    pub(super) says_when: bool,
}

/// The calls of an open loop.
pub(super) struct Seen(Vec<Call>);

impl OpenLoop {
    /// Makes the calls; `request` gives the bytes of each.
    pub(super) async fn run(self, mut request: impl FnMut() -> Rc<[u8]>) -> Result<Seen> {
        let pool = Rc::new(RefCell::new(Vec::new()));
        let seats = Rc::new(Semaphore::new(MOST));
        for _connection in 0..WARM {
            let mut connection = Connection::open(self.address).await?;
            let _status = connection.call(&request()).await?;
            pool.borrow_mut().push(connection);
        }
        let start = Instant::now();
        let mut arrivals = arrivals(start, self.rate, self.length);
        let mut calls = JoinSet::new();
        while let Some(intended) = arrivals.recv().await {
            let (pool, seats, request) = (Rc::clone(&pool), Rc::clone(&seats), request());
            let address = self.address;
            calls.spawn_local(async move {
                let _seat = seats.acquire().await;
                let idle = pool.borrow_mut().pop();
                let answered = call(idle, address, &request).await;
                let time = intended.elapsed();
                let at = intended - start;
                let Ok((connection, status)) = answered else {
                    return Call { at, time, status: 0, says_when: false };
                };
                let says_when = connection.says("\r\nretry-after: ");
                if !connection.says("\r\nconnection: close") {
                    pool.borrow_mut().push(connection);
                }
                Call { at, time, status, says_when }
            });
        }
        let mut seen = Vec::with_capacity(calls.len());
        while let Some(call) = calls.join_next().await {
            seen.push(call?);
        }
        Ok(Seen(seen))
    }

    /// The same request each time, and an error where one is not answered with 200.
    pub(super) async fn run_good(self, request: &[u8]) -> Result<Seen> {
        let request: Rc<[u8]> = request.into();
        let seen = self.run(|| Rc::clone(&request)).await?;
        let bad = seen.count(|call| call.status != 200);
        if bad > 0 {
            bail!("{bad} calls were not answered with 200");
        }
        Ok(seen)
    }
}

async fn call(
    idle: Option<Connection>,
    address: SocketAddr,
    request: &[u8],
) -> Result<(Connection, u16)> {
    let mut connection = match idle {
        Some(connection) => connection,
        None => Connection::open(address).await?,
    };
    let status = connection.call(request).await?;
    Ok((connection, status))
}

impl Seen {
    /// How many calls were made, those before the first intended one included.
    pub(super) fn calls(&self) -> f64 {
        as_f64(self.0.len() + WARM)
    }

    /// How many are of that kind.
    pub(super) fn count(&self, which: impl Fn(&Call) -> bool) -> usize {
        self.0.iter().filter(|call| which(call)).count()
    }

    /// The times of those of that kind.
    pub(super) fn times(&self, which: impl Fn(&Call) -> bool) -> Times {
        let mut times: Vec<Duration> =
            self.0.iter().filter(|call| which(call)).map(|call| call.time).collect();
        times.sort_unstable();
        Times(times)
    }
}

/// Times of calls, the shortest first.
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// The percentile in microseconds.
    pub(super) fn percentile(&self, percent: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let below = self.0.iter().enumerate().map(|(at, _)| at);
        let at = below.take_while(|at| as_f64(*at) < as_f64(last) * percent / 100.0).count();
        self.0.get(at.min(last)).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }
}

/// A count as a figure of the report.
pub(super) fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Gives the intended starts, each at its time, from a thread that sleeps precisely.
fn arrivals(start: Instant, rate: u32, length: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let gap = Duration::from_secs(1) / rate;
        let mut due = start;
        while due - start < length {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(due).is_err() {
                return;
            }
            due += gap;
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_seen() {
        let call = |ms: u64| Call {
            at: Duration::ZERO,
            time: Duration::from_millis(ms),
            status: if ms == 500 { 503 } else { 200 },
            says_when: false,
        };
        let seen = Seen((1..=101).rev().chain([500]).map(call).collect());
        let good = seen.times(|call| call.status == 200);
        let at = |percent| good.percentile(percent) / 1e3;
        assert!((at(0.0) - 1.0).abs() < 1e-9 && (at(50.0) - 51.0).abs() < 1e-9);
        assert!((at(99.0) - 100.0).abs() < 1e-9 && (at(100.0) - 101.0).abs() < 1e-9);
        assert_eq!(seen.count(|call| call.status == 503), 1);
    }
}
