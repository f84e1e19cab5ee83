//! What a rule measures: a metric, for whom, over which window, of which calls.
//!
//! Every value is an integer in the unit of its metric (nano-dollars, counts, parts per million,
//! microseconds), so that nothing here is ever compared through a binary float.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_admission::identity::matches_name;
use tollgate_domain::call::CallRecord;

/// In what a metric is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nano-dollars.
    Usd,
    /// Things.
    Count,
    /// Parts per million.
    Ratio,
    /// Microseconds.
    Duration,
}

/// Where the values of a metric come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From finished calls.
    Calls,
    /// From things that happen beside calls.
    Signals,
    /// From a reading of how something stands.
    Gauges,
}

macro_rules! metrics {
    ($($variant:ident, $word:literal, $unit:ident, $source:ident, $doc:literal;)*) => {
        /// What is measured.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Metric {
            $(#[doc = $doc] #[serde(rename = $word)] $variant,)*
        }

        impl Metric {
            /// Every metric, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word that rules use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// In what it is counted.
            pub const fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit),* }
            }

            /// Where it comes from.
            pub const fn source(self) -> Source {
                match self { $(Self::$variant => Source::$source),* }
            }

            /// What it means, for the documentation.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc),* }
            }
        }
    };
}

metrics! {
    CostUsd, "cost_usd", Usd, Calls, "What calls cost, in USD.";
    Calls, "calls", Count, Calls, "Calls that were admitted.";
    FailedCalls, "failed_calls", Count, Calls, "Calls that failed: a 5xx, or an answer that broke off.";
    Refusals, "refusals", Count, Calls, "Calls that were refused.";
    GuestCalls, "guest_calls", Count, Calls, "Calls without credentials, served or refused.";
    Tokens, "tokens", Count, Calls, "Tokens in and out.";
    InputTokens, "input_tokens", Count, Calls, "Tokens in.";
    OutputTokens, "output_tokens", Count, Calls, "Tokens out.";
    CallCostUsd, "call_cost_usd", Usd, Calls, "What the dearest single call cost, in USD.";
    ErrorRate, "error_rate", Ratio, Calls, "The share of calls that failed.";
    LatencyP50, "latency_p50", Duration, Calls, "From arrival to the end of the answer: half of the calls took longer.";
    LatencyP95, "latency_p95", Duration, Calls, "The same: 5 % of the calls took longer.";
    LatencyP99, "latency_p99", Duration, Calls, "The same: 1 % of the calls took longer.";
    TtftP50, "ttft_p50", Duration, Calls, "From arrival to the first byte of the answer: half of the calls took longer.";
    TtftP95, "ttft_p95", Duration, Calls, "The same: 5 % of the calls took longer.";
    TtftP99, "ttft_p99", Duration, Calls, "The same: 1 % of the calls took longer.";
    DuplicateStorms, "duplicate_storms", Count, Signals, "Times that one prompt was sent too often by one user.";
    BreakerOpenings, "breaker_openings", Count, Signals, "Times that a circuit breaker opened.";
    BreakerOpen, "breaker_open", Count, Gauges, "Targets of a provider whose circuit breaker is open.";
    StoreDegraded, "store_degraded", Count, Gauges, "1 while calls cannot be recorded, else 0.";
    LedgerWaiting, "ledger_waiting", Count, Gauges, "Finished calls that are not in the database yet.";
    LimitUsedRatio, "limit_used_ratio", Ratio, Gauges, "How much of a limit outside plans, on everybody together, is used.";
    BudgetUsedRatio, "budget_used_ratio", Ratio, Gauges, "The same of limits on money that have no `warn_at`.";
    BillingLag, "billing_lag", Duration, Gauges, "The age of the oldest usage that waits to be uploaded to Stripe.";
}

impl Metric {
    /// The share of calls that lie beyond it, in parts per thousand, where it is a quantile.
    pub(crate) const fn beyond(self) -> Option<u32> {
        match self {
            Self::LatencyP50 | Self::TtftP50 => Some(500),
            Self::LatencyP95 | Self::TtftP95 => Some(50),
            Self::LatencyP99 | Self::TtftP99 => Some(10),
            _ => None,
        }
    }

    /// Whether the ledger can say what is usual for it.
    pub const fn has_baseline(self) -> bool {
        matches!(
            self,
            Self::CostUsd
                | Self::Calls
                | Self::FailedCalls
                | Self::Refusals
                | Self::Tokens
                | Self::InputTokens
                | Self::OutputTokens
                | Self::CallCostUsd
        )
    }

    /// Whose values it can be measured by. A reading has those that it comes with.
    pub const fn dimensions(self) -> &'static [By] {
        match self.source() {
            Source::Calls => {
                &[By::User, By::Key, By::Ip, By::Model, By::Provider, By::Team, By::Feature]
            }
            Source::Signals | Source::Gauges => match self {
                Self::DuplicateStorms => &[By::User],
                Self::BreakerOpenings | Self::BreakerOpen => &[By::Provider],
                Self::LimitUsedRatio | Self::BudgetUsedRatio => &[By::Limit],
                _ => &[],
            },
        }
    }
}

/// Whose values a rule looks at one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Who pays.
    User,
    /// The key that was used.
    Key,
    /// The caller's address, as the ledger keeps it.
    Ip,
    /// The model that served.
    Model,
    /// The provider that served.
    Provider,
    /// The team of the user.
    Team,
    /// What the application calls the action.
    Feature,
    /// A limit.
    Limit,
}

impl By {
    /// Every dimension.
    pub const ALL: &'static [Self] = &[
        Self::User,
        Self::Key,
        Self::Ip,
        Self::Model,
        Self::Provider,
        Self::Team,
        Self::Feature,
        Self::Limit,
    ];

    /// The word that rules use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Key => "key",
            Self::Ip => "ip",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Team => "team",
            Self::Feature => "feature",
            Self::Limit => "limit",
        }
    }

    /// Its value of a call; `None` where the call has none.
    pub fn of(self, call: &CallRecord) -> Option<&Arc<str>> {
        let named = |name| Some(name).filter(|name: &&Arc<str>| !name.is_empty());
        match self {
            Self::User => named(&call.user),
            Self::Key => call.key.as_ref(),
            Self::Ip => call.ip.as_ref(),
            Self::Model => named(&call.model),
            Self::Provider => named(&call.provider),
            Self::Team => call.team.as_ref(),
            Self::Feature => call.feature.as_ref(),
            Self::Limit => None,
        }
    }
}

/// Over which time a metric is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// The last so long.
    Last(Duration),
    /// The calendar day so far.
    Day,
    /// The calendar week so far, from Monday.
    Week,
    /// The calendar month so far.
    Month,
    /// How it stands: for readings.
    Now,
}

impl Window {
    /// Whether it begins anew at fixed times.
    pub const fn is_calendar(self) -> bool {
        matches!(self, Self::Day | Self::Week | Self::Month)
    }
}

/// As rules write it, a span in the largest unit that holds it: `1h`, `90s`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last(span) => f.write_str(&span_text(*span)),
            Self::Day => f.write_str("day"),
            Self::Week => f.write_str("week"),
            Self::Month => f.write_str("month"),
            Self::Now => f.write_str("now"),
        }
    }
}

/// A span in the largest unit that holds it a whole number of times.
pub fn span_text(span: Duration) -> String {
    let millis = span.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    units
        .into_iter()
        .find(|(size, _)| millis >= *size && millis.is_multiple_of(*size))
        .map_or_else(|| "0s".to_owned(), |(size, unit)| format!("{}{unit}", millis / size))
}

/// What is measured, for whom, over which window, of which calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Measure {
    /// What.
    pub metric: Metric,
    /// For each of whom; `None` is everybody together.
    pub by: Option<By>,
    /// Over which time.
    pub window: Window,
    /// Only of these: a value, or a beginning with `*` behind it.
    pub only: Vec<(By, Arc<str>)>,
    /// So many calls a ratio or a quantile needs to mean anything.
    pub min_calls: u32,
}

impl Measure {
    /// Whether it looks at this call.
    pub fn covers(&self, call: &CallRecord) -> bool {
        self.only
            .iter()
            .all(|(by, pattern)| by.of(call).is_some_and(|name| matches_name(pattern, name)))
    }

    /// Whether it looks at a reading or a signal of this subject.
    pub fn covers_subject(&self, by: Option<By>, subject: &str) -> bool {
        self.only.iter().all(|(only, pattern)| {
            by.is_some_and(|by| by == *only) && matches_name(pattern, subject)
        })
    }
}

/// As rules write it.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut inside: Vec<String> = Vec::new();
        inside.extend(self.by.map(|by| format!("by={}", by.as_str())));
        if self.window != Window::Now {
            inside.push(format!("window={}", self.window));
        }
        inside.extend(self.only.iter().map(|(by, name)| format!("{}=\"{name}\"", by.as_str())));
        if self.min_calls > 0 {
            inside.push(format!("min_calls={}", self.min_calls));
        }
        f.write_str(self.metric.as_str())?;
        if inside.is_empty() { Ok(()) } else { write!(f, "{{{}}}", inside.join(",")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_in_their_largest_unit() {
        for (seconds, text) in [(60, "1m"), (90, "90s"), (3_600, "1h"), (86_400, "1d"), (0, "0s")] {
            assert_eq!(span_text(Duration::from_secs(seconds)), text);
        }
        assert_eq!(span_text(Duration::from_millis(250)), "250ms");
    }

    #[test]
    fn words_of_metrics_are_distinct() {
        let words: std::collections::HashSet<_> =
            Metric::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(words.len(), Metric::ALL.len());
    }
}
