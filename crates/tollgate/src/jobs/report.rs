//! The report of the day or the week that was over when the job was due, for the job's channels.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::tz::TimeZone;
use tollgate_alerts::Incident;
use tollgate_alerts::notice::Notice;
use tollgate_alerts::report::{Figures, Period, Report, Share, Top};
use tollgate_alerts::span::Span;
use tollgate_store::{AlertEventFilter, Dim, Reader, Registry, Sums, UsageQuery};

use super::task::{Run, Task};
use crate::config::JobKind;

/// How long the newest calls may take to reach the database.
const CATCH_UP: Duration = Duration::from_secs(5);
/// So many users and models are named.
const NAMED: usize = 5;
/// So many alerts are told one by one.
const TOLD: usize = 8;
/// Events of alerts that are read at a time.
const PAGE: usize = 200;
/// What begins an alert, in its history.
const FIRED: &str = "fired";

pub(super) fn run(task: &Task) -> anyhow::Result<Run> {
    let config = task.config();
    let job = config.jobs.others.get(&task.kind).context("it is not configured any more")?;
    let period = match task.kind {
        JobKind::WeeklyReport => Period::Week,
        _ => Period::Day,
    };
    let zone = job.plan.schedule.zone();
    let report = make(task, period, zone)?;
    let notices =
        task.notices(&config, |language| Notice::of_report(report.clone(), language, task.at));
    let told = match notices.len() {
        0 => "nobody is told: no channel is in use".to_owned(),
        count => format!("for {count} channels"),
    };
    let day = report.from.to_zoned(zone.clone()).date();
    let run = Run::success(format!("report from {day}, {told}"));
    Ok(Run { notices, ..run })
}

fn make(task: &Task, period: Period, zone: &TimeZone) -> anyhow::Result<Report> {
    let (last, before) = period.last(zone, task.at).context("there is no such period")?;
    task.handle.ledger.hurry();
    let reader = Reader::open(&task.handle.database)?;
    ensure!(reader.catch_up(CATCH_UP)?, "the newest calls are not in the database yet");
    let past = Past { reader, zone };
    let registry = Registry::open(&task.handle.database)?;
    let (alerts, more_alerts) = alerts(&registry, last)?;
    Ok(Report {
        period,
        timezone: zone.iana_name().unwrap_or("UTC").to_owned(),
        from: last.from,
        to: last.to,
        total: past.total(last)?,
        before: past.total(before)?,
        users: past.top(last, Dim::User)?,
        models: past.top(last, Dim::Model)?,
        alerts,
        more_alerts,
    })
}

/// The ledger as reports read it.
struct Past<'a> {
    reader: Reader,
    zone: &'a TimeZone,
}

impl Past<'_> {
    fn query(&self, span: Span) -> UsageQuery {
        UsageQuery { zone: self.zone.clone(), ..UsageQuery::between(span.from, span.to) }
    }

    fn total(&self, span: Span) -> anyhow::Result<Figures> {
        Ok(figures(&self.reader.total(&self.query(span))?))
    }

    fn top(&self, span: Span, dim: Dim) -> anyhow::Result<Top> {
        let query = UsageQuery { group_by: vec![dim], ..self.query(span) };
        let rows = self.reader.usage(&query)?.into_iter().map(|row| Share {
            name: row.group.first().and_then(|name| name.as_deref().map(str::to_owned)),
            cost_usd: row.sums.cost_usd,
            calls: row.sums.calls,
        });
        Ok(Top::of(rows.collect(), NAMED))
    }
}

const fn figures(sums: &Sums) -> Figures {
    Figures {
        cost_usd: sums.cost_usd,
        calls: sums.calls,
        failed: sums.failed,
        refused: sums.refused,
        input_tokens: sums.input_tokens,
        output_tokens: sums.output_tokens,
        cache_hits: sums.cache_hits,
        savings_usd: sums.savings_usd,
    }
}

/// Alerts that began within a span, the newest first, and how many more there were.
fn alerts(registry: &Registry, span: Span) -> anyhow::Result<(Vec<Incident>, usize)> {
    let mut filter = AlertEventFilter::default();
    let (mut found, mut more) = (Vec::new(), 0);
    loop {
        let events = registry.alert_history(&filter, PAGE)?;
        for event in &events {
            if event.happened != FIRED || event.time < span.from || event.time >= span.to {
                continue;
            }
            match serde_json::from_str(&event.alert.alert) {
                Ok(incident) if found.len() < TOLD => found.push(incident),
                _ => more += 1,
            }
        }
        match events.last() {
            Some(last) if last.time >= span.from => filter.before = Some(last.id),
            _ => return Ok((found, more)),
        }
    }
}
