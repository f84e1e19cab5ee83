//! A limit: whose counter, of what, over which window, up to where, and what happens then (SPEC §5).

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Whose counter a limit is. Several together mean one counter per combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The user who pays.
    User,
    /// The key that was used.
    Key,
    /// The team of the user.
    Team,
    /// The caller's address (IPv6 by /64).
    Ip,
    /// The provider that serves.
    Provider,
    /// The public model name.
    Model,
    /// What the application calls the action.
    Feature,
    /// One run of an agent.
    Session,
    /// Everybody together.
    Global,
}

impl Scope {
    /// The word that configuration and documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Key => "key",
            Self::Team => "team",
            Self::Ip => "ip",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Feature => "feature",
            Self::Session => "session",
            Self::Global => "global",
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Every admitted call.
    Requests,
    /// Calls that completed; a failed one costs the user nothing.
    Successes,
    /// Tokens in.
    InputTokens,
    /// Tokens out.
    OutputTokens,
    /// Tokens in and out.
    Tokens,
    /// Money, counted in nano-dollars.
    CostUsd,
    /// Calls in flight.
    Concurrency,
    /// Amounts of actions that are not calls (reservations API).
    Units,
}

impl Metric {
    /// The word that configuration and documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Successes => "successes",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Tokens => "tokens",
            Self::CostUsd => "cost_usd",
            Self::Concurrency => "concurrency",
            Self::Units => "units",
        }
    }
}

/// Over which time a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// In no span of this many milliseconds is more admitted than the maximum.
    Sliding {
        /// The span in milliseconds.
        millis: u64,
    },
    /// A calendar day in the limit's time zone.
    Day,
    /// A calendar week (from Monday) in the limit's time zone.
    Week,
    /// A calendar month in the limit's time zone.
    Month,
    /// The last so many calendar days, today included: it rolls, it is never reset.
    Rolling {
        /// How many days.
        days: u16,
    },
    /// For ever.
    Total,
    /// A prepaid balance that is topped up.
    Balance,
    /// No window: what is there right now (concurrency).
    Now,
}

/// The form of the configuration: `sliding 60s`, `day`, `rolling 30d`. A span is written in the
/// largest unit that it holds at least twice (`60s`, not `1m`).
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Sliding { millis } => {
                let (count, unit) =
                    [(86_400_000, 2, "d"), (3_600_000, 2, "h"), (60_000, 2, "m"), (1_000, 1, "s")]
                        .into_iter()
                        .find(|(size, least, _)| millis >= least * size && millis % size == 0)
                        .map_or((millis, "ms"), |(size, _, unit)| (millis / size, unit));
                write!(f, "sliding {count}{unit}")
            }
            Self::Day => f.write_str("day"),
            Self::Week => f.write_str("week"),
            Self::Month => f.write_str("month"),
            Self::Rolling { days } => write!(f, "rolling {days}d"),
            Self::Total => f.write_str("total"),
            Self::Balance => f.write_str("balance"),
            Self::Now => f.write_str("now"),
        }
    }
}

/// What happens to a call that a limit does not cover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnLimit {
    /// It is refused.
    #[default]
    Deny,
    /// Its maximum output is lowered to what the remainder affords; refused where nothing useful is left.
    Clamp,
    /// It is served by this cheaper model.
    Downgrade(Arc<str>),
    /// It passes, and somebody is told.
    Alert,
}

/// Whether a limit decides, or only reports what it would have decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It decides.
    #[default]
    Enforce,
    /// It counts and reports, and refuses nothing.
    Shadow,
}

/// One limit, checked and resolved.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Its name, unique within its plan (or among the limits outside plans).
    pub name: Arc<str>,
    /// Whose counter it is; sorted, without repetition, never empty.
    pub scope: Vec<Scope>,
    /// What is counted.
    pub metric: Metric,
    /// Over which time.
    pub window: Window,
    /// The maximum in the metric's own integer (calls, tokens, nano-dollars); `None` is unlimited.
    pub max: Option<i64>,
    /// What happens beyond it.
    pub on_limit: OnLimit,
    /// Whether it decides.
    pub mode: Mode,
    /// Steps of use, in parts per thousand, that fire an alert once per window.
    pub warn_at: Vec<u16>,
    /// Share of unused allowance that is carried over, in parts per thousand of the maximum.
    pub rollover: u16,
    /// The zone of calendar windows.
    pub zone: TimeZone,
    /// Applies to calls of this feature only.
    pub feature: Option<Arc<str>>,
    /// Applies to calls of these models only (public names; a trailing `*` matches a prefix).
    pub models: Vec<Arc<str>>,
    /// Applies to calls served by these providers only.
    pub providers: Vec<Arc<str>>,
}

/// A named set of limits.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub name: Arc<str>,
    /// Its limits, in the order of the configuration.
    pub limits: Vec<Arc<Limit>>,
}
