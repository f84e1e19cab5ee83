//! `GET /api/billing`: what a caller has spent, by day, model and so on (SPEC §18).

use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use tollgate_admission::books::{BillingQuery, BillingRow};
use tollgate_domain::money::NanoUsd;

use super::{Answer, Asked, fields, json};
use crate::stop::Stop;

/// Most dimensions of one report.
const MOST_DIMENSIONS: usize = 4;

/// A span of whole days, or of instants where these were given.
struct Span {
    /// As they are shown: the last day is included.
    from: String,
    to: String,
    /// As they are asked: the end is not included.
    start: Timestamp,
    end: Timestamp,
}

/// Tells what was spent.
pub(super) async fn billing(asked: &Asked<'_>) -> Result<Answer, Stop> {
    let [user, from, to, group_by] = fields::query(&asked.uri, ["user", "from", "to", "group_by"])?;
    let principal = asked.speaking_for(user.as_deref())?;
    let zone = &asked.snapshot.settings.zone;
    let span = span(from.as_deref(), to.as_deref(), zone, asked.plane.clock.now())?;
    let group_by = words(group_by.as_deref())?;
    let query = BillingQuery {
        user: Arc::clone(&principal.user),
        from: span.start,
        to: span.end,
        zone: zone.clone(),
        group_by: group_by.clone(),
    };
    let rows = asked.plane.desk.ask(move |books| Ok(books.billing(&query)?)).await?;
    let total: NanoUsd = rows.iter().map(|row| row.cost).sum();
    let calls: u64 = rows.iter().map(|row| row.calls).sum();
    let timezone = zone.iana_name().map_or_else(
        || span.start.to_zoned(zone.clone()).strftime("%:z").to_string(),
        str::to_owned,
    );
    json(
        StatusCode::OK,
        &json!({
            "user": &*principal.user,
            "from": span.from,
            "to": span.to,
            "timezone": timezone,
            "total_cost_usd": total.to_string(),
            "calls": calls,
            "rows": rows.iter().map(|row| document(&group_by, row)).collect::<Vec<_>>(),
        }),
    )
}

fn document(group_by: &[String], row: &BillingRow) -> Map<String, Value> {
    let names = group_by.iter().zip(&row.group);
    let mut document: Map<String, Value> =
        names.map(|(name, value)| (name.clone(), value.as_deref().into())).collect();
    for (name, count) in [
        ("calls", row.calls),
        ("input_tokens", row.input_tokens),
        ("cached_input_tokens", row.cached_input_tokens),
        ("output_tokens", row.output_tokens),
    ] {
        document.insert(name.to_owned(), count.into());
    }
    document.insert("cost_usd".to_owned(), row.cost.to_string().into());
    document
}

/// What the rows are; models where nothing is said.
fn words(text: Option<&str>) -> Result<Vec<String>, Stop> {
    let words: Vec<String> =
        text.unwrap_or("model").split(',').map(|word| word.trim().to_owned()).collect();
    let mut distinct = words.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < words.len() || words.len() > MOST_DIMENSIONS {
        let message = format!("`group_by` takes at most {MOST_DIMENSIONS} different words");
        return Err(Stop::field(message, Some("group_by".into())));
    }
    Ok(words)
}

/// The span that is meant: from the first of this month to today where nothing is said.
fn span(
    from: Option<&str>,
    to: Option<&str>,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Span, Stop> {
    let today = zone.to_datetime(now).date();
    let (from_text, start) = match from {
        Some(text) => edge("from", text, zone, 0)?,
        None => of_day("from", today.first_of_month(), zone, 0)?,
    };
    let (to_text, end) = match to {
        Some(text) => edge("to", text, zone, 1)?,
        None => of_day("to", today, zone, 1)?,
    };
    if start >= end {
        return Err(Stop::field("`from` lies after `to`", Some("from".into())));
    }
    Ok(Span { from: from_text, to: to_text, start, end })
}

/// A day (its first instant, or with `days` that of a later one) or an instant.
fn edge(
    field: &'static str,
    text: &str,
    zone: &TimeZone,
    days: i64,
) -> Result<(String, Timestamp), Stop> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok((text.to_owned(), instant));
    }
    match text.parse::<Date>() {
        Ok(day) => of_day(field, day, zone, days),
        Err(_) => Err(no_day(field)),
    }
}

fn of_day(
    field: &'static str,
    day: Date,
    zone: &TimeZone,
    days: i64,
) -> Result<(String, Timestamp), Stop> {
    let span = jiff::Span::new().days(days);
    let start = day.checked_add(span).and_then(|day| day.to_zoned(zone.clone()));
    start.map(|start| (day.to_string(), start.timestamp())).map_err(|_| no_day(field))
}

fn no_day(field: &'static str) -> Stop {
    let message = format!("`{field}` must be a day such as 2026-11-01, or an RFC 3339 instant");
    Stop::field(message, Some(field.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_days_of_the_zone_and_the_last_is_included() {
        let zone = TimeZone::get("Asia/Seoul").unwrap();
        let now: Timestamp = "2026-11-20T16:00:00Z".parse().unwrap();
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let table = [
            (None, None, "2026-11-01", "2026-11-21", "2026-10-31T15:00Z", "2026-11-21T15:00Z"),
            (
                Some("2026-10-01"),
                Some("2026-10-31"),
                "2026-10-01",
                "2026-10-31",
                "2026-09-30T15:00Z",
                "2026-10-31T15:00Z",
            ),
            (
                Some("2026-11-01T00:00:00Z"),
                None,
                "2026-11-01T00:00:00Z",
                "2026-11-21",
                "2026-11-01T00:00Z",
                "2026-11-21T15:00Z",
            ),
        ];
        for (from, to, from_shown, to_shown, start, end) in table {
            let span = span(from, to, &zone, now).unwrap();
            assert_eq!((&*span.from, &*span.to), (from_shown, to_shown));
            assert_eq!((span.start, span.end), (time(start), time(end)));
        }
        for (from, to) in [
            (Some("yesterday"), None),
            (None, Some("2026-13-01")),
            (Some("2026-11-02"), Some("2026-11-01")),
            (None, Some("9999-12-31")),
        ] {
            assert!(span(from, to, &zone, now).is_err(), "{from:?} {to:?}");
        }
    }

    #[test]
    fn rows_are_by_model_unless_said_otherwise() {
        assert_eq!(words(None).unwrap(), ["model"]);
        assert_eq!(words(Some("day, tag:stage")).unwrap(), ["day", "tag:stage"]);
        assert!(words(Some("day,day")).is_err());
        assert!(words(Some("day,user,team,key,model")).is_err());
    }
}
