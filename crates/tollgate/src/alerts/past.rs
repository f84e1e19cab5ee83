//! What the ledger tells of the past: what was usual for a subject, what the windows of today held
//! when the program started, and which models took most.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tollgate_alerts::engine::Engine;
use tollgate_alerts::measure::{By, Measure, Metric, Source, Window};
use tollgate_alerts::span::{self, Span};
use tollgate_alerts::{Ask, History, Incident, Sums};
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_store::{Dim, Filter, Reader, Registry, SqliteLedger, UsageQuery};

use super::addresses;

/// How long the newest calls may take to reach the database.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Calls of the last hours are counted one by one; before them, their sums.
const ONE_BY_ONE: SignedDuration = SignedDuration::from_hours(2);
/// The endpoint of usage that happened elsewhere.
const REPORTED: &str = "/api/usage";
/// Rollups tell quarters of an hour.
const QUARTER: i64 = 900;
/// So many models are named.
const MODELS: usize = 3;

/// The ledger as alerts read it.
#[derive(Debug)]
pub(super) struct Past {
    reader: Reader,
    zone: TimeZone,
}

impl Past {
    pub(super) fn open(database: &Path, zone: TimeZone) -> anyhow::Result<Self> {
        Ok(Self { reader: Reader::open(database)?, zone })
    }

    /// What was in the spans of an ask.
    pub(super) fn answer(&self, registry: &Registry, ask: &Ask) -> anyhow::Result<History> {
        if ask.by == Some(By::Ip) {
            return address(registry, ask);
        }
        let query = |span: &Span| {
            let mut query = UsageQuery::between(span.from, span.to);
            query.zone = self.zone.clone();
            set(&mut query, ask.by, &ask.subject);
            ask.only.iter().for_each(|(by, name)| set(&mut query, Some(*by), name));
            query
        };
        let days = UsageQuery { group_by: vec![Dim::Day], ..query(&ask.seen) };
        let days = self.reader.usage(&days)?;
        let first = days.iter().find(|row| row.sums.calls + row.sums.refused > 0);
        let first = first.and_then(|row| row.group.first()?.as_deref()?.parse::<Date>().ok());
        let first = first.and_then(|day| day.to_zoned(self.zone.clone()).ok());
        let sums = ask.spans.iter().map(|span| Ok(sums(&self.reader.total(&query(span))?)));
        Ok(History {
            first: first.map(|day| day.timestamp()),
            sums: sums.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Counts what the present windows held until `now`; gives the calls that were counted and may
    /// come again from the feed: those since `started`, and usage that was reported, which may be of
    /// any time.
    pub(super) fn recall(
        &self,
        engine: &mut Engine,
        ledger: &SqliteLedger,
        (started, now): (Timestamp, Timestamp),
    ) -> anyhow::Result<HashSet<CallId>> {
        ledger.hurry();
        ensure!(self.reader.catch_up(CATCH_UP)?, "the newest calls are not in the database yet");
        let cut = now.checked_sub(ONE_BY_ONE)?.as_second();
        let cut = Timestamp::from_second(cut - cut.rem_euclid(QUARTER))?;
        let measures = engine.measures();
        for (at, measure) in measures.iter().enumerate() {
            let from = span::window(measure.window, &self.zone, now).from;
            if from < cut && is_told_by_sums(measure) {
                self.recall_sums(engine, (at, measure), Span { from, to: cut })?;
            }
        }
        let mut seen = HashSet::new();
        let filter = Filter { since: Some(cut), ..Filter::default() };
        self.reader.export(&filter, |call| {
            for (at, _) in measures.iter().enumerate() {
                engine.recall_call(at, &call);
            }
            if call.time >= started || &*call.endpoint == REPORTED {
                seen.insert(call.call_id);
            }
            ControlFlow::Continue(())
        })?;
        Ok(seen)
    }

    fn recall_sums(
        &self,
        engine: &mut Engine,
        (at, measure): (usize, &Measure),
        span: Span,
    ) -> anyhow::Result<()> {
        let by_hour = matches!(measure.window, Window::Last(_));
        let hour = by_hour.then_some(Dim::Hour);
        let mut query = UsageQuery::between(span.from, span.to);
        query.zone = TimeZone::UTC;
        query.group_by = hour.into_iter().chain(measure.by.and_then(dim)).collect();
        measure.only.iter().for_each(|(by, name)| set(&mut query, Some(*by), name));
        for row in self.reader.usage(&query)? {
            let mut group = row.group.iter();
            let hour = if by_hour { group.next().cloned().flatten() } else { None };
            let begin = hour.and_then(|hour| hour.parse::<Timestamp>().ok()).unwrap_or(span.from);
            let subject = match measure.by {
                None => Arc::default(),
                Some(_) => match group.next().cloned().flatten() {
                    Some(name) => name,
                    None => continue,
                },
            };
            engine.recall(at, subject, (begin.max(span.from), &sums(&row.sums)));
        }
        Ok(())
    }

    /// The models that took most of what an incident is about.
    pub(super) fn models(
        &self,
        incident: &Incident,
        ledger: &SqliteLedger,
        now: Timestamp,
    ) -> anyhow::Result<Vec<(String, NanoUsd)>> {
        let Some(mut query) = self.about(incident, now) else { return Ok(Vec::new()) };
        ledger.hurry();
        self.reader.catch_up(CATCH_UP)?;
        query.group_by = vec![Dim::Model];
        let mut models: HashMap<String, NanoUsd> = HashMap::new();
        for row in self.reader.usage(&query)? {
            let name = row.group.first().cloned().flatten().unwrap_or_default();
            *models.entry(name.to_string()).or_default() += row.sums.cost_usd;
        }
        let mut models: Vec<_> =
            models.into_iter().filter(|(_, cost)| *cost > NanoUsd::ZERO).collect();
        models.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        models.truncate(MODELS);
        Ok(models)
    }

    /// The calls that an incident is about; `None` where models say nothing about it.
    fn about(&self, incident: &Incident, now: Timestamp) -> Option<UsageQuery> {
        if incident.by == Some(By::Ip) || incident.by == Some(By::Model) {
            return None;
        }
        let tells = |metric: &Metric| {
            matches!(
                metric,
                Metric::CostUsd | Metric::Calls | Metric::Tokens | Metric::OutputTokens
            )
        };
        let budget = incident.budget.as_ref();
        let window = match (incident.metric.as_ref().filter(|metric| tells(metric)), budget) {
            (Some(_), None) => incident.window.as_str(),
            (_, Some(budget)) if budget.metric == tollgate_domain::limit::Metric::CostUsd => {
                budget.window.as_str()
            }
            _ => return None,
        };
        let window = match window.strip_prefix("rolling ").unwrap_or(window) {
            "day" => Window::Day,
            "week" => Window::Week,
            "month" => Window::Month,
            span => Window::Last(tollgate_alerts::condition::span_of(span)?),
        };
        let from = span::window(window, &self.zone, now).from;
        let mut query = UsageQuery::between(from, now);
        query.zone = self.zone.clone();
        set(&mut query, incident.by, &incident.subject);
        for (scope, name) in budget.into_iter().flat_map(|budget| &budget.scope) {
            let by = By::ALL.iter().find(|by| by.as_str() == scope);
            set(&mut query, by.copied(), name);
        }
        Some(query)
    }
}

/// Whether rollups tell what a measure counts.
fn is_told_by_sums(measure: &Measure) -> bool {
    let metric = measure.metric;
    let exact = measure.only.iter().all(|(by, name)| dim(*by).is_some() && !name.ends_with('*'));
    metric.source() == Source::Calls
        && metric.has_baseline()
        && metric != Metric::CallCostUsd
        && measure.by.is_none_or(|by| dim(by).is_some())
        && exact
}

fn dim(by: By) -> Option<Dim> {
    match by {
        By::User => Some(Dim::User),
        By::Key => Some(Dim::Key),
        By::Model => Some(Dim::Model),
        By::Provider => Some(Dim::Provider),
        By::Team => Some(Dim::Team),
        By::Feature => Some(Dim::Feature),
        By::Ip | By::Limit => None,
    }
}

/// Narrows a query to a subject.
fn set(query: &mut UsageQuery, by: Option<By>, name: &str) {
    let field = match by {
        Some(By::User) => &mut query.user,
        Some(By::Key) => &mut query.key,
        Some(By::Model) => &mut query.model,
        Some(By::Provider) => &mut query.provider,
        Some(By::Team) => &mut query.team,
        Some(By::Feature) => &mut query.feature,
        Some(By::Ip | By::Limit) | None => return,
    };
    *field = Some(Arc::from(name));
}

fn sums(sums: &tollgate_store::Sums) -> Sums {
    Sums {
        cost: sums.cost_usd,
        calls: sums.calls,
        failed: sums.failed,
        refused: sums.refused,
        input_tokens: sums.input_tokens,
        output_tokens: sums.output_tokens,
    }
}

/// What was kept of an address, hour by hour.
fn address(registry: &Registry, ask: &Ask) -> anyhow::Result<History> {
    let hours = registry.address_hours(&ask.subject, (ask.seen.from, ask.seen.to))?;
    let half = SignedDuration::from_mins(30);
    let within = |span: &Span| {
        let mut sums = Sums::default();
        for hour in &hours {
            // An hour belongs to the span that its middle lies in.
            let middle = hour.hour.checked_add(half).unwrap_or(hour.hour);
            if span.from <= middle && middle < span.to {
                sums.add(&addresses::sums(hour.figures));
            }
        }
        sums
    };
    let first = hours.first().map(|hour| hour.hour);
    Ok(History { first, sums: ask.spans.iter().map(within).collect() })
}
