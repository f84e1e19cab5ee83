//! Scheduled work: a thread that looks at what is due, and one thread for each job that runs.
//!
//! What is due is a function of the schedule and of what the database says was dealt with
//! ([`crate::schedule`]), so nothing is lost or done twice over a restart: downtime is caught up once.
//! A job is run by whoever holds its lease. The lease is renewed while the job runs; where the program
//! dies it runs out and the job is due again. A job has one file, takes a [`Task`] and gives a
//! [`Run`]; what it tells people is written with its end in one transaction.
//!
//! No call waits for a job: jobs work in short transactions and read from connections of their own.

mod metrics;
mod price_refresh;
mod probe;
mod purge;
mod report;
mod retry;
mod rollup_check;
mod rota;
mod task;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::config::JobKind;
use crate::serve::Handle;
pub(crate) use metrics::JobMetrics;
use rota::Rota;

/// How long a job is held without being renewed.
pub(crate) const LEASE: SignedDuration = SignedDuration::from_secs(30);

/// What the threads of jobs share with whoever starts, reloads and ends the program, and asks for a
/// job.
#[derive(Debug)]
pub(crate) struct Link {
    /// Who holds the leases that this program takes.
    pub(crate) holder: String,
    /// Jobs that somebody asked for and whose lease is taken.
    asked: Mutex<Vec<JobKind>>,
    metrics: JobMetrics,
    changed: AtomicBool,
    ending: AtomicBool,
}

impl Link {
    /// A link of a program that began at `started`.
    pub(crate) fn new(metrics: JobMetrics, started: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            holder: format!("{}-{}", std::process::id(), started.as_microsecond()),
            asked: Mutex::default(),
            metrics,
            changed: AtomicBool::new(true),
            ending: AtomicBool::new(false),
        })
    }

    /// Another configuration is in force.
    pub(crate) fn reload(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Runs a job whose lease was taken for [`Link::holder`].
    pub(crate) fn run(&self, kind: JobKind) {
        self.asked.lock().push(kind);
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }
}

/// The threads of jobs.
#[derive(Debug)]
pub(crate) struct Threads {
    link: Arc<Link>,
    looking: Mutex<Option<JoinHandle<()>>>,
}

impl Threads {
    /// Starts them.
    pub(crate) fn start(handle: &Handle) -> anyhow::Result<Self> {
        let link = Arc::clone(&handle.jobs);
        let rota = Rota::new(handle)?;
        let looking = spawn("jobs", move || rota.look_after())?;
        Ok(Self { link, looking: Mutex::new(Some(looking)) })
    }

    /// Ends them. A job that was not done is due again at the next start.
    pub(crate) fn end(&self) {
        self.link.ending.store(true, Ordering::Release);
        if let Some(looking) = self.looking.lock().take() {
            looking.thread().unpark();
            // A thread that panicked has nothing left to write.
            drop(looking.join());
        }
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// The instant so much later.
pub(crate) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
