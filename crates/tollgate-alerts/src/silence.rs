//! Silences: nobody is told of what they match, and nothing is done about it, until they end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_admission::identity::matches_name;

use crate::incident::Incident;

/// Names that a silence may match.
pub const MATCHABLE: &[&str] = &[
    "rule", "severity", "user", "key", "ip", "model", "provider", "team", "feature", "limit",
    "plan", "session",
];

/// A silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its number.
    pub id: i64,
    /// What it matches: every one of these labels must have the value, or begin as it does where it
    /// ends with `*`.
    pub matchers: Vec<(String, String)>,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Silence {
    /// Whether it is in force for an incident.
    pub fn covers(&self, incident: &Incident, now: Timestamp) -> bool {
        let labels = incident.labels();
        self.until > now
            && !self.matchers.is_empty()
            && self.matchers.iter().all(|(name, pattern)| {
                labels.get(name).is_some_and(|value| matches_name(pattern, value))
            })
    }
}
