//! Scheduled work: how it stands, and running a job beside its schedule.

use std::collections::HashMap;

use jiff::Timestamp;
use tollgate_admission::control::{Actor, ControlError, JobRow};
use tollgate_store::{JobClaim, JobRecord};

use super::{Controls, Deed, failed};
use crate::config::{JobKind, JobPlan};
use crate::jobs::{LEASE, later};
use crate::schedule::Due;

impl Controls {
    pub(super) fn list_jobs(&self) -> Result<Vec<JobRow>, ControlError> {
        let now = self.clock.now();
        let records = self.registry.lock().jobs()?.into_iter();
        let mut records: HashMap<_, _> = records.map(|it| (it.name.clone(), it)).collect();
        let jobs = &self.config.lock().jobs;
        let row = |kind: JobKind| row(kind, jobs.plan(kind), (records.remove(kind.as_str()), now));
        Ok(JobKind::SERVED.into_iter().map(row).collect())
    }

    pub(super) fn start_job(&self, by: &Actor, name: &str) -> Result<JobRow, ControlError> {
        let not_found = || ControlError::NotFound { what: "job", name: name.to_owned() };
        let kind = JobKind::served(name).ok_or_else(not_found)?;
        let Some(live) = &self.live else {
            return Err(ControlError::Conflict("jobs are run by the server".to_owned()));
        };
        let now = self.clock.now();
        let registry = self.registry.lock();
        let plan = self.config.lock().jobs.plan(kind).cloned();
        let plan = plan.ok_or_else(|| {
            ControlError::Conflict(format!("the job `{name}` is not configured: see [jobs.{name}]"))
        })?;
        registry.plan_job(name, &plan.schedule.to_string(), now)?;
        let link = &live.handle.jobs;
        let until = later(now, LEASE);
        let claim = JobClaim { name, holder: &link.holder, due: None, now, until };
        registry.change(|change| {
            if !change.take_job(&claim)? {
                let running = format!("the job `{name}` is running");
                return Err(ControlError::Conflict(running));
            }
            let deed = Deed { by, action: "job.run", subject: name };
            deed.note(change, &self.clock, (None::<&()>, None::<&()>))
        })?;
        link.run(kind);
        let record = registry.jobs()?.into_iter().find(|record| record.name == name);
        let record = record.ok_or_else(|| failed(anyhow::anyhow!("the job is gone")))?;
        Ok(row(kind, Some(&plan), (Some(record), now)))
    }
}

fn row(
    kind: JobKind,
    plan: Option<&JobPlan>,
    (record, now): (Option<JobRecord>, Timestamp),
) -> JobRow {
    let enabled = plan.is_some_and(|plan| plan.enabled);
    let lease = record.as_ref().and_then(|record| record.lease.as_ref());
    let running = lease.is_some_and(|(_, until)| *until > now);
    let interrupted = lease.is_some() && !running;
    let next = plan.filter(|plan| plan.enabled).and_then(|plan| {
        let known = record.as_ref().filter(|it| it.schedule == plan.schedule.to_string());
        match plan.schedule.due(known.map_or(now, |it| it.done), now) {
            Due::Now(_) if running => plan.schedule.next_after(now),
            Due::Now(at) | Due::At(at) => Some(at),
            Due::Never => None,
        }
    });
    let zone = plan.map(|plan| plan.schedule.zone().iana_name().unwrap_or("UTC").to_owned());
    let last = record.as_ref();
    JobRow {
        name: kind.as_str().to_owned(),
        configured: plan.is_some(),
        enabled,
        schedule: plan.map(|plan| plan.schedule.text().to_owned()),
        timezone: zone,
        running,
        last_started: last.and_then(|it| it.started),
        last_ended: last.and_then(|it| it.ended),
        outcome: if interrupted {
            Some("interrupted".to_owned())
        } else {
            last.and_then(|it| it.outcome.clone())
        },
        message: last.and_then(|it| it.message.clone()).filter(|_| !interrupted),
        last_success: last.and_then(|it| it.succeeded),
        next,
    }
}
