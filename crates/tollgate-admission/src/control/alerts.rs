//! Alerts as operators see them, and what they may do about them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An alert: one rule, broken by one subject.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertRow {
    /// What names it.
    pub key: String,
    /// The rule.
    pub rule: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// `pending`, `firing` or `resolved`.
    pub state: String,
    /// What it is about, in the language of `[alerts]`.
    pub text: String,
    /// What silences are matched with.
    pub labels: BTreeMap<String, String>,
    /// Since when its condition holds.
    pub since: Timestamp,
    /// Since when it is an alert.
    pub fired_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When somebody was last told.
    pub told_at: Option<Timestamp>,
    /// Whether a silence holds it.
    pub silenced: bool,
    /// What was done about it: `throttle`, `quota_zero`, `block` or `kill_switch`.
    pub action: Option<String>,
    /// How far that has come: `due`, `standing`, `failed` or `lifted`.
    pub action_state: Option<String>,
    /// Until when it holds; null until somebody undoes it.
    pub action_until: Option<Timestamp>,
}

/// Something that happened to an alert.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertEventRow {
    /// Its number; grows with time.
    pub id: i64,
    /// When.
    pub time: Timestamp,
    /// What: `fired` or `resolved`.
    pub happened: String,
    /// The alert as it was then.
    pub alert: AlertRow,
}

/// A rule in force.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertRuleRow {
    /// Its name.
    pub name: String,
    /// Its condition.
    pub when: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// Who is told.
    pub channels: Vec<String>,
    /// What it does besides.
    pub action: Option<String>,
    /// Whether it is a shipped one, as it is or changed.
    pub shipped: bool,
    /// How many alerts it has at present.
    pub firing: u64,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct AlertHistoryQuery {
    /// Only of this rule.
    pub rule: Option<String>,
    /// Only of this alert.
    pub key: Option<String>,
    /// At most so many rows, from 1 to 500; 50 where nothing is said.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A silence: nobody is told of what it matches, and nothing is done about it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SilenceRow {
    /// Its number.
    pub id: i64,
    /// What it matches: every label must have its value, or begin so where it ends with `*`.
    pub matchers: BTreeMap<String, String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// A silence to make.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSilence {
    /// What it matches: labels such as `rule`, `user` or `severity`, and their values; a `*` at the
    /// end matches any end.
    pub matchers: BTreeMap<String, String>,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// A sample to send.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AlertTest {
    /// Through this channel only; through every one where nothing is said.
    pub channel: Option<String>,
}

/// What came back for a sample.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertTestRow {
    /// The channel.
    pub channel: String,
    /// What it is.
    pub kind: String,
    /// `delivered`, `failed` (it may pass), `refused` or `gone` (it takes nothing any more).
    pub outcome: String,
    /// What came back, where it was not delivered.
    pub why: Option<String>,
}
