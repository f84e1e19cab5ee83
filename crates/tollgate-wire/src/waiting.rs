//! What the headers of an answer say about waiting: when a request may be tried again, and when a
//! limit that the provider has on us is used up.
//!
//! Sources: RFC 9110 (`retry-after`); OpenAI, rate limits (`x-ratelimit-*`, durations such as
//! `6m0s`); Anthropic, rate limits (`anthropic-ratelimit-*`, RFC 3339 times). Headers that make no
//! sense are passed over: they are advice.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::endpoint::Endpoint;

/// OpenAI's counts that run out, and when each is full again.
const OPENAI: [(&str, &str); 2] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
];
/// Anthropic's.
const ANTHROPIC: [(&str, &str); 4] = [
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
];

/// How long a provider asks to wait before the next try.
pub fn retry_after<'a>(
    header: impl Fn(&'static str) -> Option<&'a str>,
    now: Timestamp,
) -> Option<Duration> {
    if let Some(millis) = header("retry-after-ms").and_then(|text| text.trim().parse().ok()) {
        return Duration::try_from_secs_f64(f64::max(millis, 0.0) / 1_000.0).ok();
    }
    let text = header("retry-after")?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let at = rfc2822::parse(text).ok()?.timestamp();
    Some(until(at, now))
}

/// How long a limit that the provider has on us stays used up, by the answer to an operation; `None`
/// where something is left of each.
pub fn used_up<'a>(
    operation: Endpoint,
    header: impl Fn(&'static str) -> Option<&'a str>,
    now: Timestamp,
) -> Option<Duration> {
    let pairs: &[(&str, &str)] = if operation == Endpoint::Messages { &ANTHROPIC } else { &OPENAI };
    let empty = pairs.iter().filter(|(left, _)| header(left).is_some_and(|it| it.trim() == "0"));
    empty.filter_map(|(_, reset)| span(header(reset)?.trim(), now)).max()
}

/// A time to come, as a span (`1m2.5s`, `20ms`, plain seconds) or as an instant.
fn span(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(until(at, now));
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at_checked(digits)?;
        let letters = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, left) = unit.split_at_checked(letters)?;
        let seconds = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" | "µs" => 0.000_001,
            _ => return None,
        };
        let part = number.parse::<f64>().ok()? * seconds;
        sum = sum.checked_add(Duration::try_from_secs_f64(part).ok()?)?;
        rest = left;
    }
    Some(sum).filter(|_| !text.is_empty())
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_wait_is_read_in_every_form_and_nonsense_is_none() {
        let millis = Duration::from_millis;
        for (name, text, wait) in [
            ("retry-after-ms", "1500", Some(millis(1_500))),
            ("retry-after", "7", Some(millis(7_000))),
            ("retry-after", " 0.25 ", Some(millis(250))),
            ("retry-after", "Sat, 21 Nov 2026 00:00:30 GMT", Some(millis(30_000))),
            ("retry-after", "Fri, 20 Nov 2026 00:00:30 GMT", Some(millis(0))),
            ("retry-after", "-3", Some(millis(0))),
            ("retry-after", "soon", None),
            ("retry-after", "1e300", None),
            ("retry-after-ms", "nan", Some(millis(0))),
        ] {
            assert_eq!(retry_after(|each| (each == name).then_some(text), now()), wait, "{text}");
        }
    }

    #[test]
    fn a_limit_that_is_used_up_tells_when_it_is_full_again() {
        let headers = |pairs: &'static [(&str, &'static str)]| {
            move |name: &'static str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
        };
        let openai = headers(&[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m2.5s"),
            ("x-ratelimit-remaining-tokens", "12"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        let wait = used_up(Endpoint::ChatCompletions, openai, now());
        assert_eq!(wait, Some(Duration::from_millis(62_500)));
        let anthropic = headers(&[
            ("anthropic-ratelimit-output-tokens-remaining", "0"),
            ("anthropic-ratelimit-output-tokens-reset", "2026-11-21T00:00:09Z"),
        ]);
        assert_eq!(used_up(Endpoint::Messages, anthropic, now()), Some(Duration::from_secs(9)));
        assert_eq!(used_up(Endpoint::Messages, |_| None, now()), None);
        for (text, millis) in [("20ms", Some(20)), ("1h0m1s", Some(3_601_000)), ("5", Some(5_000))]
        {
            assert_eq!(span(text, now()), millis.map(Duration::from_millis), "{text}");
        }
        for wrong in ["", "s", "1x", "1m2", "µ", "1..2s", "9999999999999999999999s"] {
            assert_eq!(span(wrong, now()), None, "{wrong}");
        }
    }
}
