//! English.

use tollgate_domain::limit;

use super::{Detail, Words, seconds};
use crate::incident::{Doing, Progress};
use crate::measure::Metric;
use crate::notice::NoticeKind;
use crate::rule::{Deed, Severity};

/// The words of English.
pub(super) struct English;

impl Words for English {
    fn kind(&self, kind: NoticeKind) -> &'static str {
        match kind {
            NoticeKind::Fired => "[Alert]",
            NoticeKind::Repeated => "[Still on]",
            NoticeKind::Resolved => "[Resolved]",
            NoticeKind::ChannelFailed => "[Channel]",
            NoticeKind::Test => "[Test]",
            NoticeKind::Report => "[Report]",
            NoticeKind::JobFailed => "[Job]",
        }
    }

    fn severity(&self, severity: Severity) -> &'static str {
        severity.as_str()
    }

    fn by(&self, by: &str) -> String {
        match by {
            "ip" => "address".to_owned(),
            other => other.to_owned(),
        }
    }

    fn metric(&self, metric: Metric) -> String {
        match metric {
            Metric::CostUsd => "spend",
            Metric::Calls => "calls",
            Metric::FailedCalls => "failed calls",
            Metric::Refusals => "refused calls",
            Metric::GuestCalls => "calls without credentials",
            Metric::Tokens => "tokens",
            Metric::InputTokens => "input tokens",
            Metric::OutputTokens => "output tokens",
            Metric::CallCostUsd => "dearest call",
            Metric::ErrorRate => "error rate",
            Metric::LatencyP50 => "P50 latency",
            Metric::LatencyP95 => "P95 latency",
            Metric::LatencyP99 => "P99 latency",
            Metric::TtftP50 => "P50 time to first byte",
            Metric::TtftP95 => "P95 time to first byte",
            Metric::TtftP99 => "P99 time to first byte",
            Metric::DuplicateStorms => "duplicate storms",
            Metric::BreakerOpenings => "openings of circuit breakers",
            Metric::BreakerOpen => "open circuit breakers",
            Metric::StoreDegraded => "store degraded",
            Metric::LedgerWaiting => "calls waiting for the database",
            Metric::LimitUsedRatio | Metric::BudgetUsedRatio => "used",
            Metric::BillingLag => "usage waiting for Stripe",
        }
        .to_owned()
    }

    fn counted(&self, metric: limit::Metric) -> &'static str {
        match metric {
            limit::Metric::Requests => "requests",
            limit::Metric::Successes => "successes",
            limit::Metric::InputTokens => "input tokens",
            limit::Metric::OutputTokens => "output tokens",
            limit::Metric::Tokens => "tokens",
            limit::Metric::CostUsd => "",
            limit::Metric::Concurrency => "at once",
            limit::Metric::Units => "units",
        }
    }

    fn window(&self, window: &str) -> String {
        match (window, seconds(window)) {
            ("day", _) => "today".to_owned(),
            ("week", _) => "this week".to_owned(),
            ("month", _) => "this month".to_owned(),
            (_, Some(seconds)) => format!("in the last {}", span(seconds)),
            _ => String::new(),
        }
    }

    fn limit_window(&self, window: &str) -> String {
        match window.split_once(' ') {
            Some(("sliding" | "rolling", length)) => {
                let seconds = seconds(length);
                seconds.map_or_else(|| window.to_owned(), |it| format!("in any {}", span(it)))
            }
            _ => match window {
                "day" => "per day".to_owned(),
                "week" => "per week".to_owned(),
                "month" => "per month".to_owned(),
                "total" => "in total".to_owned(),
                "balance" => "prepaid".to_owned(),
                "now" => "at once".to_owned(),
                other => other.to_owned(),
            },
        }
    }

    fn duration(&self, micros: i64) -> String {
        match micros / 1_000_000 {
            7_200.. => format!("{} h {} min", micros / 3_600_000_000, micros / 60_000_000 % 60),
            120.. => format!("{} min", micros / 60_000_000),
            1.. => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
            _ => format!("{} ms", micros / 1_000),
        }
    }

    fn measured(
        &self,
        subject: Option<String>,
        window: &str,
        (metric, value): (Metric, &str),
    ) -> String {
        let (what, window) = (capital(&self.metric(metric)), self.window(window));
        let of = subject.map(|subject| format!(" of {subject}")).unwrap_or_default();
        let window = if window.is_empty() { window } else { format!(" {window}") };
        format!("{what}{of}{window}: {value}")
    }

    fn beside_usual(&self, headline: &str, (usual, factor): (&str, &str)) -> String {
        format!("{headline}, {factor} times the usual {usual}")
    }

    fn beyond(&self, headline: &str, bound: &str, is_above: bool) -> String {
        let word = if is_above { "above" } else { "below" };
        format!("{headline}, {word} the bound of {bound}")
    }

    fn share(&self, percent: &str, is_step: bool) -> String {
        if is_step { format!("{percent} reached") } else { format!("{percent} used") }
    }

    fn used(&self, limit: &str, share: &str, (used, max): (&str, &str), window: &str) -> String {
        format!("{}: {share}, {used} of {max} {window}", capital(limit))
    }

    fn degraded(&self) -> &'static str {
        "Calls cannot be recorded, so none is served"
    }

    fn detail(&self, detail: Detail) -> &'static str {
        match detail {
            Detail::Rule => "Rule",
            Detail::Since => "Since",
            Detail::Lasted => "Lasted",
            Detail::Models => "Top models",
            Detail::Doing => "Action",
            Detail::Note => "Cause",
            Detail::Why => "Cause",
            Detail::Lost => "Not delivered",
        }
    }

    fn doing(&self, doing: &Doing, until: Option<String>) -> String {
        let what = match doing.deed {
            Deed::Throttle => "calls are slowed down",
            Deed::QuotaZero => "the quota is at zero",
            Deed::Block => "the user is blocked",
            Deed::KillSwitch => "calls are stopped",
        };
        match (doing.progress, until) {
            (Progress::Lifted, _) => format!("{what}: undone"),
            (Progress::Standing, Some(until)) => format!("{what} until {until}"),
            (Progress::Standing, None) => format!("{what} until somebody undoes it"),
            (Progress::Left, _) => format!("{what}: somebody had decided so before"),
            (Progress::Due | Progress::Failed, _) => format!("{what}: this could not be done"),
        }
    }

    fn more(&self, more: usize) -> String {
        format!("And {more} more: `tollgate alerts list`")
    }

    fn several(&self, count: usize, rule: &str) -> String {
        format!("{count} at once: {rule}")
    }

    fn failed(&self, channel: &str, is_disabled: bool) -> String {
        if is_disabled {
            format!("The alert channel {channel} refuses messages and is left alone")
        } else {
            format!("The alert channel {channel} does not deliver")
        }
    }

    fn sample(&self) -> &'static str {
        "This is a sample of Tollgate: nothing has happened."
    }

    fn limit(&self, name: &str, plan: Option<&str>) -> String {
        match plan {
            Some(plan) => format!("limit {name} of plan {plan}"),
            None => format!("limit {name}"),
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.map_or_else(String::new, |first| first + letters.as_str())
}

/// A length of time behind "in the last".
fn span(seconds: u64) -> String {
    for (size, name) in [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")] {
        if seconds >= size && seconds.is_multiple_of(size) {
            return match seconds / size {
                1 => name.to_owned(),
                count => format!("{count} {name}s"),
            };
        }
    }
    format!("{seconds} seconds")
}
