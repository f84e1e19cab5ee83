//! Counters made again at a start, from the ledger and from the actions that are kept beside it.
//!
//! Time is cut once. Calls from the cut on are counted row by row, in every limit. Before it, where
//! only sums are needed (who, with which key, on which day), rollups are counted; so a start costs
//! little however many rows there are. The cut lies where the first limit begins that rows alone can
//! tell (a sliding window, an address, a session, a public model); where all that is needed has few
//! rows, these tell all. Nothing lies on both sides of the cut, so nothing is counted twice.
//!
//! Sums do not tell which of the calls that failed had used something. Before the cut, limits on
//! requests other than rates count them all: more than was used, never less.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use tollgate_admission::engine::{Amounts, Subject};
use tollgate_domain::id::CallId;
use tollgate_domain::limit::{Limit, Metric, Scope, Window};
use tollgate_proxy::past::Past;
use tollgate_store::{Dim, Reader, Registry, SqliteLedger, Sums, UsageQuery, UsageRow};

use super::start::Handle;
use super::sweep;
use crate::out;

/// So many rows are counted one by one, whatever is needed of them: a second's work.
const FEW_ROWS: u64 = 200_000;
/// Windows before the present one from which unused allowance may have been carried over.
const CARRYING: i64 = 12;
/// How far ahead rows may lie, where the clock was put back.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// How long the calls of the last run may take to reach the database.
const CATCH_UP: Duration = Duration::from_secs(30);
/// A start that takes longer says so.
const LONG: Duration = Duration::from_secs(1);

/// Fills the counters. Before it no call may be admitted.
pub(super) fn restore(handle: &Handle, ledger: &SqliteLedger) -> anyhow::Result<()> {
    let clock = &handle.ground.clock;
    let (began, now) = (clock.monotonic(), clock.now());
    let registry = Registry::open(&handle.database)?;
    sweep::record_pending(handle, &registry, Timestamp::MAX)?;
    ledger.hurry();
    let reader = Reader::open(&handle.database)?;
    ensure!(reader.catch_up(CATCH_UP)?, "the calls of the last run are not in the database yet");
    let snapshot = handle.plane.snapshot.load_full();
    let past = Past::new(&handle.plane, &snapshot);
    let outside = handle.config.lock().limits.clone();
    let plans = snapshot.plans.values().chain([&snapshot.default_plan]);
    let of_keys = snapshot.keys.entries().filter_map(|key| key.own.as_ref());
    let limits = plans
        .flat_map(|plan| &plan.limits)
        .chain(&outside)
        .chain(of_keys.flat_map(|own| own.limits()))
        .map(Arc::clone)
        .collect();
    let history = History { reader, past, limits, zone: snapshot.settings.zone.clone(), now };
    let rows = history.absorb().context("counters cannot be made from the ledger")?;
    let actions = actions(&registry, &history.past, now)?;
    let took = clock.monotonic().saturating_sub(began);
    if took > LONG {
        out::note(format_args!(
            "counters were made again from {rows} rows and {actions} actions in {:.1} s",
            took.as_secs_f64()
        ));
    }
    Ok(())
}

/// Sets aside again what stands, and counts what was used; gives the number of actions.
fn actions(registry: &Registry, past: &Past<'_>, now: Timestamp) -> anyhow::Result<usize> {
    let standing = registry.standing_actions()?;
    let run_out = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    let over: Vec<CallId> = standing
        .iter()
        .filter(|action| run_out(action.expires_at))
        .map(|action| action.id)
        .collect();
    registry.expire_actions(&over, now)?;
    let ended = registry.ended_actions(Timestamp::UNIX_EPOCH)?;
    for action in &ended {
        past.action(action);
    }
    let standing = standing.iter().filter(|action| !run_out(action.expires_at));
    let restored = standing.inspect(|action| past.restore(action)).count();
    Ok(ended.len() + restored)
}

/// The ledger, and the limits that count what is in it.
struct History<'a> {
    reader: Reader,
    past: Past<'a>,
    limits: Vec<Arc<Limit>>,
    /// The zone of the day rollups.
    zone: TimeZone,
    now: Timestamp,
}

impl History<'_> {
    /// Counts everything; gives the number of rows that were read.
    fn absorb(&self) -> anyhow::Result<u64> {
        let Some(begin) = self.begin(|_| true) else { return Ok(0) };
        let needed = self.begin(needs_rows).unwrap_or(self.now);
        let all = UsageQuery {
            zone: self.zone.clone(),
            ..UsageQuery::between(begin, self.now.checked_add(AHEAD)?)
        };
        let calls = self.reader.total(&all)?.calls;
        let cut = if calls <= FEW_ROWS { begin } else { needed };
        let cut = cut.max(self.reader.purged_before()?);
        self.absorb_days(cut)?;
        self.absorb_endless(cut)?;
        let mut rows = 0;
        self.reader.for_each_since(cut, |call| {
            rows += 1;
            self.past.call(&call);
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
                self.past.many(&subject(who), at, &amounts(&row.sums), counts);
            }
        }
        Ok(())
    }

    /// Counts all there was before the cut in limits whose window has no end.
    fn absorb_endless(&self, cut: Timestamp) -> anyhow::Result<()> {
        let counts = |limit: &Limit| !needs_rows(limit) && is_endless(limit);
        let Some(from) = self.begin(counts).filter(|from| *from < cut) else { return Ok(()) };
        for row in self.sums(from, cut, (None, &self.zone))? {
            self.past.many(&subject(&row.group), from, &amounts(&row.sums), counts);
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
            group_by: first.into_iter().chain(who).collect(),
            ..UsageQuery::between(from, to)
        };
        Ok(self.reader.usage(&query)?)
    }
}

/// Whether only rows tell what a limit counts: rollups know neither instants nor addresses, sessions
/// and public model names.
fn needs_rows(limit: &Limit) -> bool {
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
