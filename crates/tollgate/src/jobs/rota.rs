//! Looks after jobs: starts what is due and was asked for, holds what runs, and writes down what came
//! of it. It knows no job by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tollgate_store::{JobClaim, JobEnd, NoticeRecord, Registry};

use super::task::{Outcome, Run, Stop, Task};
use super::{LEASE, Link, later, spawn};
use crate::config::{JobKind, JobPlan};
use crate::out;
use crate::schedule::Due;
use crate::serve::Handle;

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How often the lease of a job that runs is renewed.
const RENEW: SignedDuration = SignedDuration::from_secs(10);
/// How soon a job that another holds is asked for again.
const AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// How long the end of the program waits for jobs to come to a stop.
const LAST: Duration = Duration::from_secs(3);

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
pub(super) struct Rota {
    link: Arc<Link>,
    handle: Handle,
    registry: Registry,
    planned: BTreeMap<JobKind, Planned>,
    running: Vec<Running>,
    troubled: bool,
}

impl Rota {
    /// Opens what it needs; nothing runs yet.
    pub(super) fn new(handle: &Handle) -> anyhow::Result<Self> {
        Ok(Self {
            link: Arc::clone(&handle.jobs),
            handle: handle.clone(),
            registry: Registry::open(&handle.database)?,
            planned: BTreeMap::new(),
            running: Vec::new(),
            troubled: false,
        })
    }

    /// Looks until the program ends, and then stops what runs.
    pub(super) fn look_after(mut self) {
        while !self.link.is_ending() {
            match self.look(self.handle.ground.clock.now()) {
                Ok(()) => self.troubled = false,
                Err(error) => self.trouble(&error),
            }
            thread::park_timeout(LOOK);
        }
        self.running.iter().for_each(|running| running.stop.ask());
        for kind in std::mem::take(&mut *self.link.asked.lock()) {
            // Where this fails its lease runs out.
            drop(self.registry.release_job(kind.as_str(), &self.link.holder));
        }
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
        let off = JobKind::SERVED.into_iter().filter(|kind| !plans.contains_key(kind));
        off.for_each(|kind| self.link.metrics.switched_off(kind));
        for (kind, plan) in plans {
            if !self.planned.contains_key(&kind) {
                let schedule = plan.schedule.to_string();
                let record = self.registry.plan_job(kind.as_str(), &schedule, now)?;
                self.link.metrics.stands(kind, &record);
                self.planned.insert(kind, Planned { plan, done: record.done, next: now });
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
        let record = self.registry.plan_job(name, &schedule, now)?;
        self.link.metrics.stands(kind, &record);
        planned.done = record.done;
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
                    Ok(record) => {
                        self.link.metrics.stands(kind, &record);
                        planned.done = record.done;
                    }
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
        self.link.metrics.ended(kind, is_success);
        Ok(())
    }
}
