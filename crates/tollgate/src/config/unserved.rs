//! What a configuration may switch on and this version does not serve: one table, one row each.
//!
//! When a feature arrives its row is deleted here, and nothing else changes. A row refuses where
//! going on without the feature would be wrong or dangerous; otherwise it is a note that the start
//! and `tollgate check` print.

use std::fmt;

use serde::Serialize;

use super::{Config, CountersUrl, JobKind, StorageUrl};

/// Whether the program may start without a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It may not.
    Refuse,
    /// It may, and says so.
    Note,
}

/// A feature that the configuration switches on and this version does not serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unserved {
    /// Whether the program may start without it.
    pub severity: Severity,
    /// The key that switches it on.
    pub key: String,
    /// The line of the key, where there is a file.
    pub line: Option<u32>,
    /// What is not served, and what holds instead.
    pub sentence: &'static str,
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}: {}", self.key, self.sentence)
    }
}

struct Row {
    severity: Severity,
    /// The keys that switch it on.
    on: fn(&Config) -> Vec<String>,
    sentence: &'static str,
}

const fn refuse(on: fn(&Config) -> Vec<String>, sentence: &'static str) -> Row {
    Row { severity: Severity::Refuse, on, sentence }
}

const fn note(on: fn(&Config) -> Vec<String>, sentence: &'static str) -> Row {
    Row { severity: Severity::Note, on, sentence }
}

const ROWS: &[Row] = &[
    refuse(
        |c| when(matches!(c.storage.url, StorageUrl::Postgres(_)), "storage.url"),
        "PostgreSQL is not served by this version; use sqlite://PATH",
    ),
    refuse(
        |c| when(!matches!(c.counters.url, CountersUrl::Memory), "counters.url"),
        "Redis counters are not served by this version; use memory:",
    ),
    note(stripe, "Stripe is not served by this version; no usage is sent"),
    note(jobs, "this job is not served by this version; it does not run"),
];

impl Config {
    /// What is switched on and not served by this version: refusals first, then notes by line.
    pub fn unserved(&self) -> Vec<Unserved> {
        let mut found: Vec<Unserved> = ROWS
            .iter()
            .flat_map(|row| {
                (row.on)(self).into_iter().map(|key| Unserved {
                    severity: row.severity,
                    line: self.line_of(&key),
                    key,
                    sentence: row.sentence,
                })
            })
            .collect();
        found.sort_by_key(|unserved| (unserved.severity == Severity::Note, unserved.line));
        found
    }
}

fn when(on: bool, key: &str) -> Vec<String> {
    if on { vec![key.to_owned()] } else { Vec::new() }
}

fn stripe(config: &Config) -> Vec<String> {
    let on = config
        .stripe
        .as_ref()
        .is_some_and(|stripe| stripe.api_key.is_some() || stripe.webhook_secret.is_some());
    when(on, "billing.stripe")
}

fn jobs(config: &Config) -> Vec<String> {
    let others = config.jobs.others.keys().map(|kind| kind.as_str());
    others
        .filter(|name| JobKind::served(name).is_none())
        .map(|name| format!("jobs.{name}"))
        .collect()
}
