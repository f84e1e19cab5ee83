//! What is usual: the same hour of previous weeks, told by the ledger.
//!
//! The engine holds no history. When a subject uses so much that a rule may be broken it asks for
//! the sums of a few spans ([`Ask`]), and works out what is usual from the answer ([`History`]). So
//! memory does not grow with users, a restart forgets nothing, and a small user costs nothing.
//!
//! Usual is the median over the weeks plus their median deviation: one odd week neither raises nor
//! lowers it much, and whoever differs from week to week is given more room. Where there are fewer
//! than two weeks, the largest of three counts: the days before on which there was any call, the
//! busiest hour of the last day, and ten times the floor.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::measure::{By, Measure, Metric, Window};
use crate::span::{self, Span};
use crate::sums::Sums;

/// Weeks that are looked back.
const WEEKS: i64 = 5;
/// Days that are looked back where there are too few weeks.
const DAYS: i64 = 6;
/// Hours that are looked back where there are too few days.
const HOURS: i32 = 24;
/// So many weeks or days tell what is usual.
const ENOUGH: usize = 2;
/// Who has no history is measured with so many times the floor.
const NEWCOMER: i64 = 10;
/// Rollups tell quarters of an hour; what is shorter than an hour is compared with its share of one.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const QUARTER: i64 = 900;

/// What the engine wants to know of the past of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which table asks.
    pub(crate) table: usize,
    /// What the subject is.
    pub by: Option<By>,
    /// The subject; empty for everybody together.
    pub subject: Arc<str>,
    /// Only calls like these count.
    pub only: Vec<(By, Arc<str>)>,
    /// The spans whose sums are wanted; each begins and ends with a quarter of an hour.
    pub spans: Vec<Span>,
    /// When the subject was first seen in this time is wanted too.
    pub seen: Span,
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The start of the first day of `seen` on which the subject called.
    pub first: Option<Timestamp>,
    /// The sums of the spans, in their order.
    pub sums: Vec<Sums>,
}

/// The spans of one ask, by what they are for: each entry is a time of comparison.
struct Plan {
    weeks: Vec<Vec<Span>>,
    days: Vec<Vec<Span>>,
    hours: Vec<Vec<Span>>,
}

impl Plan {
    fn of(measure: &Measure, zone: &TimeZone, now: Timestamp) -> Self {
        let around = |days: i64| around(measure.window, zone, span::days_before(now, days, zone));
        let hours = match measure.window {
            Window::Last(_) => (1..=HOURS).map(|hour| vec![hour_before(now, hour)]).collect(),
            _ => Vec::new(),
        };
        Self {
            weeks: (1..=WEEKS).map(|week| around(7 * week)).collect(),
            days: (1..=DAYS).map(around).collect(),
            hours,
        }
    }

    fn spans(&self) -> Vec<Span> {
        [&self.weeks, &self.days, &self.hours].into_iter().flatten().flatten().copied().collect()
    }
}

/// The window at an earlier time, and the one behind it: traffic is not punctual.
fn around(window: Window, zone: &TimeZone, at: Timestamp) -> Vec<Span> {
    match window {
        Window::Last(length) => {
            let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX).max(HOUR);
            let after = at.checked_add(length).unwrap_or(at);
            vec![aligned(Span::before(at, length)), aligned(Span { from: at, to: after })]
        }
        calendar => {
            let from = span::window(calendar, zone, at).from;
            vec![aligned(Span { from, to: at })]
        }
    }
}

/// An hour that lies so many hours back, the present one left out.
fn hour_before(now: Timestamp, hours: i32) -> Span {
    let back = |hours: i32| HOUR.checked_mul(hours).unwrap_or(HOUR);
    let to = now.checked_sub(back(hours)).unwrap_or(Timestamp::MIN);
    aligned(Span::before(to, HOUR))
}

/// The same with ends at quarters of an hour, as long as before.
fn aligned(span: Span) -> Span {
    let quarter = |at: Timestamp| {
        let second = at.as_second();
        Timestamp::from_second(second - second.rem_euclid(QUARTER)).unwrap_or(at)
    };
    Span { from: quarter(span.from), to: quarter(span.to) }
}

impl Ask {
    pub(crate) fn new(
        (table, measure): (usize, &Measure),
        subject: Arc<str>,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Self {
        let today = span::window(Window::Day, zone, now).from;
        let seen = Span { from: span::days_before(today, 7 * WEEKS + 1, zone), to: now };
        Self {
            table,
            by: measure.by,
            subject,
            only: measure.only.clone(),
            spans: Plan::of(measure, zone, now).spans(),
            seen,
        }
    }
}

/// What is usual for a subject at `now`, never below the floor of the rule.
pub(crate) fn usual(
    (measure, floor): (&Measure, i64),
    history: &History,
    zone: &TimeZone,
    now: Timestamp,
) -> i64 {
    let plan = Plan::of(measure, zone, now);
    let mut told = history.sums.iter();
    let mut known = |times: &[Vec<Span>]| -> Vec<Time> {
        times.iter().filter_map(|spans| time(measure, history.first, spans, &mut told)).collect()
    };
    let (weeks, days, hours) = (known(&plan.weeks), known(&plan.days), known(&plan.hours));
    if weeks.len() >= ENOUGH {
        return typical(weeks.iter().map(|week| week.value).collect()).max(floor);
    }
    // Who begins is measured generously: days of rest say nothing of a working day, and nights
    // nothing of mornings.
    let days: Vec<i64> = days.iter().filter(|day| day.is_used).map(|day| day.value).collect();
    let day =
        if days.len() >= ENOUGH { typical(days) } else { days.into_iter().max().unwrap_or(0) };
    let hour = hours.iter().map(|hour| hour.value).max().unwrap_or(0);
    day.max(hour).max(floor.saturating_mul(NEWCOMER))
}

/// A time of comparison.
struct Time {
    /// The larger value of its spans.
    value: i64,
    /// Whether there was any call.
    is_used: bool,
}

/// A time of comparison as the measure would have seen it; `None` where the subject was not there
/// yet.
fn time<'a>(
    measure: &Measure,
    first: Option<Timestamp>,
    spans: &[Span],
    told: &mut impl Iterator<Item = &'a Sums>,
) -> Option<Time> {
    let there = first.is_some_and(|first| spans.first().is_some_and(|span| first <= span.from));
    let mut time = Time { value: 0, is_used: false };
    // Every span takes its sums, whether they are wanted or not.
    for span in spans {
        let sums = told.next();
        time.value = time.value.max(share(measure, *span, sums));
        time.is_used |= sums.is_some_and(|sums| sums.calls + sums.refused > 0);
    }
    there.then_some(time)
}

fn share(measure: &Measure, span: Span, sums: Option<&Sums>) -> i64 {
    let value = sums.map_or(0, |sums| sums.value(measure.metric));
    match measure.window {
        Window::Last(length) if measure.metric != Metric::CallCostUsd => {
            let whole = span.to.duration_since(span.from).as_millis().max(1);
            let length = i128::try_from(length.as_millis()).unwrap_or(i128::MAX);
            let share = i128::from(value).saturating_mul(length.min(whole)) / whole;
            i64::try_from(share).unwrap_or(i64::MAX)
        }
        _ => value,
    }
}

/// The median plus the median deviation from it.
fn typical(mut values: Vec<i64>) -> i64 {
    let middle = median(&mut values);
    let mut deviations: Vec<i64> =
        values.iter().map(|value| value.saturating_sub(middle).saturating_abs()).collect();
    middle.saturating_add(median(&mut deviations))
}

fn median(values: &mut [i64]) -> i64 {
    values.sort_unstable();
    let half = values.len() / 2;
    let upper = values.get(half).copied().unwrap_or(0);
    if !values.len().is_multiple_of(2) {
        return upper;
    }
    let lower = half.checked_sub(1).and_then(|half| values.get(half)).copied().unwrap_or(upper);
    lower.midpoint(upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Condition;
    use crate::sample::at;
    use tollgate_domain::money::NanoUsd;

    const NOW: &str = "2026-11-20T01:07:00Z";

    fn measure(text: &str) -> Measure {
        format!("{text} > 15 * baseline").parse::<Condition>().unwrap().measure
    }

    /// Answers an ask with what each span costs, in cents.
    fn answer(measure: &Measure, first: &str, cents: impl Fn(Span) -> i64) -> i64 {
        let ask = Ask::new((0, measure), Arc::from("alice"), &TimeZone::UTC, at(NOW));
        assert!(ask.spans.iter().all(|span| {
            span.from.as_second() % QUARTER == 0 && span.to.as_second() % QUARTER == 0
        }));
        let sums = ask.spans.iter().map(|span| Sums {
            cost: NanoUsd::from_nanos(cents(*span) * 10_000_000),
            calls: 1,
            ..Sums::default()
        });
        let history = History { first: Some(at(first)), sums: sums.collect() };
        usual((measure, 10_000_000), &history, &TimeZone::UTC, at(NOW)) / 10_000_000
    }

    #[test]
    fn usual_is_the_middle_of_the_same_hour_of_previous_weeks() {
        let hourly = measure("cost_usd{by=user,window=1h}");
        // Fridays at one: 100, 110, 90, 5000 (one odd week), 100; any other time is far from it.
        let fridays = |span: Span| match span.from.to_string().get(..10).unwrap() {
            "2026-11-13" => 100,
            "2026-11-06" => 110,
            "2026-10-30" => 90,
            "2026-10-23" => 5_000,
            "2026-10-16" => 100,
            _ => 1,
        };
        assert_eq!(
            answer(&hourly, "2026-10-01T00:00:00Z", fridays),
            110,
            "median 100, deviation 10"
        );
        // Three weeks ago nobody was there: two weeks are enough.
        assert_eq!(answer(&hourly, "2026-11-01T00:00:00Z", fridays), 110);
    }

    #[test]
    fn a_short_history_is_compared_by_days_then_by_hours_and_none_with_the_floor() {
        let hourly = measure("cost_usd{by=user,window=1h}");
        let same = |cents: i64| move |_: Span| cents;
        assert_eq!(answer(&hourly, "2026-11-17T00:00:00Z", same(40)), 40);
        assert_eq!(answer(&hourly, "2026-11-19T12:00:00Z", same(30)), 30, "the hours of a day");
        let busy = |span: Span| i64::from(span.from == at("2026-11-19T15:00:00Z")) * 50;
        assert_eq!(answer(&hourly, "2026-11-19T12:00:00Z", busy), 50, "the busiest of them");
        assert_eq!(answer(&hourly, "2026-11-19T12:00:00Z", same(0)), 10, "ten times the floor");
        assert_eq!(answer(&hourly, "2026-10-01T00:00:00Z", same(0)), 1, "the floor");
        let ask = Ask::new((0, &hourly), Arc::from("a"), &TimeZone::UTC, at(NOW));
        let none = History::default();
        assert_eq!(usual((&hourly, 7), &none, &TimeZone::UTC, at(NOW)), 70);
        assert!(ask.seen.from < at("2026-10-16T00:00:00Z"));
    }

    #[test]
    fn the_second_and_third_day_are_no_tighter_than_the_first() {
        let hourly = measure("cost_usd{by=user,window=1h}");
        let same = |cents: i64| move |_: Span| cents;
        // Two quiet mornings after the first days of work, and a busy afternoon yesterday.
        let afternoon = |span: Span| i64::from(span.from == at("2026-11-19T15:00:00Z")) * 300 + 2;
        assert_eq!(answer(&hourly, "2026-11-17T00:00:00Z", afternoon), 302, "the busiest hour");
        assert_eq!(answer(&hourly, "2026-11-17T00:00:00Z", same(2)), 10, "ten times the floor");
        // Four days of rest among six days: what was used on the others is usual.
        let ask = Ask::new((0, &hourly), Arc::from("a"), &TimeZone::UTC, at(NOW));
        let sums = ask.spans.iter().map(|span| {
            let day = span.from.to_string();
            let used = day.starts_with("2026-11-16") || day.starts_with("2026-11-17");
            let cost = NanoUsd::from_nanos(i64::from(used) * 900_000_000);
            Sums { cost, calls: u64::from(used), ..Sums::default() }
        });
        let history = History { first: Some(at("2026-11-13T12:00:00Z")), sums: sums.collect() };
        let usual = usual((&hourly, 10_000_000), &history, &TimeZone::UTC, at(NOW));
        assert_eq!(usual, 900_000_000);
    }

    #[test]
    fn a_short_window_is_compared_with_its_share_of_an_hour_and_a_day_with_the_day_so_far() {
        let short = measure("cost_usd{by=user,window=10m}");
        assert_eq!(answer(&short, "2026-10-01T00:00:00Z", |_| 60), 10);
        let dear = measure("call_cost_usd{by=model,window=10m}");
        assert_eq!(answer(&dear, "2026-10-01T00:00:00Z", |_| 60), 60, "a mean is no sum");
        let day = measure("cost_usd{by=user,window=day}");
        let from_midnight = |span: Span| i64::from(span.from.to_string().ends_with("T00:00:00Z"));
        assert_eq!(answer(&day, "2026-10-01T00:00:00Z", |span| 77 * from_midnight(span)), 77);
    }
}
