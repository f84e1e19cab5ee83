//! What limits tell a client in headers: the IETF draft (`RateLimit`, `RateLimit-Policy`), the names
//! that OpenAI's clients know, and when a refused call may be tried again.
//!
//! Source: draft-ietf-httpapi-ratelimit-headers (repository state of 2025-09-23).

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_admission::engine::{Grant, Headroom, Refusal};
use tollgate_domain::limit::{Metric, Window};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const OPENAI_REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const OPENAI_TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// Waits beyond this are not for an SDK that holds a connection open meanwhile: the window of a
/// minute, which most rates have, and a little more.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(65);

/// Headers that a granted call's answer carries.
#[derive(Clone, Debug, Default)]
pub struct LimitHeaders(Vec<(HeaderName, HeaderValue)>);

impl LimitHeaders {
    /// The headers for what is left after a grant; none where no limit applies.
    pub fn of(grant: &Grant) -> Self {
        // Room for five limits: it is written for each call, so it should not grow step by step.
        let (mut policy, mut state) = (Vec::with_capacity(192), Vec::with_capacity(192));
        let mut headers = Vec::with_capacity(8);
        let (mut requests, mut tokens): (Option<Headroom<'_>>, Option<Headroom<'_>>) = (None, None);
        for room in grant.headroom() {
            let (Some(max), Some(left)) = (room.max, room.remaining) else { continue };
            push_policy(&mut policy, &room, max);
            push_state(&mut state, &room, left);
            let tightest = match room.limit.metric {
                Metric::Requests | Metric::Successes => &mut requests,
                Metric::Tokens | Metric::InputTokens | Metric::OutputTokens => &mut tokens,
                Metric::CostUsd | Metric::Concurrency | Metric::Units => continue,
            };
            if tightest.is_none_or(|other| other.remaining.is_none_or(|least| left < least)) {
                *tightest = Some(room);
            }
        }
        put(&mut headers, RATE_LIMIT_POLICY, policy);
        put(&mut headers, RATE_LIMIT, state);
        if let Some(room) = requests {
            openai(&mut headers, &OPENAI_REQUESTS, &room);
        }
        if let Some(room) = tokens {
            openai(&mut headers, &OPENAI_TOKENS, &room);
        }
        Self(headers)
    }

    /// Puts them on an answer, over what the provider says of its own limits.
    pub fn put_on(&self, answer: &mut HeaderMap) {
        for (name, value) in &self.0 {
            answer.insert(name.clone(), value.clone());
        }
    }
}

fn put(headers: &mut Vec<(HeaderName, HeaderValue)>, name: HeaderName, value: Vec<u8>) {
    if value.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        headers.push((name, value));
    }
}

/// `"burst";q=10;w=60`: the quota and the seconds of its window.
fn push_policy(text: &mut Vec<u8>, room: &Headroom<'_>, max: i64) {
    push_name(text, room);
    push(text, b";q=", shown(room.limit.metric, max));
    if let Some(seconds) = window_seconds(&room.limit.window) {
        push(text, b";w=", seconds);
    }
    if let Some(unit) = unit(room.limit.metric) {
        text.extend_from_slice(b";qu=\"");
        text.extend_from_slice(unit.as_bytes());
        text.push(b'"');
    }
}

/// `"burst";r=9;t=60`: what is left and the seconds until there is more.
fn push_state(text: &mut Vec<u8>, room: &Headroom<'_>, left: i64) {
    push_name(text, room);
    push(text, b";r=", shown(room.limit.metric, left));
    if let Some(turn) = room.turns_in {
        push(text, b";t=", turn.as_secs());
    }
}

fn push_name(text: &mut Vec<u8>, room: &Headroom<'_>) {
    if !text.is_empty() {
        text.extend_from_slice(b", ");
    }
    let can_stand = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    let name = room.limit.name.as_bytes();
    text.push(b'"');
    if name.iter().all(can_stand) {
        text.extend_from_slice(name);
    } else {
        text.extend(name.iter().copied().filter(can_stand));
    }
    text.push(b'"');
}

fn push(text: &mut Vec<u8>, before: &[u8], figure: impl itoa::Integer) {
    text.extend_from_slice(before);
    text.extend_from_slice(itoa::Buffer::new().format(figure).as_bytes());
}

/// Structured fields hold integers of 15 digits; money is told in thousandths of a cent.
fn shown(metric: Metric, amount: i64) -> i64 {
    const MOST: i64 = 999_999_999_999_999;
    let amount = if metric == Metric::CostUsd { amount / 10_000 } else { amount };
    amount.clamp(-MOST, MOST)
}

/// The unit where it is not calls.
const fn unit(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Requests | Metric::Successes => None,
        Metric::Concurrency => Some("concurrent-requests"),
        Metric::InputTokens | Metric::OutputTokens | Metric::Tokens => Some("tollgate-tokens"),
        Metric::CostUsd => Some("tollgate-usd-1e-5"),
        Metric::Units => Some("tollgate-units"),
    }
}

const fn window_seconds(window: &Window) -> Option<u64> {
    match window {
        Window::Sliding { millis } => Some(*millis / 1_000),
        Window::Day => Some(86_400),
        Window::Week => Some(604_800),
        Window::Month => Some(2_592_000),
        Window::Rolling { days } => Some(86_400 * (*days as u64)),
        Window::Total | Window::Balance | Window::Now => None,
    }
}

/// The three headers that OpenAI's clients know, for what they count.
fn openai(
    headers: &mut Vec<(HeaderName, HeaderValue)>,
    [limit, remaining, reset]: &[HeaderName; 3],
    room: &Headroom<'_>,
) {
    headers.push((limit.clone(), HeaderValue::from(room.max.unwrap_or_default())));
    headers.push((remaining.clone(), HeaderValue::from(room.remaining.unwrap_or_default())));
    if let Some(turn) = room.turns_in {
        let mut text = Vec::with_capacity(12);
        push(&mut text, b"", turn.as_secs());
        text.push(b's');
        put(headers, reset.clone(), text);
    }
}

/// How long an SDK should wait before it tries a refused call again by itself; `None` where it
/// should not.
pub(crate) fn wait(refusal: &Refusal, now: Timestamp) -> Option<Duration> {
    let retryable = refusal.code.retryable();
    refusal.retry_after(now).filter(|wait| retryable && *wait <= LONGEST_WAIT)
}

/// Puts on a refusal what it says about time.
pub(crate) fn refuse(headers: &mut HeaderMap, refusal: &Refusal, now: Timestamp) {
    if let Some(wait) = wait(refusal, now) {
        let millis = wait.as_millis();
        headers
            .insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + u64::from(millis % 1_000 > 0)));
        if let Ok(millis) = u64::try_from(millis) {
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(millis));
        }
    }
    let name: String = refusal.limit.name.chars().filter(char::is_ascii_alphanumeric).collect();
    let turn = refusal.frees_at.map(|at| at.as_second().saturating_sub(now.as_second()).max(0));
    let turn = turn.map(|seconds| format!(";t={seconds}")).unwrap_or_default();
    if let Ok(value) = HeaderValue::from_str(&format!("\"{name}\";r=0{turn}")) {
        headers.insert(RATE_LIMIT, value);
    }
}

/// An instant as documents show it: RFC 3339 with the offset of the limit's zone.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
