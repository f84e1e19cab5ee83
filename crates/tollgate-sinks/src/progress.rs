//! How far a sink has come: counts that the program exports, and what it says to its operator.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tollgate_domain::clock::Clock;

/// How often the operator is told that a service refuses calls.
const TELL: Duration = Duration::from_mins(1);

/// Says something to the operator. It must not be given a prompt, an answer or a secret.
#[derive(Clone)]
pub struct Say(Arc<dyn Fn(&str) + Send + Sync>);

impl Say {
    /// Says it with `say`.
    pub fn new(say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(say))
    }
}

impl fmt::Debug for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Say(..)")
    }
}

/// How a sink stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: Arc<str>,
    /// Calls that the service took.
    pub sent: u64,
    /// Calls that were dropped because queue and spool were full, or at the end of the program.
    pub dropped: u64,
    /// Calls whose delivery was tried again.
    pub retried: u64,
    /// Calls that the service refused for good.
    pub rejected: u64,
    /// What lies on disk, in bytes.
    pub spool_bytes: u64,
    /// The age of the oldest call that is on its way; zero where none is.
    pub lag: Duration,
    /// Why the service does not take calls just now.
    pub trouble: Option<Arc<str>>,
}

/// The counts of one sink; they go on over a reload.
pub(crate) struct Progress {
    name: Arc<str>,
    say: Say,
    clock: Clock,
    sent: AtomicU64,
    dropped: AtomicU64,
    retried: AtomicU64,
    rejected: AtomicU64,
    spool_bytes: AtomicU64,
    /// Microseconds since the epoch; zero where nothing is on its way.
    oldest: AtomicI64,
    trouble: Mutex<Option<Arc<str>>>,
    told: Mutex<Option<Duration>>,
}

impl Progress {
    pub(crate) fn new(name: Arc<str>, say: Say, clock: Clock) -> Self {
        Self {
            name,
            say,
            clock,
            sent: AtomicU64::default(),
            dropped: AtomicU64::default(),
            retried: AtomicU64::default(),
            rejected: AtomicU64::default(),
            spool_bytes: AtomicU64::default(),
            oldest: AtomicI64::default(),
            trouble: Mutex::default(),
            told: Mutex::default(),
        }
    }

    pub(crate) fn status(&self) -> Status {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let oldest = self.oldest.load(Ordering::Relaxed);
        let waited = self.clock.now().as_microsecond().saturating_sub(oldest);
        let lag = if oldest == 0 { 0 } else { u64::try_from(waited).unwrap_or_default() };
        Status {
            name: Arc::clone(&self.name),
            sent: read(&self.sent),
            dropped: read(&self.dropped),
            retried: read(&self.retried),
            rejected: read(&self.rejected),
            spool_bytes: read(&self.spool_bytes),
            lag: Duration::from_micros(lag),
            trouble: self.trouble.lock().clone(),
        }
    }

    pub(crate) fn sent(&self, calls: usize) {
        add(&self.sent, calls);
    }

    pub(crate) fn dropped(&self, calls: usize) {
        add(&self.dropped, calls);
    }

    pub(crate) fn retried(&self, calls: usize) {
        add(&self.retried, calls);
    }

    /// Counts calls that the service refused for good, and says so now and then.
    pub(crate) fn rejected(&self, calls: usize, why: &str) {
        if calls == 0 {
            return;
        }
        add(&self.rejected, calls);
        let now = self.clock.monotonic();
        let mut told = self.told.lock();
        if told.is_none_or(|told| now.saturating_sub(told) >= TELL) {
            *told = Some(now);
            self.say(&format!("refuses calls for good ({calls} of the last batch): {why}"));
        }
    }

    pub(crate) fn spool_bytes(&self, bytes: u64) {
        self.spool_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Notes the oldest call that is on its way.
    pub(crate) fn oldest(&self, at: Option<Timestamp>) {
        self.oldest.store(at.map_or(0, Timestamp::as_microsecond), Ordering::Relaxed);
    }

    /// Notes that the service does not take calls; says so when that is new.
    pub(crate) fn down(&self, why: &str) {
        let mut trouble = self.trouble.lock();
        if trouble.is_none() {
            self.say(&format!("is not reached, and is tried again: {why}"));
        }
        *trouble = Some(Arc::from(why));
    }

    /// Notes that the service takes calls; says so when that is new.
    pub(crate) fn up(&self) {
        if self.trouble.lock().take().is_some() {
            self.say("is reached again");
        }
    }

    pub(crate) fn say(&self, what: &str) {
        (self.say.0)(&format!("sink `{}` {what}", self.name));
    }
}

fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}
