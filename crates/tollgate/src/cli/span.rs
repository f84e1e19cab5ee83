//! Spans of time as they are typed: `--since 24h`, `--from 2026-11-01 --to 2026-11-30`.

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _, Unit, Zoned};

/// The span that rows are taken from.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SpanArgs {
    /// Only what began this long ago or later: 15m, 24h, 7d
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["from", "to"])]
    since: Option<String>,
    /// Only what began on this day or later: 2026-11-01, or an RFC 3339 instant
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Only what began on this day or earlier
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
}

/// A span of time, from and up to but without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Between {
    /// The first instant.
    pub(crate) from: Option<Timestamp>,
    /// The instant behind the last.
    pub(crate) to: Option<Timestamp>,
}

impl SpanArgs {
    /// The instants that are meant, days in `zone`.
    pub(crate) fn between(&self, zone: &TimeZone, now: Timestamp) -> anyhow::Result<Between> {
        if let Some(since) = &self.since {
            let from = now.to_zoned(zone.clone()).checked_sub(duration(since)?)?.timestamp();
            return Ok(Between { from: Some(from), to: None });
        }
        let from = self.from.as_deref().map(|text| start_of(text, zone)).transpose()?;
        let to = self.to.as_deref().map(|text| end_of(text, zone)).transpose()?;
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            bail!("--from lies after --to");
        }
        Ok(Between { from, to })
    }
}

/// The first day of the month that `now` lies in.
pub(crate) fn start_of_month(now: Timestamp, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    let first: Zoned = now.to_zoned(zone.clone()).first_of_month()?.start_of_day()?;
    Ok(first.timestamp())
}

fn duration(text: &str) -> anyhow::Result<Span> {
    let wrong = || format!("`{text}` is not a duration: expected a form such as 15m, 24h or 7d");
    let split = text.find(|c: char| !c.is_ascii_digit()).with_context(wrong)?;
    let (count, unit) = text.split_at_checked(split).with_context(wrong)?;
    let count: i64 = count.parse().with_context(wrong)?;
    Ok(match unit {
        "s" => count.seconds(),
        "m" => count.minutes(),
        "h" => count.hours(),
        "d" => count.days(),
        "w" => count.weeks(),
        _ => bail!(wrong()),
    })
}

/// The first instant of a day, or the instant itself.
pub(crate) fn start_of(text: &str, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    Ok(day(text)?.to_zoned(zone.clone())?.timestamp())
}

/// The instant behind a day, or the instant itself.
pub(crate) fn end_of(text: &str, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    Ok(day(text)?.tomorrow()?.to_zoned(zone.clone())?.timestamp())
}

fn day(text: &str) -> anyhow::Result<Date> {
    text.parse().with_context(|| format!("`{text}` is not a day: expected a form like 2026-11-01"))
}

/// A local time as tables show it.
pub(crate) fn shown(at: Timestamp, zone: &TimeZone) -> String {
    let local = at.to_zoned(zone.clone());
    let local = local.round(Unit::Second).unwrap_or(local);
    local.strftime("%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(since: Option<&str>, from: Option<&str>, to: Option<&str>) -> SpanArgs {
        let own = |text: Option<&str>| text.map(str::to_owned);
        SpanArgs { since: own(since), from: own(from), to: own(to) }
    }

    #[test]
    fn days_are_days_of_the_zone_and_the_last_one_is_included() {
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        let now: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let between =
            args(None, Some("2026-11-01"), Some("2026-11-30")).between(&seoul, now).unwrap();
        assert_eq!(between.from.unwrap().to_string(), "2026-10-31T15:00:00Z");
        assert_eq!(between.to.unwrap().to_string(), "2026-11-30T15:00:00Z");
        let since = args(Some("24h"), None, None).between(&seoul, now).unwrap();
        assert_eq!(since.from.unwrap().to_string(), "2026-11-20T03:00:00Z");
        assert_eq!(start_of_month(now, &seoul).unwrap().to_string(), "2026-10-31T15:00:00Z");
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        let zone = TimeZone::UTC;
        let now = Timestamp::UNIX_EPOCH;
        for (since, from, to, part) in [
            (Some("soon"), None, None, "15m, 24h or 7d"),
            (Some("7"), None, None, "15m, 24h or 7d"),
            (None, Some("yesterday"), None, "2026-11-01"),
            (None, Some("2026-11-30"), Some("2026-11-01"), "after --to"),
        ] {
            let error = args(since, from, to).between(&zone, now).unwrap_err();
            assert!(format!("{error:#}").contains(part), "{error:#}");
        }
    }
}
