//! Refused calls on their way to the ledger: rows that cost nothing and are worth having, never at
//! the price of a refusal.
//!
//! A refusal only hands its row over, to a queue of bounded length and a thread of its own. How many
//! rows there are is bounded too, for each caller and for all: whoever floods the program with calls
//! that it refuses must not fill its disk, nor hide the refusals of others. What is not kept is
//! counted.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tollgate_admission::gate::Gate;
use tollgate_domain::call::CallRecord;

/// Most rows that wait.
const BOUND: usize = 1_024;
/// Callers share so many allowances.
const CELLS: usize = 256;
/// What all callers together may have kept: five rows a second in the long run, which is a hundred
/// megabytes a day, and two thousand at once.
const ALL: Allowance = Allowance { every: 200, burst: 2_000 };
/// What one caller may have kept.
const EACH: Allowance = Allowance { every: 1_000, burst: 200 };

/// So many at once, and one more every so many milliseconds.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    every: i64,
    burst: i64,
}

/// How much of an allowance is used: the instant, in milliseconds, at which all of it is there again
/// (the generic cell rate algorithm, ITU-T I.371).
#[derive(Debug, Default)]
struct Used(AtomicI64);

impl Used {
    /// Takes one, if there is one.
    fn take(&self, allowance: Allowance, now: i64) -> bool {
        let Allowance { every, burst } = allowance;
        let all = every.saturating_mul(burst);
        // A clock that has stepped back must not shut it for as long as the step was.
        let full = |full: i64| full.clamp(now, now.saturating_add(all));
        let passes = |full: i64| full.saturating_sub(now) <= all.saturating_sub(every);
        let next = |before: i64| {
            let full = full(before);
            Some(if passes(full) { full.saturating_add(every) } else { full })
        };
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        before.is_ok_and(|before| passes(full(before)))
    }
}

/// Keeps rows of refused calls.
#[derive(Debug)]
pub struct Refusals {
    queue: Mutex<Option<SyncSender<Arc<CallRecord>>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    all: Used,
    each: Box<[Used]>,
    hasher: RandomState,
    dropped: Counter,
}

impl Refusals {
    /// Starts the thread that hands rows to the ledger of `gate`. Those that are not kept count in
    /// `dropped`.
    pub fn start(gate: Arc<Gate>, dropped: &Counter) -> io::Result<Self> {
        let (queue, rows) = sync_channel(BOUND);
        let lost = dropped.clone();
        let writer = thread::Builder::new()
            .name("refusals".to_owned())
            .spawn(move || write(&gate, &rows, &lost))?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(writer)),
            all: Used::default(),
            each: (0..CELLS).map(|_| Used::default()).collect(),
            hasher: RandomState::new(),
            dropped: dropped.clone(),
        })
    }

    /// Takes the row of a refused call, if there is room for it.
    pub fn push(&self, row: Arc<CallRecord>, now: Timestamp) {
        let kept = self.has_room(&row.user, now.as_millisecond())
            && self.queue.lock().as_ref().is_some_and(|queue| queue.try_send(row).is_ok());
        if !kept {
            self.dropped.inc();
        }
    }

    fn has_room(&self, user: &str, now: i64) -> bool {
        let cells = u64::try_from(CELLS).unwrap_or(1);
        let cell = usize::try_from(self.hasher.hash_one(user) % cells).unwrap_or(0);
        self.each.get(cell).is_some_and(|used| used.take(EACH, now)) && self.all.take(ALL, now)
    }

    /// Writes what waits and ends the thread.
    pub fn close(&self) {
        self.queue.lock().take();
        if let Some(writer) = self.writer.lock().take() {
            // A writer that panicked has nothing left to write.
            drop(writer.join());
        }
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        self.close();
    }
}

fn write(gate: &Gate, rows: &Receiver<Arc<CallRecord>>, lost: &Counter) {
    for row in rows {
        // Nobody waits for it, and what cannot be written now is not worth a second try.
        if gate.record(row).is_err() {
            lost.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_kept_and_then_as_many_as_come_back() {
        let used = Used::default();
        let taken = |now: i64| (0..1_000).filter(|_| used.take(EACH, now)).count();
        let start = 1_700_000_000_000;
        assert_eq!(taken(start), 200);
        assert_eq!(taken(start + 999), 0);
        assert_eq!(taken(start + 5_000), 5);
        assert_eq!(taken(start + 86_400_000), 200);
        // A clock that steps back gives nothing away, and shuts nothing for long.
        assert_eq!(taken(start), 0);
        assert_eq!(taken(start + 10_000), 10);
    }
}
