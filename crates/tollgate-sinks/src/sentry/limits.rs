//! What Sentry takes no more of, and until when.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use tokio::time::Instant;

/// Says what is limited: `60:error;transaction:organization, 2700::key`.
const RATE_LIMITS: &str = "x-sentry-rate-limits";
/// How long a bare 429 holds.
const BARE: Duration = Duration::from_mins(1);
/// A kind that stands for all.
const ALL: &str = "";

/// Kinds that are limited, and until when.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<String, Instant>);

impl Limits {
    /// Whether a kind is limited now.
    pub(super) fn holds(&self, kind: &str) -> bool {
        let now = Instant::now();
        [ALL, kind].iter().any(|kind| self.0.get(*kind).is_some_and(|until| *until > now))
    }

    /// Reads what an answer says.
    pub(super) fn note(&mut self, status: u16, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(limits) = text(RATE_LIMITS) {
            limits.split(',').for_each(|limit| self.note_one(limit.trim()));
        } else if status == 429 {
            let seconds = text(RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok());
            self.hold(ALL, seconds.map_or(BARE, Duration::from_secs));
        }
    }

    fn note_one(&mut self, limit: &str) {
        let mut parts = limit.split(':');
        let seconds = parts.next().and_then(|text| text.trim().parse().ok());
        let (Some(seconds), Some(kinds)) = (seconds, parts.next()) else { return };
        for kind in kinds.split(';') {
            self.hold(kind.trim(), Duration::from_secs(seconds));
        }
    }

    fn hold(&mut self, kind: &str, lasting: Duration) {
        if let Some(until) = Instant::now().checked_add(lasting) {
            let known = self.0.entry(kind.to_owned()).or_insert(until);
            *known = until.max(*known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))])
    }

    #[tokio::test(start_paused = true)]
    async fn kinds_are_limited_for_as_long_as_the_header_says() {
        let mut limits = Limits::default();
        let said = headers(RATE_LIMITS, "60:transaction;session:organization, 5:error:key:reason");
        limits.note(200, &said);
        assert!(limits.holds("transaction") && limits.holds("error") && !limits.holds("other"));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(limits.holds("transaction") && !limits.holds("error"));
        limits.note(200, &headers(RATE_LIMITS, "7::organization"));
        assert!(limits.holds("error") && limits.holds("anything"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bare_429_limits_everything() {
        let mut limits = Limits::default();
        limits.note(503, &HeaderMap::new());
        assert!(!limits.holds("error"));
        limits.note(429, &HeaderMap::new());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(limits.holds("error"));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!limits.holds("error"));
        limits.note(429, &headers("retry-after", "120"));
        tokio::time::advance(Duration::from_secs(90)).await;
        assert!(limits.holds("error"));
    }
}
