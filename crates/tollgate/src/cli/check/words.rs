//! Limits, secrets and measures in words.

use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::{ExposeSecret as _, SecretString};
use tollgate_domain::limit::{Limit, Metric, Mode, OnLimit, Scope, Window};
use tollgate_domain::money::NanoUsd;

/// Shortest secret of which anything is shown.
const LONG: usize = 24;

/// A secret as it may be shown: its last four characters where it is long, so that two keys can be
/// told apart, and the little prefix (`sk-`) that says whose it is.
pub(super) fn redacted(secret: &SecretString) -> String {
    let secret = secret.expose_secret();
    if secret.chars().count() < LONG || !secret.is_ascii() {
        return "set".to_owned();
    }
    let prefix = secret.find(['-', '_']).filter(|at| *at <= 3);
    let prefix = prefix.and_then(|at| secret.get(..=at)).unwrap_or_default();
    let end = secret.get(secret.len() - 4..).unwrap_or_default();
    format!("{prefix}\u{2026}{end}")
}

/// A limit in words.
pub(super) fn limit(limit: &Limit) -> String {
    let mut words = format!("{}{}", most(limit), window(limit));
    words.push_str(match (&limit.on_limit, limit.max, limit.mode) {
        (_, None, _) => "",
        (_, _, Mode::Shadow) => "; counted and reported, nothing is refused",
        (OnLimit::Deny, ..) => ", else refused",
        (OnLimit::Clamp, ..) => ", else the answer is shortened",
        (OnLimit::Alert, ..) => ", else somebody is told",
        (OnLimit::Downgrade(_), ..) => ", else served from ",
    });
    if let (OnLimit::Downgrade(model), Mode::Enforce, Some(_)) =
        (&limit.on_limit, limit.mode, limit.max)
    {
        words.push_str(model);
    }
    if !limit.warn_at.is_empty() {
        let steps: Vec<String> = limit.warn_at.iter().map(|step| percent(*step)).collect();
        words = format!("{words}; warns at {} %", steps.join(", "));
    }
    if limit.rollover > 0 {
        words = format!("{words}; {} % of what is left carries over", percent(limit.rollover));
    }
    words
}

/// "at most 10 calls per user".
fn most(limit: &Limit) -> String {
    let what = match limit.metric {
        Metric::Requests => "calls",
        Metric::Successes => "successful calls",
        Metric::InputTokens => "input tokens",
        Metric::OutputTokens => "output tokens",
        Metric::Tokens => "tokens",
        Metric::CostUsd => "USD",
        Metric::Concurrency => "calls at a time",
        Metric::Units => "units",
    };
    let most = match (limit.max, limit.metric) {
        (None, _) => "any number of".to_owned(),
        (Some(max), Metric::CostUsd) => format!("at most {}", usd(NanoUsd::from_nanos(max))),
        (Some(max), _) => format!("at most {max}"),
    };
    let mut words = format!("{most} {what}");
    for (kind, names) in [("of", &limit.models), ("served by", &limit.providers)] {
        if !names.is_empty() {
            words = format!("{words} {kind} {}", names.join(", "));
        }
    }
    if let Some(feature) = &limit.feature {
        words = format!("{words} for {feature}");
    }
    match limit.scope.as_slice() {
        [Scope::Global] => format!("{words} for everybody together"),
        scope => {
            let scope: Vec<&str> = scope.iter().map(|scope| scope.as_str()).collect();
            format!("{words} per {}", scope.join(" and "))
        }
    }
}

fn window(limit: &Limit) -> String {
    let zone = match limit.zone.iana_name() {
        Some(name) => format!(" ({name})"),
        None if limit.zone == TimeZone::UTC => " (UTC)".to_owned(),
        None => String::new(),
    };
    match limit.window {
        Window::Sliding { millis } => format!(" in any {}", span(Duration::from_millis(millis))),
        Window::Day => format!(" a day{zone}"),
        Window::Week => format!(" a week{zone}"),
        Window::Month => format!(" a month{zone}"),
        Window::Rolling { days: 1 } => format!(" today{zone}"),
        Window::Rolling { days } => format!(" in the last {days} days"),
        Window::Total => " in all".to_owned(),
        Window::Balance => " as a balance".to_owned(),
        Window::Now => String::new(),
    }
}

/// Parts per thousand as per cent: `80`, `2.5`.
fn percent(per_mille: u16) -> String {
    match per_mille % 10 {
        0 => (per_mille / 10).to_string(),
        tenth => format!("{}.{tenth}", per_mille / 10),
    }
}

/// An amount with as few decimals as it needs, two at least.
pub(super) fn usd(amount: NanoUsd) -> String {
    let text = amount.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    format!("{whole}.{fraction:0<2}")
}

/// A length of time as the configuration writes it, in the largest unit that it holds twice.
pub(super) fn span(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let window = Window::Sliding { millis }.to_string();
    window.trim_start_matches("sliding ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_secrets_show_nothing() {
        for (secret, shown) in [
            ("", "set"),
            ("admin-secret", "set"),
            ("tg_backend_example", "set"),
            ("sk-0123456789012345678wxyz", "sk-\u{2026}wxyz"),
            ("tg_012345678901234567890wxyz", "tg_\u{2026}wxyz"),
            ("0123456789012345678901234567", "\u{2026}4567"),
            ("organisation-012345678901wxyz", "\u{2026}wxyz"),
        ] {
            assert_eq!(redacted(&SecretString::from(secret)), shown);
        }
    }

    #[test]
    fn amounts_and_shares_are_short() {
        assert_eq!(usd("5".parse().unwrap()), "5.00");
        assert_eq!(usd("0.125".parse().unwrap()), "0.125");
        assert_eq!((percent(800), percent(25)), ("80".to_owned(), "2.5".to_owned()));
    }
}
