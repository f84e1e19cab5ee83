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
mod rollup_check;
mod task;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tollgate_store::{JobClaim, JobEnd, NoticeRecord, Registry};

use crate::config::{JobKind, JobPlan};
use crate::out;
use crate::schedule::Due;
use crate::serve::Handle;
pub(crate) use metrics::JobMetrics;
use task::{Outcome, Run, Stop, Task};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How long a job is held without being renewed.
pub(crate) const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// How often the lease of a job that runs is renewed.
const RENEW: SignedDuration = SignedDuration::from_secs(10);
/// How soon a job that another holds is asked for again.
const AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// How long the end of the program waits for jobs to come to a stop.
const LAST: Duration = Duration::from_secs(3);

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

/// A job that has a schedule.
struct Planned {
    plan: JobPlan,
    /// Up to here its schedule is dealt with.
    done: Timestamp,
    /// When to look at it again.
    next: Timestamp,
}

/// A job that runs.
struct Running {
    kind: JobKind,
    stop: Stop,
    renewed: Timestamp,
    thread: JoinHandle<Run>,
}

/// What is planned and what runs.
struct Rota {
    link: Arc<Link>,
    handle: Handle,
    registry: Registry,
    planned: BTreeMap<JobKind, Planned>,
    running: Vec<Running>,
    troubled: bool,
}

impl Rota {
    fn new(handle: &Handle) -> anyhow::Result<Self> {
        let registry = Registry::open(&handle.database)?;
        for record in registry.jobs()? {
            if let (Some(kind), Some(at)) = (JobKind::served(&record.name), record.succeeded) {
                handle.jobs.metrics.succeeded(kind, at);
            }
        }
        Ok(Self {
            link: Arc::clone(&handle.jobs),
            handle: handle.clone(),
            registry,
            planned: BTreeMap::new(),
            running: Vec::new(),
            troubled: false,
        })
    }

    /// Looks until the program ends, and then stops what runs.
    fn look_after(mut self) {
        while !self.link.is_ending() {
            match self.look(self.handle.ground.clock.now()) {
                Ok(()) => self.troubled = false,
                Err(error) => self.trouble(&error),
            }
            thread::park_timeout(LOOK);
        }
        self.running.iter().for_each(|running| running.stop.ask());
        let clock = &self.handle.ground.clock;
        let begun = clock.monotonic();
        while !self.running.iter().all(|running| running.thread.is_finished())
            && clock.monotonic().saturating_sub(begun) < LAST
        {
            thread::park_timeout(Duration::from_millis(10));
        }
        if let Err(error) = self.gather(self.handle.ground.clock.now()) {
            self.trouble(&error);
        }
    }

    /// Says what went wrong, once until it goes well again.
    fn trouble(&mut self, error: &anyhow::Error) {
        if !self.troubled {
            out::note(format_args!("scheduled jobs cannot be looked after: {error:#}"));
        }
        self.troubled = true;
    }

    fn look(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.gather(now)?;
        self.renew(now)?;
        if self.link.changed.swap(false, Ordering::AcqRel)
            && let Err(error) = self.plan(now)
        {
            self.link.reload();
            return Err(error);
        }
        let asked = std::mem::take(&mut *self.link.asked.lock());
        for kind in asked {
            self.start(kind, now)?;
        }
        let due = |(kind, planned): (&JobKind, &Planned)| (planned.next <= now).then_some(*kind);
        let due: Vec<JobKind> = self.planned.iter().filter_map(due).collect();
        due.into_iter().try_for_each(|kind| self.take(kind, now))
    }

    /// Goes by the configuration in force.
    fn plan(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let plans: BTreeMap<JobKind, JobPlan> = {
            let jobs = &self.handle.config.lock().jobs;
            let plan = |kind| Some((kind, jobs.plan(kind).filter(|plan| plan.enabled)?.clone()));
            JobKind::SERVED.into_iter().filter_map(plan).collect()
        };
        self.planned.retain(|kind, planned| plans.get(kind) == Some(&planned.plan));
        for (kind, plan) in plans {
            if !self.planned.contains_key(&kind) {
                let schedule = plan.schedule.to_string();
                let done = self.registry.plan_job(kind.as_str(), &schedule, now)?.done;
                self.planned.insert(kind, Planned { plan, done, next: now });
            }
        }
        Ok(())
    }

    /// Starts a job that is due, where nobody else does.
    fn take(&mut self, kind: JobKind, now: Timestamp) -> anyhow::Result<()> {
        let Some(planned) = self.planned.get_mut(&kind) else { return Ok(()) };
        let due = match planned.plan.schedule.due(planned.done, now) {
            Due::Now(due) => due,
            Due::At(next) => {
                planned.next = next;
                return Ok(());
            }
            Due::Never => {
                planned.next = Timestamp::MAX;
                return Ok(());
            }
        };
        let (name, holder) = (kind.as_str(), &*self.link.holder);
        let until = later(now, LEASE);
        let claim = JobClaim { name, holder, due: Some(due), now, until };
        if self.registry.take_job(&claim)? {
            self.start_for(kind, due, now)?;
            if let Some(planned) = self.planned.get_mut(&kind) {
                planned.next = Timestamp::MAX;
            }
            return Ok(());
        }
        // Another runs it, or has done so.
        let schedule = planned.plan.schedule.to_string();
        planned.done = self.registry.plan_job(name, &schedule, now)?.done;
        planned.next = later(now, AGAIN);
        Ok(())
    }

    fn start(&mut self, kind: JobKind, now: Timestamp) -> anyhow::Result<()> {
        self.start_for(kind, now, now)
    }

    /// Starts a job whose lease is ours, as of `at`.
    fn start_for(&mut self, kind: JobKind, at: Timestamp, now: Timestamp) -> anyhow::Result<()> {
        let stop = Stop::default();
        let task = Task {
            handle: self.handle.clone(),
            metrics: self.link.metrics.clone(),
            kind,
            at,
            stop: stop.clone(),
        };
        let thread = spawn(&format!("job-{}", kind.as_str()), move || task.run())?;
        self.running.push(Running { kind, stop, renewed: now, thread });
        Ok(())
    }

    /// Holds what runs for longer. A job that was taken over by another is told to stop.
    fn renew(&mut self, now: Timestamp) -> anyhow::Result<()> {
        for running in &mut self.running {
            if now.duration_since(running.renewed).abs() < RENEW {
                continue;
            }
            let (name, until) = (running.kind.as_str(), later(now, LEASE));
            if !self.registry.renew_job(name, &self.link.holder, until)? {
                running.stop.ask();
            }
            running.renewed = now;
        }
        Ok(())
    }

    /// Writes down what came of jobs that have ended.
    fn gather(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let mut wrong = None;
        for ended in self.running.extract_if(.., |running| running.thread.is_finished()) {
            let kind = ended.kind;
            let run = ended.thread.join().unwrap_or_else(|_| Run::failed("the job broke off"));
            let end = End { registry: &self.registry, link: &self.link, now };
            if let Err(error) = end.write(kind, &run) {
                wrong = Some(error);
            }
            if let Some(planned) = self.planned.get_mut(&kind) {
                let schedule = planned.plan.schedule.to_string();
                match self.registry.plan_job(kind.as_str(), &schedule, now) {
                    Ok(record) => planned.done = record.done,
                    Err(error) => wrong = Some(error.into()),
                }
                planned.next = now;
            }
        }
        wrong.map_or(Ok(()), Err)
    }
}

/// Where the end of a job is written.
struct End<'a> {
    registry: &'a Registry,
    link: &'a Link,
    now: Timestamp,
}

impl End<'_> {
    fn write(&self, kind: JobKind, run: &Run) -> anyhow::Result<()> {
        let (name, holder) = (kind.as_str(), &*self.link.holder);
        let (is_success, message) = match &run.outcome {
            Outcome::Success(message) => (true, message),
            Outcome::Failed(message) => (false, message),
            Outcome::Stopped => return Ok(self.registry.release_job(name, holder)?),
        };
        let notices: &[NoticeRecord] = &run.notices;
        let end = JobEnd { name, holder, at: self.now, is_success, message };
        if !self.registry.end_job(&end, notices)? {
            out::note(format_args!("job {name}: another program has taken it over"));
            return Ok(());
        }
        if !is_success {
            out::note(format_args!("error: job {name}: {message}"));
        }
        self.link.metrics.ended(kind, is_success.then_some(self.now));
        Ok(())
    }
}

/// The instant so much later.
pub(crate) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
