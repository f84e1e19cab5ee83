//! Looks after jobs: starts what is due and was asked for, holds what runs, and writes down what came
//! of it. It knows no job by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tollgate_alerts::notice::Notice;
use tollgate_alerts::report::JobFailure;
use tollgate_store::{JobClaim, JobEnd, JobRecord, NoticeRecord, Registry};

use super::task::{self, Outcome, Run, Stop, Task};
use super::{LEASE, Link, later, retry, spawn};
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
    /// How many runs have failed for what is due.
    tries: u32,
    /// When the next of them may begin.
    again: Option<Timestamp>,
    /// When to look at it again.
    next: Timestamp,
}

impl Planned {
    /// Goes by what the database says, and is looked at again at `next`.
    fn go_by(&mut self, record: &JobRecord, next: Timestamp) {
        (self.done, self.tries, self.again) = (record.done, record.tries, record.again);
        self.next = next;
    }
}

/// A job that runs.
struct Running {
    kind: JobKind,
    /// The instant of the schedule that it is for; `None` where a person asked.
    due: Option<Timestamp>,
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
        self.put_back(now)?;
        let due = |(kind, planned): (&JobKind, &Planned)| (planned.next <= now).then_some(*kind);
        let due: Vec<JobKind> = self.planned.iter().filter_map(due).collect();
        due.into_iter().try_for_each(|kind| self.take(kind, now))
    }

    /// Where the clock was put back: what it dealt with in advance is due again in its time.
    fn put_back(&mut self, now: Timestamp) -> anyhow::Result<()> {
        for (kind, planned) in self.planned.iter_mut().filter(|(_, planned)| planned.done > now) {
            let schedule = planned.plan.schedule.to_string();
            planned.go_by(&self.registry.plan_job(kind.as_str(), &schedule, now)?, now);
        }
        Ok(())
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
                let JobRecord { done, tries, again, .. } = record;
                self.planned.insert(kind, Planned { plan, done, tries, again, next: now });
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
        if let Some(again) = planned.again.filter(|again| *again > now) {
            planned.next = again;
            return Ok(());
        }
        let (name, holder) = (kind.as_str(), &*self.link.holder);
        let until = later(now, LEASE);
        let claim = JobClaim { name, holder, due: Some(due), now, until };
        if self.registry.take_job(&claim)? {
            self.start_for(kind, Some(due), now)?;
            if let Some(planned) = self.planned.get_mut(&kind) {
                planned.next = Timestamp::MAX;
            }
            return Ok(());
        }
        // Another runs it, or has done so.
        let schedule = planned.plan.schedule.to_string();
        let record = self.registry.plan_job(name, &schedule, now)?;
        self.link.metrics.stands(kind, &record);
        planned.go_by(&record, later(now, AGAIN));
        Ok(())
    }

    fn start(&mut self, kind: JobKind, now: Timestamp) -> anyhow::Result<()> {
        self.start_for(kind, None, now)
    }

    /// Starts a job whose lease is ours, as of the instant that it is due for.
    fn start_for(
        &mut self,
        kind: JobKind,
        due: Option<Timestamp>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let stop = Stop::default();
        let task = Task {
            handle: self.handle.clone(),
            metrics: self.link.metrics.clone(),
            kind,
            at: due.unwrap_or(now),
            stop: stop.clone(),
        };
        let thread = spawn(&format!("job-{}", kind.as_str()), move || task.run())?;
        self.running.push(Running { kind, due, stop, renewed: now, thread });
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
            let planned = self.planned.get_mut(&kind);
            let again = planned.as_ref().zip(ended.due).and_then(|(planned, due)| {
                retry::again(kind, &planned.plan.schedule, (due, planned.tries), now)
            });
            let end = End { registry: &self.registry, handle: &self.handle, now, again };
            if let Err(error) = end.write(kind, ended.due, run) {
                wrong = Some(error);
            }
            if let Some(planned) = planned {
                let schedule = planned.plan.schedule.to_string();
                match self.registry.plan_job(kind.as_str(), &schedule, now) {
                    Ok(record) => {
                        self.link.metrics.stands(kind, &record);
                        planned.go_by(&record, now);
                    }
                    Err(error) => {
                        planned.next = now;
                        wrong = Some(error.into());
                    }
                }
            }
        }
        wrong.map_or(Ok(()), Err)
    }
}

/// Where the end of a job is written.
struct End<'a> {
    registry: &'a Registry,
    handle: &'a Handle,
    now: Timestamp,
    /// When it is tried again where it has failed, if it is.
    again: Option<Timestamp>,
}

impl End<'_> {
    fn write(&self, kind: JobKind, due: Option<Timestamp>, run: Run) -> anyhow::Result<()> {
        let link = &self.handle.jobs;
        let (name, holder) = (kind.as_str(), &*link.holder);
        let Run { outcome, mut notices } = run;
        let (is_success, message) = match &outcome {
            Outcome::Success(message) => (true, message),
            Outcome::Failed(message) => (false, message),
            Outcome::Stopped => return Ok(self.registry.release_job(name, holder)?),
        };
        let again = self.again.filter(|_| !is_success);
        if !is_success && again.is_none() && due.is_some() && retry::is_retried(kind) {
            notices.extend(self.given_up(kind, message));
        }
        let end = JobEnd { name, holder, at: self.now, is_success, message, again };
        if !self.registry.end_job(&end, &notices)? {
            out::note(format_args!("job {name}: another program has taken it over"));
            return Ok(());
        }
        if !is_success {
            out::note(format_args!("error: job {name}: {message}"));
        }
        link.metrics.ended(kind, is_success);
        Ok(())
    }

    /// That a job is not tried again before it is due next, for its channels.
    fn given_up(&self, kind: JobKind, why: &str) -> Vec<NoticeRecord> {
        let failure = JobFailure { job: kind.as_str().to_owned(), why: why.to_owned() };
        let config = self.handle.config.lock().clone();
        task::notices(kind, &config, |language| Notice::of_job(failure.clone(), language, self.now))
    }
}
