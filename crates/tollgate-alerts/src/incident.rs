//! An incident: one rule broken by one subject, from the first sign to the end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_domain::limit;
use tollgate_domain::money::NanoUsd;

use crate::condition::Comparison;
use crate::measure::{By, Metric};
use crate::rule::{Deed, Labels, Severity};

/// How an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The condition holds, not yet for as long as the rule asks.
    Pending,
    /// It is an alert.
    Firing,
    /// It is over.
    Resolved,
}

impl State {
    /// The word that documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// The figures of a limit that an incident is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Its name.
    pub limit: String,
    /// Its plan, where it stands in one.
    pub plan: Option<String>,
    /// Whose counter it is: the values of its scopes; empty for everybody together.
    pub scope: Vec<(String, String)>,
    /// What it counts.
    pub metric: limit::Metric,
    /// Over which time, as the configuration writes it.
    pub window: String,
    /// What is used, in the integer of its metric.
    pub used: i64,
    /// The maximum.
    pub max: i64,
    /// The step that was reached, in parts per thousand; `None` where a rule has a bound of its own.
    pub step: Option<u16>,
}

/// How far a deed has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It is to be done.
    Due,
    /// It is done, and stands.
    Standing,
    /// Somebody else had decided so before: it stands, and is not ours to end.
    Left,
    /// It could not be done.
    Failed,
    /// It has ended.
    Lifted,
}

impl Progress {
    /// The word that documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Standing => "standing",
            Self::Left => "left",
            Self::Failed => "failed",
            Self::Lifted => "lifted",
        }
    }
}

/// What is done about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    /// What.
    pub deed: Deed,
    /// Until when; until somebody undoes it where there is no end.
    pub until: Option<Timestamp>,
    /// How far it has come.
    pub progress: Progress,
    /// How often it was tried in vain.
    pub tries: u32,
}

/// One rule, broken by one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// What names it: the same over its life, and over restarts.
    pub key: String,
    /// The rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// How it stands.
    pub state: State,
    /// What the subject is.
    pub by: Option<By>,
    /// The subject; empty for everybody together.
    pub subject: String,
    /// What is measured; for steps of limits it stands in `budget`.
    pub metric: Option<Metric>,
    /// Over which time, as rules write it.
    pub window: String,
    /// The last value, in the unit of the metric.
    pub value: i64,
    /// The bound that was passed.
    pub bound: i64,
    /// On which side of it.
    pub is_above: bool,
    /// What is usual, where the rule asks for it.
    pub usual: Option<i64>,
    /// The limit, where it is about one.
    pub budget: Option<Budget>,
    /// What somebody said about a reading, such as why the store cannot write.
    pub note: Option<String>,
    /// Since when the condition holds.
    pub since: Timestamp,
    /// Since when it is an alert.
    pub fired_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// When the condition held last.
    pub last_held: Timestamp,
    /// When somebody was last told.
    pub told_at: Option<Timestamp>,
    /// The models that took most, and what.
    pub models: Vec<(String, NanoUsd)>,
    /// What is done about it.
    pub doing: Option<Doing>,
}

impl Incident {
    /// What silences are matched with, and labels are made of.
    pub fn labels(&self) -> Labels {
        let mut labels = Labels::new();
        let mut put = |name: &str, value: &str| {
            labels.insert(name.to_owned(), value.to_owned());
        };
        put("rule", &self.rule);
        put("severity", self.severity.as_str());
        if let Some(by) = self.by {
            put(by.as_str(), &self.subject);
        }
        if let Some(budget) = &self.budget {
            put("limit", &budget.limit);
            budget.plan.iter().for_each(|plan| put("plan", plan));
            budget.scope.iter().for_each(|(scope, value)| put(scope, value));
        }
        labels
    }

    /// Whether it can still be told, done about or ended.
    pub(crate) fn is_open(&self) -> bool {
        self.state != State::Resolved
    }

    /// Whether something that was done about it has to be undone some day by us. What is still due
    /// may have been done: a crash can come between a deed and its record.
    pub(crate) fn is_to_be_lifted(&self) -> bool {
        self.doing.as_ref().is_some_and(|doing| {
            let ends = matches!(doing.deed, Deed::Block | Deed::KillSwitch);
            let done = matches!(doing.progress, Progress::Standing | Progress::Due);
            ends && doing.until.is_some() && done
        })
    }

    /// Whether it was an alert that ended before anybody was told.
    pub(crate) fn is_untold(&self) -> bool {
        self.state == State::Resolved && self.fired_at.is_some() && self.told_at.is_none()
    }
}

/// Whether a comparison means that more is worse.
pub(crate) const fn is_above(comparison: Comparison) -> bool {
    comparison.is_upwards()
}
