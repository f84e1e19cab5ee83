//! What a guest proves before it is served: a CAPTCHA token, verified by the service that made it.
//!
//! The three services (Turnstile, hCaptcha, reCAPTCHA) speak one protocol: a form with `secret` and
//! `response`, answered with `success` and `error-codes`. A token is good once, so it is asked about
//! once and then stands for a while as a pass of the one address that showed it. Where the service
//! does not answer, guests are refused: a door that opens when its guard is away is no door.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Number;
use tokio::sync::{OnceCell, Semaphore};
use tollgate_admission::identity::{KeyDigest, KeyHasher, Principal};
use tollgate_admission::network::counted_address;
use tollgate_domain::fault::Code;
use tollgate_domain::money::parse_scaled;

use crate::accept::Arrival;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::upstream::Pool;

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 4_096;
/// Most tokens that are remembered.
const MOST_PASSES: usize = 16_384;
/// Most tokens that are asked about at a time.
const MOST_ASKED: usize = 64;
/// Largest answer of the service that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// How long a whole answer of the service may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a token that failed is refused without asking again.
const FAILED_FOR: Duration = Duration::from_mins(1);

/// How guests are verified.
#[derive(Debug)]
pub struct CaptchaConfig {
    /// The header in which a guest sends the token.
    pub header: HeaderName,
    /// The secret that the service gave us, as it stands in a form: percent-encoded.
    pub secret: Secret,
    /// Where tokens are verified.
    pub url: Uri,
    /// How long a token stands as a pass.
    pub pass_for: Duration,
    /// The least score, in millionths, of an answer that states one (reCAPTCHA v3).
    pub min_score: i128,
}

/// A secret, ready to be put into a form.
pub struct Secret(Box<str>);

impl Secret {
    /// Takes a secret as it was given to us.
    pub fn new(secret: &str) -> Self {
        Self(encoded(secret.as_bytes()).into())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What the service said of a token.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    good: bool,
    until: Timestamp,
}

/// A token that was shown, and from which address (IPv6 by its /64).
#[derive(Debug)]
struct Shown {
    by: IpAddr,
    verdict: OnceCell<Verdict>,
}

impl Shown {
    /// Whether it may be forgotten.
    fn is_over(&self, now: Timestamp) -> bool {
        self.verdict.get().is_some_and(|verdict| verdict.until <= now)
    }
}

/// Verifies guests and remembers those that passed.
#[derive(Debug)]
pub struct Captcha {
    config: CaptchaConfig,
    pool: Arc<Pool>,
    shown: Mutex<HashMap<KeyDigest, Arc<Shown>>>,
    asking: Semaphore,
}

/// Lets a principal through who is known by a credential, and a guest who passes what guests must.
pub async fn vouch(
    snapshot: &Snapshot,
    arrival: &Arrival,
    principal: Principal,
    headers: &HeaderMap,
) -> Result<Principal, Stop> {
    if let Some(captcha) = snapshot.captcha().filter(|_| principal.is_guest()) {
        captcha.pass(&snapshot.hasher, headers, arrival).await?;
    }
    Ok(principal)
}

impl Captcha {
    /// A verifier whose questions go through `pool`, which leads to the host of `config.url`.
    pub fn new(config: CaptchaConfig, pool: Arc<Pool>) -> Self {
        Self { config, pool, shown: Mutex::default(), asking: Semaphore::new(MOST_ASKED) }
    }

    /// The header in which guests send their token.
    pub const fn header(&self) -> &HeaderName {
        &self.config.header
    }

    /// Lets a guest through whose token is good.
    async fn pass(
        &self,
        hasher: &KeyHasher,
        headers: &HeaderMap,
        arrival: &Arrival,
    ) -> Result<(), Stop> {
        let name = &self.config.header;
        let token = headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        if token.is_empty() {
            return Err(forbidden(format!(
                "callers without credentials must send a CAPTCHA token in the header `{name}`"
            )));
        }
        if token.len() > MAX_TOKEN {
            return Err(forbidden(format!("the CAPTCHA token is longer than {MAX_TOKEN} bytes")));
        }
        let by = counted_address(arrival.ip);
        let shown = self.remember(hasher.digest(token), by, arrival.time)?;
        if shown.by != by {
            return Err(forbidden("the CAPTCHA token was used from another address"));
        }
        let asked = shown.verdict.get_or_try_init(|| self.ask(token, arrival.time)).await?;
        if !asked.good {
            return Err(forbidden("the CAPTCHA token is not valid, or was used before"));
        }
        if asked.until <= arrival.time {
            return Err(forbidden("the CAPTCHA token was good once; solve another"));
        }
        Ok(())
    }

    /// The place of a token. The first who shows it is the one whom it lets through.
    fn remember(&self, digest: KeyDigest, by: IpAddr, now: Timestamp) -> Result<Arc<Shown>, Stop> {
        let mut shown = self.shown.lock();
        if let Some(found) = shown.get(&digest) {
            return Ok(Arc::clone(found));
        }
        if shown.len() >= MOST_PASSES {
            // Nobody holds what was never answered, unless it is being asked about right now.
            shown.retain(|_, each| {
                let asked = each.verdict.initialized() || Arc::strong_count(each) > 1;
                asked && !each.is_over(now)
            });
        }
        if shown.len() >= MOST_PASSES {
            return Err(overloaded());
        }
        let made = Arc::new(Shown { by, verdict: OnceCell::new() });
        shown.insert(digest, Arc::clone(&made));
        Ok(made)
    }

    /// Asks the service about a token.
    async fn ask(&self, token: &[u8], now: Timestamp) -> Result<Verdict, Stop> {
        let _turn = self.asking.try_acquire().map_err(|_| overloaded())?;
        let answer = tokio::time::timeout(PATIENCE, self.exchange(token)).await;
        let answer = answer.ok().flatten().ok_or_else(|| {
            Stop::new(Code::Degraded, "the CAPTCHA service does not answer, so no guest is served")
        })?;
        if answer.blames_us() {
            return Err(Stop::new(
                Code::Degraded,
                "the CAPTCHA service does not accept `auth.captcha.secret`, so no guest is served",
            ));
        }
        let good = answer.success && answer.millionths() >= self.config.min_score;
        let lasts = if good { self.config.pass_for } else { FAILED_FOR };
        let until = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
        Ok(Verdict { good, until })
    }

    /// One question and its answer; `None` where none came that can be understood.
    async fn exchange(&self, token: &[u8]) -> Option<Answer> {
        let form = format!("secret={}&response={}", self.config.secret.0, encoded(token));
        let mut request = Request::new(Full::new(Bytes::from(form)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.config.url.clone();
        let host = self.config.url.authority()?.as_str();
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(host).ok()?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let response = self.pool.send(request).await.ok()?;
        let (head, mut body) = response.into_parts();
        let body = body.collect(MAX_ANSWER).await.ok()??;
        // Some services answer a bad token with 400 and say so in the body.
        if head.status.is_server_error() { None } else { serde_json::from_slice(&body).ok() }
    }
}

/// The answer of a service.
#[derive(Debug, Deserialize)]
struct Answer {
    success: bool,
    #[serde(default, rename = "error-codes")]
    errors: Vec<String>,
    score: Option<Number>,
}

impl Answer {
    /// Whether it says that our side of the question is wrong, or that the service has failed.
    fn blames_us(&self) -> bool {
        const OURS: [&str; 3] = ["missing-input-secret", "invalid-input-secret", "internal-error"];
        !self.success && self.errors.iter().any(|error| OURS.contains(&error.as_str()))
    }

    /// The score in millionths; the best where none is stated.
    fn millionths(&self) -> i128 {
        self.score
            .as_ref()
            .map_or(i128::MAX, |score| parse_scaled(&score.to_string(), 6).unwrap_or_default())
    }
}

fn forbidden(message: impl Into<std::borrow::Cow<'static, str>>) -> Stop {
    Stop::new(Code::GuestForbidden, message)
}

fn overloaded() -> Stop {
    Stop::new(Code::Overloaded, "too many guests are being verified; try again in a moment")
}

/// Bytes as a form carries them (percent-encoded, RFC 3986 §2.1).
fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    let mut text = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_carries_any_byte_and_no_separator_of_its_own() {
        assert_eq!(encoded(b"0x4A-._~z"), "0x4A-._~z");
        assert_eq!(encoded("a&b=c+ %\u{e9}\n".as_bytes()), "a%26b%3Dc%2B%20%25%C3%A9%0A");
    }

    #[test]
    fn answers_of_the_three_services_are_understood() {
        let read = |text: &str| serde_json::from_str::<Answer>(text).unwrap();
        let good = read(r#"{"success":true,"challenge_ts":"t","hostname":"h","error-codes":[]}"#);
        assert!(good.success && !good.blames_us() && good.millionths() == i128::MAX);
        let scored = read(r#"{"success":true,"score":0.3,"action":"call"}"#);
        assert_eq!(scored.millionths(), 300_000);
        let used = read(r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#);
        assert!(!used.success && !used.blames_us());
        let ours = read(r#"{"success":false,"error-codes":["invalid-input-secret"]}"#);
        assert!(ours.blames_us());
        assert!(serde_json::from_str::<Answer>("<html>").is_err());
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }
}
