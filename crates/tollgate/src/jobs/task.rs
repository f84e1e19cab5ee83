//! What a job is given and what it gives back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tollgate_alerts::notice::Notice;
use tollgate_alerts::rule::Language;
use tollgate_store::NoticeRecord;

use super::metrics::JobMetrics;
use super::{price_refresh, probe, purge, report, rollup_check};
use crate::alerts;
use crate::config::{Config, JobKind};
use crate::serve::Handle;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Well, and what there is to say.
    Success(String),
    /// Not well, and why.
    Failed(String),
    /// It was told to stop before it was done.
    Stopped,
}

/// What came of a job.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) outcome: Outcome,
    /// What people are told.
    pub(super) notices: Vec<NoticeRecord>,
}

impl Run {
    pub(super) fn success(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Success(message.into()), notices: Vec::new() }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed(message.into()), notices: Vec::new() }
    }

    pub(super) const fn stopped() -> Self {
        Self { outcome: Outcome::Stopped, notices: Vec::new() }
    }
}

/// Tells a job to stop between two steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A job that is to be run.
pub(super) struct Task {
    pub(super) handle: Handle,
    pub(super) metrics: JobMetrics,
    pub(super) kind: JobKind,
    /// The instant of the schedule that the run is for, or when somebody asked.
    pub(super) at: Timestamp,
    pub(super) stop: Stop,
}

impl Task {
    /// Runs it, on a thread of its own.
    pub(super) fn run(&self) -> Run {
        let run = match self.kind {
            JobKind::Purge => purge::run(self),
            JobKind::RollupCheck => rollup_check::run(self),
            JobKind::DailyReport | JobKind::WeeklyReport => report::run(self),
            JobKind::PriceRefresh => price_refresh::run(self),
            JobKind::Probe => probe::run(self),
            JobKind::StripeUpload | JobKind::Statement => {
                Err(anyhow::anyhow!("this version does not serve it"))
            }
        };
        run.unwrap_or_else(|error| Run::failed(format!("{error:#}")))
    }

    /// The configuration in force.
    pub(super) fn config(&self) -> Config {
        self.handle.config.lock().clone()
    }

    /// A message for each channel of the job, in its language.
    pub(super) fn notices(
        &self,
        config: &Config,
        notice: impl Fn(Language) -> Notice,
    ) -> Vec<NoticeRecord> {
        notices(self.kind, config, notice)
    }
}

/// A message for each channel of a job, in its language.
pub(super) fn notices(
    kind: JobKind,
    config: &Config,
    notice: impl Fn(Language) -> Notice,
) -> Vec<NoticeRecord> {
    let Some(job) = config.jobs.others.get(&kind) else { return Vec::new() };
    let channels = config.alerts.channels.iter().map(|own| &own.channel);
    channels
        .filter(|channel| job.channels.contains(&channel.name))
        .map(|channel| alerts::notice_record(&channel.name, &notice(channel.language)))
        .collect()
}
