//! One JSON line per call, written by a thread of its own: the path of a call only hands over a
//! pointer. When the writer is behind by more than its bound, lines are dropped and counted; calls
//! never wait for it (BOUND-1).
//!
//! The same thread shows finished calls to the log sinks and to the alerts, so that these are off the
//! path too.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::counter::Counter;
use tollgate_domain::call::CallRecord;

mod line;
mod object;

pub use line::{Format, write_json, write_line};

/// Most lines that wait.
const BOUND: usize = 65_536;
/// How long lines may gather before they are written together.
const GATHER: Duration = Duration::from_millis(20);

/// Hands finished calls to the thread that writes their lines.
#[derive(Debug)]
pub struct CallLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Vec<Arc<CallRecord>>>,
    wake: Condvar,
    asleep: AtomicBool,
    ending: AtomicBool,
    dropped: Counter,
    taps: Mutex<Vec<Tap>>,
}

/// What is shown finished calls.
type Show = dyn Fn(&[Arc<CallRecord>]) + Send + Sync;

/// Sees finished calls, some at a time, on the thread of the log. It must not wait.
pub struct Tap(Box<Show>);

impl Tap {
    /// One that hands calls to `see`.
    pub fn new(see: impl Fn(&[Arc<CallRecord>]) + Send + Sync + 'static) -> Self {
        Self(Box::new(see))
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap(..)")
    }
}

impl CallLog {
    /// Starts the thread, which writes to `out` where a form is given. Lines that had to be dropped
    /// count in `dropped`.
    ///
    /// # Errors
    ///
    /// Where the machine has no thread left.
    pub fn start(
        out: Box<dyn Write + Send>,
        format: Option<Format>,
        dropped: Counter,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Vec::new()),
            wake: Condvar::new(),
            asleep: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            dropped,
            taps: Mutex::new(Vec::new()),
        });
        let for_writer = Arc::clone(&shared);
        let writer = thread::Builder::new()
            .name("call-log".to_owned())
            .spawn(move || write_lines(&for_writer, out, format))?;
        Ok(Self { shared, writer: Mutex::new(Some(writer)) })
    }

    /// From now on finished calls are shown to `tap` as well.
    pub fn show_to(&self, tap: Tap) {
        self.shared.taps.lock().push(tap);
    }

    /// Takes a finished call.
    pub fn push(&self, call: Arc<CallRecord>) {
        let mut waiting = self.shared.waiting.lock();
        if waiting.len() >= BOUND {
            self.shared.dropped.inc();
            return;
        }
        waiting.push(call);
        drop(waiting);
        if self.shared.asleep.swap(false, Ordering::AcqRel) {
            self.shared.wake.notify_one();
        }
    }

    /// Writes what waits and ends the thread.
    pub fn close(&self) {
        self.shared.ending.store(true, Ordering::Release);
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.lock().take() {
            // A writer that panicked has nothing left to write.
            drop(writer.join());
        }
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn write_lines(shared: &Shared, mut out: Box<dyn Write + Send>, format: Option<Format>) {
    let mut text = Vec::with_capacity(16 * 1024);
    let mut batch = Vec::new();
    loop {
        let ending = shared.ending.load(Ordering::Acquire);
        std::mem::swap(&mut batch, &mut *shared.waiting.lock());
        if !batch.is_empty() {
            shared.taps.lock().iter().for_each(|tap| (tap.0)(&batch));
        }
        for call in batch.drain(..) {
            if let Some(format) = format {
                write_line(&call, format, &mut text);
            }
        }
        if !text.is_empty() {
            // Nobody can be told that standard output is gone; the ledger has the call.
            drop(out.write_all(&text).and_then(|()| out.flush()));
            text.clear();
            text.shrink_to(256 * 1024);
        } else if ending {
            return;
        }
        wait(shared);
    }
}

/// Sleeps until there is something to write, then lets more gather.
fn wait(shared: &Shared) {
    let mut waiting = shared.waiting.lock();
    if waiting.is_empty() && !shared.ending.load(Ordering::Acquire) {
        shared.asleep.store(true, Ordering::Release);
        shared.wake.wait_for(&mut waiting, Duration::from_secs(1));
        shared.asleep.store(false, Ordering::Release);
    }
    if !shared.ending.load(Ordering::Acquire) {
        shared.wake.wait_for(&mut waiting, GATHER);
    }
}
