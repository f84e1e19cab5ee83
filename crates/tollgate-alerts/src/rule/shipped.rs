//! The rules that are there without being written. A rule of the configuration with the same name
//! changes what it says and leaves the rest.

use std::time::Duration;

use super::Severity;

/// A rule that is shipped.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Its condition; `None` is the steps (`warn_at`) of limits.
    pub when: Option<&'static str>,
    /// What counts as usual at least, as rules write it; `None` where nothing usual is asked for.
    pub floor: Option<&'static str>,
    /// How bad it is.
    pub severity: Severity,
    /// How often it is told again while it lasts; `None` is never.
    pub repeat: Option<Duration>,
    /// What it is for.
    pub about: &'static str,
}

const FEW_HOURS: Option<Duration> = Some(Duration::from_hours(4));

const fn rule(
    name: &'static str,
    when: &'static str,
    severity: Severity,
    about: &'static str,
) -> Shipped {
    Shipped { name, when: Some(when), floor: None, severity, repeat: FEW_HOURS, about }
}

impl Shipped {
    const fn over(self, floor: &'static str) -> Self {
        Self { floor: Some(floor), ..self }
    }

    const fn once(self) -> Self {
        Self { repeat: None, ..self }
    }

    /// The shipped rule of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SHIPPED.iter().find(|rule| rule.name == name)
    }
}

use Severity::{Critical, Warning};

/// Every shipped rule, in the order of the documentation.
pub const SHIPPED: &[Shipped] = &[
    rule("daily-spend", "cost_usd{window=day} > 100", Critical, "Spend of a day over $100.").once(),
    Shipped {
        name: "budget",
        when: None,
        floor: None,
        severity: Warning,
        repeat: None,
        about: "A limit reached one of its `warn_at` steps: once per window and step.",
    },
    rule(
        "budget-use",
        "budget_used_ratio >= 80%",
        Warning,
        "80 % of a budget for everybody together is used. Limits with `warn_at` are told by `budget`.",
    )
    .once(),
    rule(
        "runaway-user",
        "cost_usd{by=user,window=1h} > 15 * baseline",
        Critical,
        "A user spends 15 times what is usual for this hour.",
    )
    .over("0.20"),
    rule(
        "runaway-key",
        "cost_usd{by=key,window=1h} > 15 * baseline",
        Critical,
        "A key spends 15 times what is usual for this hour.",
    )
    .over("0.50"),
    rule(
        "runaway-address",
        "cost_usd{by=ip,window=1h} > 15 * baseline",
        Critical,
        "An address spends 15 times what is usual for this hour.",
    )
    .over("0.50"),
    rule(
        "runaway-total",
        "cost_usd{window=1h} > 15 * baseline",
        Critical,
        "All together spend 15 times what is usual for this hour.",
    )
    .over("1"),
    rule(
        "busy-user",
        "calls{by=user,window=10m} > 15 * baseline",
        Warning,
        "A user calls 15 times as often as is usual for this hour.",
    )
    .over("20"),
    rule(
        "busy-key",
        "calls{by=key,window=10m} > 15 * baseline",
        Warning,
        "A key calls 15 times as often as is usual for this hour.",
    )
    .over("40"),
    rule(
        "busy-address",
        "calls{by=ip,window=10m} > 15 * baseline",
        Warning,
        "An address calls 15 times as often as is usual for this hour.",
    )
    .over("40"),
    rule(
        "busy-total",
        "calls{window=10m} > 15 * baseline",
        Warning,
        "All together call 15 times as often as is usual for this hour.",
    )
    .over("100"),
    rule(
        "expensive-call",
        "call_cost_usd{by=model,window=10m} > 50 * baseline",
        Warning,
        "A single call cost 50 times what a call to its model usually costs.",
    )
    .over("0.02"),
    rule(
        "duplicate-storm",
        "duplicate_storms{by=user,window=5m} > 0",
        Warning,
        "One prompt was sent too often by one user.",
    ),
    rule(
        "errors",
        "error_rate{window=5m} > 5% for 2m",
        Critical,
        "More than 5 % of the calls failed (5xx) for two minutes.",
    ),
    rule(
        "latency",
        "latency_p99{window=5m} > 5s for 3m",
        Warning,
        "1 % of the calls took longer than five seconds, for three minutes.",
    ),
    rule("breaker-open", "breaker_open > 0", Critical, "A circuit breaker is open."),
    rule("store-degraded", "store_degraded > 0", Critical, "Calls cannot be recorded."),
    rule(
        "ledger-lag",
        "ledger_waiting > 50000 for 1m",
        Warning,
        "More than 50 000 finished calls wait for the database.",
    ),
    rule(
        "guest-flood",
        "guest_calls{window=1m} > 600",
        Warning,
        "More than ten calls a second come without credentials.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::{Bound, Condition, read_amount};

    #[test]
    fn every_shipped_rule_can_be_read() {
        for shipped in SHIPPED {
            let Some(when) = shipped.when else { continue };
            let condition: Condition = when.parse().unwrap_or_else(|e| panic!("{when}: {e}"));
            let usual = matches!(condition.bound, Bound::Usual { .. });
            assert_eq!(usual, shipped.floor.is_some(), "{}", shipped.name);
            if let Some(floor) = shipped.floor {
                let unit = condition.measure.metric.unit();
                assert!(read_amount(floor, unit).unwrap() > 0, "{}", shipped.name);
            }
        }
        let names: std::collections::HashSet<_> = SHIPPED.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), SHIPPED.len());
        assert!(Shipped::named("daily-spend").is_some());
        assert!(Shipped::named("nothing").is_none());
    }

    #[test]
    fn the_documentation_has_every_metric_and_every_shipped_rule() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/alerts.md");
        let text = std::fs::read_to_string(path).unwrap();
        for metric in crate::measure::Metric::ALL {
            let row = format!("| `{}` | {} |", metric.as_str(), metric.meaning());
            assert!(text.contains(&row), "{row}");
        }
        for shipped in SHIPPED {
            let when = shipped
                .when
                .map_or_else(|| "`warn_at` of limits".to_owned(), |it| format!("`{it}`"));
            let floor = shipped.floor.unwrap_or_default();
            let (name, severity) = (shipped.name, shipped.severity.as_str());
            let row = format!("| `{name}` | {when} | {floor} | {severity} | {} |", shipped.about);
            assert!(text.contains(&row), "{row}");
        }
    }
}
