//! What a configuration may say, and somebody should think about: sample secrets left in place,
//! providers without a key, an admin plane that the network can reach. None of it stops a start.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tollgate_domain::limit::{Limit, Metric, Window};

use super::auth::SHORT_KEY;
use super::reader::join;
use super::{Config, JwtKey, Kind};
use crate::serve::{CARRYING, needs_rows};

/// The secrets that the example shows; whoever knows the example knows them.
const SAMPLES: &[&str] = &["admin-secret", "change-me-in-production", "tg_backend_example"];

/// Something that somebody should think about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caution {
    /// The key it is about.
    pub key: String,
    /// Its line, where there is a file.
    pub line: Option<u32>,
    /// What there is to think about.
    pub sentence: String,
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.sentence)
    }
}

impl Config {
    /// What somebody should think about, in the order of the file.
    pub fn cautions(&self) -> Vec<Caution> {
        let mut found = Vec::new();
        found.extend(self.weak_secrets());
        found.extend(self.open_doors());
        found.extend(self.missing());
        found.extend(self.forgotten());
        let mut cautions: Vec<Caution> = found
            .into_iter()
            .map(|(key, sentence)| Caution { line: self.line_of(&key), key, sentence })
            .collect();
        cautions.sort_by_key(|caution| caution.line.unwrap_or(u32::MAX));
        cautions
    }

    fn weak_secrets(&self) -> Vec<(String, String)> {
        let mut secrets: Vec<(String, &SecretString)> = Vec::new();
        if let Some(key) = &self.server.admin_key {
            secrets.push(("server.admin_key".to_owned(), key));
        }
        if let Some(JwtKey::Secret(secret)) = self.auth.jwt.as_ref().map(|jwt| &jwt.key) {
            secrets.push(("auth.jwt.secret".to_owned(), secret));
        }
        if let Some(captcha) = &self.auth.captcha {
            secrets.push(("auth.captcha.secret".to_owned(), &captcha.secret));
        }
        let keys = self.auth.keys.iter().enumerate();
        secrets.extend(keys.map(|(at, key)| (format!("auth.keys[{at}].key"), &key.key)));
        secrets.into_iter().filter_map(|(key, secret)| Some((key, weakness(secret)?))).collect()
    }

    fn open_doors(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let admin = self.server.admin_listen;
        if !admin.ip().is_loopback() {
            let sentence = format!(
                "the admin plane listens on {admin}: the network can reach it, and /metrics needs no key"
            );
            found.push(("server.admin_listen".to_owned(), sentence));
        }
        let jwks = self.auth.jwt.as_ref().and_then(|jwt| match &jwt.key {
            JwtKey::Jwks(url) => Some(("auth.jwt.jwks_url", url)),
            JwtKey::Secret(_) | JwtKey::File(_) => None,
        });
        let captcha = self.auth.captcha.as_ref();
        let captcha = captcha.map(|captcha| ("auth.captcha.verify_url", &captcha.verify_url));
        for (key, url) in jwks.into_iter().chain(captcha) {
            if url.starts_with("http:") {
                let sentence = "is asked without TLS: whoever is on the way decides who may call";
                found.push((key.to_owned(), sentence.to_owned()));
            }
        }
        if let Some(variable) = self.kill_switch {
            let sentence = format!("{variable} is set in the environment: every call is refused");
            found.push((String::new(), sentence));
        }
        found
    }

    /// Limits that a start counts from calls which the purge has removed by then.
    fn forgotten(&self) -> Option<(String, String)> {
        let purge = self.jobs.purge.as_ref().filter(|purge| purge.plan.enabled)?;
        let plans = self.plans.values().flat_map(|plan| &plan.limits);
        let keys = self.auth.keys.iter().flat_map(|key| &key.limits);
        let mut limits = plans.chain(&self.limits).chain(keys);
        let limit = limits.find(|limit| is_forgotten(limit, purge.keep_calls))?;
        let sentence = format!(
            "the limit `{}` is counted from single calls and reaches back further than they are kept: \
             a start counts it too low",
            limit.name
        );
        Some(("jobs.purge.keep_calls".to_owned(), sentence))
    }

    fn missing(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for provider in self.providers.values() {
            if provider.kind != Kind::Simulated && !provider.has_credential() {
                let sentence = "no `api_key`: calls are sent without a credential";
                found.push((join("providers", &provider.name), sentence.to_owned()));
            }
        }
        if self.providers.is_empty() {
            let sentence = "there is no provider, so no call can be served";
            found.push(("providers".to_owned(), sentence.to_owned()));
        }
        if self.auth.keys.is_empty() && self.auth.jwt.is_none() && self.auth.guests.is_none() {
            let sentence =
                "no key is configured: make one with `tollgate keys`, or add [[auth.keys]]";
            found.push(("auth.keys".to_owned(), sentence.to_owned()));
        }
        if self.auth.captcha.is_some() && self.auth.guests.is_none() {
            let sentence = "guests are refused, so nobody is asked for a CAPTCHA; name a plan in \
                            `auth.guests`";
            found.push(("auth.captcha".to_owned(), sentence.to_owned()));
        }
        let unlimited = self.plans.values().all(|plan| plan.limits.is_empty());
        if unlimited && self.limits.is_empty() {
            let sentence = "no limit is configured: calls are metered and none is refused; \
                            `preset = \"starter\"` at the top brings some";
            found.push(("plans".to_owned(), sentence.to_owned()));
        }
        found
    }
}

/// Whether a limit is counted from calls that are not kept for so long.
fn is_forgotten(limit: &Limit, keep: Duration) -> bool {
    limit.metric != Metric::Units && needs_rows(limit) && lasts(limit) > keep
}

/// How far back a limit reaches.
fn lasts(limit: &Limit) -> Duration {
    // What was left over in windows before is carried into the present one.
    let windows = if limit.rollover > 0 { 1 + CARRYING } else { 1 };
    let windows = u32::try_from(windows).unwrap_or(u32::MAX);
    let days = |days: u32| Duration::from_hours(24).saturating_mul(days);
    match limit.window {
        Window::Now => Duration::ZERO,
        Window::Sliding { millis } => Duration::from_millis(millis),
        Window::Day => days(windows),
        Window::Week => days(windows.saturating_mul(7)),
        Window::Month => days(windows.saturating_mul(31)),
        Window::Rolling { days: count } => days(u32::from(count)),
        Window::Total | Window::Balance => Duration::MAX,
    }
}

fn weakness(secret: &SecretString) -> Option<String> {
    let secret = secret.expose_secret();
    if SAMPLES.contains(&secret) {
        return Some("this is the secret of the example, which everybody knows".to_owned());
    }
    (secret.len() < SHORT_KEY)
        .then(|| format!("this secret has only {} characters and may be guessed", secret.len()))
}
