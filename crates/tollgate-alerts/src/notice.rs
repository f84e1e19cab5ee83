//! What a channel is given to tell: facts, not words. The words are made when it is sent, in the
//! language of the channel.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{Telling, TellingKind};
use crate::incident::{Incident, State};
use crate::measure::{By, Metric};
use crate::report::{JobFailure, Report};
use crate::rule::{Language, Severity};

/// Why somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// An alert has begun.
    Fired,
    /// It goes on.
    Repeated,
    /// It is over.
    Resolved,
    /// Another channel does not deliver.
    ChannelFailed,
    /// Somebody wants to know whether the channel works.
    Test,
    /// A day or a week is over.
    Report,
    /// A scheduled job found something wrong.
    JobFailed,
}

impl NoticeKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
            Self::ChannelFailed => "channel_failed",
            Self::Test => "test",
            Self::Report => "report",
            Self::JobFailed => "job_failed",
        }
    }
}

/// A channel that does not deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its name.
    pub channel: String,
    /// What came back, without addresses and secrets.
    pub why: String,
    /// What it was to tell.
    pub lost: String,
    /// Whether it is left alone from now on.
    pub is_disabled: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Why.
    pub kind: NoticeKind,
    /// When it was made.
    pub time: Timestamp,
    /// In which language.
    pub language: Language,
    /// About what.
    pub incidents: Vec<Incident>,
    /// How many more there are.
    pub more: usize,
    /// The channel that does not deliver, where it is about one.
    pub failure: Option<Failure>,
    /// The report, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<Report>>,
    /// What a job found, where it is that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobFailure>,
}

impl Notice {
    /// What a turn has to tell.
    pub fn of(telling: &Telling, now: Timestamp) -> Self {
        Self {
            kind: match telling.kind {
                TellingKind::Fired => NoticeKind::Fired,
                TellingKind::Repeated => NoticeKind::Repeated,
                TellingKind::Resolved => NoticeKind::Resolved,
            },
            time: now,
            language: telling.language,
            incidents: telling.incidents.clone(),
            more: telling.more,
            failure: None,
            report: None,
            job: None,
        }
    }

    /// That another channel does not deliver.
    pub fn of_failure(failure: Failure, language: Language, now: Timestamp) -> Self {
        Self { failure: Some(failure), ..Self::empty(NoticeKind::ChannelFailed, language, now) }
    }

    /// A report.
    pub fn of_report(report: Report, language: Language, now: Timestamp) -> Self {
        Self { report: Some(Box::new(report)), ..Self::empty(NoticeKind::Report, language, now) }
    }

    /// That a scheduled job found something wrong.
    pub fn of_job(job: JobFailure, language: Language, now: Timestamp) -> Self {
        Self { job: Some(job), ..Self::empty(NoticeKind::JobFailed, language, now) }
    }

    const fn empty(kind: NoticeKind, language: Language, time: Timestamp) -> Self {
        let incidents = Vec::new();
        Self { kind, time, language, incidents, more: 0, failure: None, report: None, job: None }
    }

    /// A sample.
    pub fn sample(language: Language, now: Timestamp) -> Self {
        Self { incidents: vec![sample(now)], ..Self::empty(NoticeKind::Test, language, now) }
    }

    /// How bad the worst of it is.
    pub fn severity(&self) -> Severity {
        match self.kind {
            NoticeKind::ChannelFailed => Severity::Warning,
            NoticeKind::JobFailed => Severity::Critical,
            NoticeKind::Test | NoticeKind::Report => Severity::Info,
            _ => self.incidents.iter().map(|it| it.severity).max().unwrap_or(Severity::Info),
        }
    }

    /// The type that webhooks name it with.
    pub fn topic(&self) -> String {
        match (&self.report, &self.job) {
            (Some(report), _) => format!("report.{}", report.period.as_str()),
            (_, Some(_)) => "job.failed".to_owned(),
            _ => format!("alert.{}", self.kind.as_str()),
        }
    }

    /// What names what it is about: the same for the begin and the end of an incident.
    pub fn thread(&self) -> String {
        if let Some(report) = &self.report {
            return format!("report/{}", report.period.as_str());
        }
        if let Some(job) = &self.job {
            return format!("job/{}", job.job);
        }
        match (self.kind, &self.failure, self.incidents.first()) {
            (NoticeKind::Test, ..) => "test".to_owned(),
            (_, Some(failure), _) => format!("channel/{}", failure.channel),
            (_, _, Some(incident)) => incident.key.clone(),
            _ => String::new(),
        }
    }
}

fn sample(now: Timestamp) -> Incident {
    Incident {
        key: "test".to_owned(),
        rule: "test".to_owned(),
        severity: Severity::Info,
        state: State::Firing,
        by: Some(By::User),
        subject: "alice".to_owned(),
        metric: Some(Metric::CostUsd),
        window: "1h".to_owned(),
        value: 31_200_000_000,
        bound: 7_500_000_000,
        is_above: true,
        usual: Some(500_000_000),
        budget: None,
        note: None,
        since: now,
        fired_at: Some(now),
        ended_at: None,
        until: None,
        last_held: now,
        told_at: None,
        models: Vec::new(),
        doing: None,
    }
}
