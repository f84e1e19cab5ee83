//! Sums of calls, as documents show them.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use tollgate_admission::control::{ControlError, UsageAsk, UsageReport};
use tollgate_store::{Dim, Sums, UsageQuery};

use super::Controls;
use crate::cli::span;

/// Most rows of one report.
const MOST_ROWS: usize = 50_000;

impl Controls {
    pub(super) fn report_usage(&self, ask: &UsageAsk) -> Result<UsageReport, ControlError> {
        let zone = self.config.lock().server.timezone.clone();
        let (query, from, to) = question(ask, &zone, self.clock.now())?;
        let reader = self.reader()?;
        let rows = reader.usage(&query)?;
        if rows.len() > MOST_ROWS {
            return Err(ControlError::Invalid(format!(
                "the report would have {} rows, {MOST_ROWS} are the most: ask for less time or \
                 group by less",
                rows.len()
            )));
        }
        let mut total = Sums::default();
        for row in &rows {
            total.add(&row.sums);
        }
        let keys: Vec<String> = query.group_by.iter().map(ToString::to_string).collect();
        Ok(UsageReport {
            from,
            to,
            timezone: zone.iana_name().unwrap_or("UTC").to_owned(),
            total_cost_usd: total.cost_usd,
            calls: total.calls,
            rows: rows.iter().map(|row| with_group(&keys, &row.group, &row.sums)).collect(),
        })
    }
}

/// The query that is meant, and its span in words.
fn question(
    ask: &UsageAsk,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<(UsageQuery, String, String), ControlError> {
    let invalid = |error: anyhow::Error| ControlError::Invalid(format!("{error:#}"));
    let words = ask.group_by.as_deref().unwrap_or_default().split(',').map(str::trim);
    let group_by = words
        .filter(|word| !word.is_empty())
        .map(|word| word.parse::<Dim>().map_err(|error| ControlError::Invalid(error.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let today = now.to_zoned(zone.clone()).date();
    let first = today.first_of_month().to_string();
    let from = ask.from.clone().unwrap_or(first);
    let to = ask.to.clone().unwrap_or_else(|| today.to_string());
    let start = span::start_of(&from, zone).map_err(invalid)?;
    let end = span::end_of(&to, zone).map_err(invalid)?;
    if start >= end {
        return Err(ControlError::Invalid("`from` lies behind `to`".to_owned()));
    }
    let shared = |text: &Option<String>| text.as_deref().map(Arc::from);
    let query = UsageQuery {
        from: start,
        to: end,
        zone: zone.clone(),
        group_by,
        user: shared(&ask.user),
        team: shared(&ask.team),
        key: shared(&ask.key),
        feature: shared(&ask.feature),
        provider: shared(&ask.provider),
        model: shared(&ask.model),
    };
    Ok((query, from, to))
}

/// A row of a report: the values of its group, then the figures.
pub(crate) fn with_group(
    keys: &[String],
    group: &[Option<Arc<str>>],
    sums: &Sums,
) -> Map<String, Value> {
    let mut row: Map<String, Value> = keys
        .iter()
        .zip(group)
        .map(|(key, value)| (key.clone(), value.as_deref().map_or(Value::Null, Value::from)))
        .collect();
    if let Ok(Value::Object(figures)) = serde_json::to_value(sums) {
        row.extend(figures);
    }
    row
}
