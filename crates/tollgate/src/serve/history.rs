//! What the ledger holds, counted in limits.
//!
//! Time is cut once. Calls from the cut on are counted row by row, in every limit. Before it, where
//! only sums are needed (who, with which key, on which day), rollups are counted; so a start costs
//! little however many rows there are. The cut lies where the first limit begins that rows alone can
//! tell (a sliding window, an address, a session, a public model); where all that is needed has few
//! rows, these tell all. Nothing lies on both sides of the cut, so nothing is counted twice.
//!
//! Sums do not tell which of the calls that failed had used something. Before the cut, limits on
//! requests other than rates count them all: more than was used, never less.

use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use tollgate_admission::engine::{Amounts, Source, Subject};
use tollgate_domain::id::CallId;
use tollgate_domain::limit::{Limit, Metric, Scope, Window};
use tollgate_proxy::past::Past;
use tollgate_store::{Dim, Filter, Reader, Sums, UsageQuery, UsageRow};

/// So many rows are counted one by one, whatever is needed of them: a second's work.
const FEW_ROWS: u64 = 200_000;
/// Windows before the present one from which unused allowance may have been carried over.
pub(crate) const CARRYING: i64 = 12;
/// How far ahead rows may lie, where the clock was put back.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// Which limits count for whom: by the limit, where it stands, and who is counted.
pub(super) type Wanted<'a> = &'a dyn Fn(&Limit, Source<'_>, &Subject<'_>) -> bool;

/// The ledger, and the limits that count what is in it.
pub(super) struct History<'a> {
    pub(super) reader: Reader,
    /// Takes what is counted.
    pub(super) past: &'a Past<'a>,
    /// The limits that may be wanted.
    pub(super) limits: Vec<Arc<Limit>>,
    /// Which of them are, of whom.
    pub(super) wanted: Wanted<'a>,
    /// Whose calls are counted, where not everybody's.
    pub(super) user: Option<Arc<str>>,
    /// Calls that are left out; each is younger than `rows_since`.
    pub(super) skip: &'a dyn Fn(CallId) -> bool,
    /// Calls from here on are counted row by row in any case.
    pub(super) rows_since: Timestamp,
    /// The zone of the day rollups.
    pub(super) zone: TimeZone,
    pub(super) now: Timestamp,
}

impl History<'_> {
    /// Counts everything; gives the number of rows that were read.
    pub(super) fn absorb(&self) -> anyhow::Result<u64> {
        let Some(begin) = self.begin(|_| true) else { return Ok(0) };
        let needed = self.begin(needs_rows).unwrap_or(self.now).min(self.rows_since);
        let all = UsageQuery {
            zone: self.zone.clone(),
            ..UsageQuery::between(begin, self.now.checked_add(AHEAD)?)
        };
        let calls = self.reader.total(&all)?.calls;
        let cut = if calls <= FEW_ROWS { begin.min(self.rows_since) } else { needed };
        let cut = cut.max(self.reader.purged_before()?);
        self.absorb_days(cut)?;
        self.absorb_endless(cut)?;
        let mut rows = 0;
        let filter = Filter { user: self.user.clone(), since: Some(cut), ..Filter::default() };
        self.reader.export(&filter, |call| {
            if !(self.skip)(call.call_id) {
                rows += 1;
                self.past.call_where(&call, self.wanted);
            }
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    /// From when the first of these limits needs history.
    fn begin(&self, which: impl Fn(&Limit) -> bool) -> Option<Timestamp> {
        let limits = self.limits.iter().filter(|limit| which(limit));
        limits.filter_map(|limit| begin_of(limit, self.now)).min()
    }

    /// Counts the days before the cut, in the days of each zone in which a limit counts.
    fn absorb_days(&self, cut: Timestamp) -> anyhow::Result<()> {
        let by_day = |limit: &Limit| !needs_rows(limit) && !is_endless(limit);
        let mut zones: Vec<&TimeZone> = Vec::new();
        for limit in self.limits.iter().filter(|limit| by_day(limit)) {
            if !zones.contains(&&limit.zone) {
                zones.push(&limit.zone);
            }
        }
        for zone in zones {
            let counts = |limit: &Limit| by_day(limit) && limit.zone == *zone;
            let Some(from) = self.begin(counts).filter(|from| *from < cut) else { continue };
            for row in self.sums(from, cut, (Some(Dim::Day), zone))? {
                let (day, who) = row.group.split_first().context("a row without a day")?;
                let day: Date = day.as_deref().unwrap_or_default().parse()?;
                let at = day.to_zoned(zone.clone())?.timestamp();
                let who = subject(who);
                let wanted = |limit: &Limit, source: Source<'_>| {
                    counts(limit) && (self.wanted)(limit, source, &who)
                };
                self.past.many(&who, at, &amounts(&row.sums), wanted);
            }
        }
        Ok(())
    }

    /// Counts all there was before the cut in limits whose window has no end.
    fn absorb_endless(&self, cut: Timestamp) -> anyhow::Result<()> {
        let counts = |limit: &Limit| !needs_rows(limit) && is_endless(limit);
        let Some(from) = self.begin(counts).filter(|from| *from < cut) else { return Ok(()) };
        for row in self.sums(from, cut, (None, &self.zone))? {
            let who = subject(&row.group);
            let wanted = |limit: &Limit, source: Source<'_>| {
                counts(limit) && (self.wanted)(limit, source, &who)
            };
            self.past.many(&who, from, &amounts(&row.sums), wanted);
        }
        Ok(())
    }

    fn sums(
        &self,
        from: Timestamp,
        to: Timestamp,
        (first, zone): (Option<Dim>, &TimeZone),
    ) -> anyhow::Result<Vec<UsageRow>> {
        let who = [Dim::User, Dim::Team, Dim::Key, Dim::Feature, Dim::Provider];
        let query = UsageQuery {
            zone: zone.clone(),
            user: self.user.clone(),
            group_by: first.into_iter().chain(who).collect(),
            ..UsageQuery::between(from, to)
        };
        Ok(self.reader.usage(&query)?)
    }
}

/// Whether only rows tell what a limit counts: rollups know neither instants nor addresses, sessions
/// and public model names.
pub(crate) fn needs_rows(limit: &Limit) -> bool {
    matches!(limit.window, Window::Sliding { .. })
        || !limit.models.is_empty()
        || limit
            .scope
            .iter()
            .any(|scope| matches!(scope, Scope::Ip | Scope::Session | Scope::Model))
}

fn is_endless(limit: &Limit) -> bool {
    matches!(limit.window, Window::Total | Window::Balance)
}

/// From when a limit needs the history of calls, a day early rather than late; `None` where it needs
/// none.
fn begin_of(limit: &Limit, now: Timestamp) -> Option<Timestamp> {
    if matches!(limit.metric, Metric::Concurrency | Metric::Units) {
        return None;
    }
    let windows = if limit.rollover > 0 { 1 + CARRYING } else { 1 };
    let days = match limit.window {
        Window::Now => return None,
        Window::Total | Window::Balance => return Some(Timestamp::UNIX_EPOCH),
        Window::Sliding { millis } => {
            let length = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
            return Some(now.checked_sub(length).unwrap_or(Timestamp::UNIX_EPOCH));
        }
        Window::Day => windows,
        Window::Week => 7 * windows,
        Window::Month => 31 * windows,
        Window::Rolling { days } => i64::from(days),
    };
    let today = limit.zone.to_datetime(now).date();
    let first = today.checked_sub((days + 1).days()).ok();
    let start = first.and_then(|day| day.to_zoned(limit.zone.clone()).ok());
    Some(start.map_or(Timestamp::UNIX_EPOCH, |start| start.timestamp()))
}

/// Who is counted for a row of sums by user, team, key, feature and provider.
fn subject(who: &[Option<Arc<str>>]) -> Subject<'_> {
    let name = |place: usize| who.get(place).and_then(|name| name.as_deref());
    Subject {
        user: name(0).unwrap_or_default(),
        team: name(1),
        key: name(2),
        feature: name(3),
        provider: name(4).unwrap_or_default(),
        ..Subject::default()
    }
}

fn amounts(sums: &Sums) -> Amounts {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Amounts {
        admitted: count(sums.calls),
        requests: count(sums.calls),
        successes: count(sums.successes.saturating_add(sums.in_doubt)),
        input_tokens: count(sums.input_tokens),
        output_tokens: count(sums.output_tokens),
        cost: sums.cost_usd,
        units: 0,
    }
}

#[cfg(test)]
mod tests {
    use tollgate_domain::limit::{Mode, OnLimit};

    use super::*;

    fn limit(metric: Metric, window: Window, scope: Scope, zone: &str) -> Limit {
        Limit {
            name: Arc::from("l"),
            scope: vec![scope],
            metric,
            window,
            max: Some(1),
            on_limit: OnLimit::Deny,
            mode: Mode::Enforce,
            warn_at: Vec::new(),
            rollover: 0,
            zone: TimeZone::get(zone).unwrap(),
            feature: None,
            models: Vec::new(),
            providers: Vec::new(),
        }
    }

    #[test]
    fn history_begins_before_the_window_does() {
        let now: Timestamp = "2026-11-20T16:00:00Z".parse().unwrap();
        for (metric, window, zone, begin) in [
            (Metric::Successes, Window::Day, "UTC", Some("2026-11-18T00:00:00Z")),
            (Metric::Successes, Window::Day, "Asia/Seoul", Some("2026-11-18T15:00:00Z")),
            (Metric::CostUsd, Window::Month, "UTC", Some("2026-10-19T00:00:00Z")),
            (Metric::CostUsd, Window::Rolling { days: 30 }, "UTC", Some("2026-10-20T00:00:00Z")),
            (Metric::Tokens, Window::Total, "UTC", Some("1970-01-01T00:00:00Z")),
            (
                Metric::Requests,
                Window::Sliding { millis: 60_000 },
                "UTC",
                Some("2026-11-20T15:59:00Z"),
            ),
            (
                Metric::Requests,
                Window::Sliding { millis: u64::MAX },
                "UTC",
                Some("1970-01-01T00:00:00Z"),
            ),
            (Metric::Concurrency, Window::Now, "UTC", None),
            (Metric::Units, Window::Total, "UTC", None),
        ] {
            let begins = begin_of(&limit(metric, window, Scope::User, zone), now);
            assert_eq!(begins, begin.map(|text| text.parse().unwrap()), "{window} {zone}");
        }
        let carrying =
            Limit { rollover: 500, ..limit(Metric::Tokens, Window::Day, Scope::User, "UTC") };
        assert_eq!(begin_of(&carrying, now).unwrap().to_string(), "2026-11-06T00:00:00Z");
    }

    #[test]
    fn rows_are_needed_where_rollups_do_not_tell() {
        let day = |scope| limit(Metric::Successes, Window::Day, scope, "UTC");
        for (scope, rows) in [
            (Scope::User, false),
            (Scope::Feature, false),
            (Scope::Provider, false),
            (Scope::Global, false),
            (Scope::Model, true),
            (Scope::Session, true),
            (Scope::Ip, true),
        ] {
            assert_eq!(needs_rows(&day(scope)), rows, "{}", scope.as_str());
        }
        assert!(needs_rows(&Limit { models: vec!["gpt*".into()], ..day(Scope::User) }));
        let sliding = Window::Sliding { millis: 1_000 };
        assert!(needs_rows(&limit(Metric::Requests, sliding, Scope::User, "UTC")));
    }
}
