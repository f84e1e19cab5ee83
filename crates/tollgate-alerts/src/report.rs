//! What a report tells: the figures of a day or a week beside those before it. Figures and names
//! only; the words are made when it is sent ([`crate::text`]).

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tollgate_domain::money::NanoUsd;

use crate::incident::Incident;
use crate::span::Span;

/// Over which time a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A day, from midnight to midnight.
    Day,
    /// A week, from Monday to Sunday.
    Week,
}

impl Period {
    /// The word that webhooks name it with, behind `report.`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "daily",
            Self::Week => "weekly",
        }
    }

    /// The last period that was over at `at`, and the one before it. Days are those of the zone, so
    /// one may have 23 hours or 25. `None` beyond the ends of the calendar.
    pub fn last(self, zone: &TimeZone, at: Timestamp) -> Option<(Span, Span)> {
        let today = at.to_zoned(zone.clone()).date();
        let (end, days) = match self {
            Self::Day => (today, 1),
            Self::Week => {
                let since_monday = today.weekday().since(Weekday::Monday);
                (today.checked_sub(jiff::Span::new().days(since_monday)).ok()?, 7)
            }
        };
        let back = |date: Date| date.checked_sub(jiff::Span::new().days(days)).ok();
        let begin = back(end)?;
        let instant = |date: Date| Some(date.to_zoned(zone.clone()).ok()?.timestamp());
        let (last, middle, first) = (instant(end)?, instant(begin)?, instant(back(begin)?)?);
        Some((Span { from: middle, to: last }, Span { from: first, to: middle }))
    }
}

/// Sums of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// What calls cost.
    pub cost_usd: NanoUsd,
    /// Calls that were admitted.
    pub calls: u64,
    /// Of these: failed.
    pub failed: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Tokens in.
    pub input_tokens: u64,
    /// Tokens out.
    pub output_tokens: u64,
    /// Calls that were answered without buying an answer.
    pub cache_hits: u64,
    /// What these would have cost.
    pub savings_usd: NanoUsd,
}

/// What one user or model took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its name; `None` where the calls have none.
    pub name: Option<String>,
    /// What its calls cost.
    pub cost_usd: NanoUsd,
    /// How many they were.
    pub calls: u64,
}

/// Who took most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    /// Those who took most, the first of them first.
    pub shares: Vec<Share>,
    /// How many others there are.
    pub more: usize,
}

impl Top {
    /// The first `most` by cost, then by calls, then by name.
    pub fn of(mut shares: Vec<Share>, most: usize) -> Self {
        shares.sort_by(|a, b| {
            (b.cost_usd, b.calls).cmp(&(a.cost_usd, a.calls)).then_with(|| a.name.cmp(&b.name))
        });
        let more = shares.len().saturating_sub(most);
        shares.truncate(most);
        Self { shares, more }
    }
}

/// A report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Over which time.
    pub period: Period,
    /// The zone whose days these are.
    pub timezone: String,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub to: Timestamp,
    /// Its sums.
    pub total: Figures,
    /// The sums of the period before it.
    pub before: Figures,
    /// Who spent most.
    pub users: Top,
    /// Which models cost most.
    pub models: Top,
    /// Alerts that began within it, the newest first.
    pub alerts: Vec<Incident>,
    /// How many more there were.
    pub more_alerts: usize,
}

/// A scheduled job that found something wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// The job.
    pub job: String,
    /// What it found.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{at, usd};

    fn last(period: Period, zone: &str, now: &str) -> (String, String, String) {
        let zone = TimeZone::get(zone).unwrap();
        let (last, before) = period.last(&zone, at(now)).unwrap();
        assert_eq!(before.to, last.from);
        (before.from.to_string(), last.from.to_string(), last.to.to_string())
    }

    fn three(texts: [&str; 3]) -> (String, String, String) {
        let [a, b, c] = texts.map(str::to_owned);
        (a, b, c)
    }

    #[test]
    fn the_last_day_is_the_local_one_with_as_many_hours_as_it_had() {
        assert_eq!(
            last(Period::Day, "Asia/Seoul", "2026-11-21T00:00:00Z"),
            three(["2026-11-18T15:00:00Z", "2026-11-19T15:00:00Z", "2026-11-20T15:00:00Z"])
        );
        // The 8th of March had 23 hours in New York, the 1st of November 25.
        assert_eq!(
            last(Period::Day, "America/New_York", "2026-03-09T13:00:00Z"),
            three(["2026-03-07T05:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"])
        );
        assert_eq!(
            last(Period::Day, "America/New_York", "2026-11-02T14:00:00Z"),
            three(["2026-10-31T04:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"])
        );
    }

    #[test]
    fn the_last_week_is_from_monday_to_sunday_on_whatever_day_it_is_told() {
        let weeks = ["2026-11-08T15:00:00Z", "2026-11-15T15:00:00Z", "2026-11-22T15:00:00Z"];
        for now in ["2026-11-22T15:00:00Z", "2026-11-25T00:00:00Z", "2026-11-29T14:59:59Z"] {
            let [a, b, c] = weeks.map(str::to_owned);
            let told = last(Period::Week, "Asia/Seoul", now);
            assert_eq!(told, (a, b, c), "{now}");
        }
        assert_eq!(
            last(Period::Week, "Europe/Berlin", "2026-10-26T08:00:00Z"),
            three(["2026-10-11T22:00:00Z", "2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z"])
        );
    }

    #[test]
    fn who_took_most_comes_first_and_the_rest_is_counted() {
        let share = |name: &str, cost: &str, calls: u64| Share {
            name: Some(name.to_owned()),
            cost_usd: usd(cost),
            calls,
        };
        let all =
            vec![share("b", "1", 5), share("a", "1", 5), share("c", "2", 1), share("d", "1", 9)];
        let top = Top::of(all, 3);
        let names: Vec<_> = top.shares.iter().filter_map(|it| it.name.as_deref()).collect();
        assert_eq!((names.as_slice(), top.more), (&["c", "d", "a"][..], 1));
    }
}
