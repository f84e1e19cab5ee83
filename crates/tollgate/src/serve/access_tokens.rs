//! Access tokens of Google Cloud: fetched with a service account before the first call, and again
//! before they run out (RFC 7523: a signed assertion for a token).
//!
//! While none can be fetched the old one is sent until the provider refuses it; without any, calls
//! fail before they are sent and say so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tollgate_proxy::provider::AccessToken;

use super::start::Handle;
use crate::compose::Ground;
use crate::{compose, out};

/// What a token is asked for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How often is looked whether a token is due.
const LOOK: Duration = Duration::from_millis(250);
/// How long before its end a token is renewed.
const MARGIN: Duration = Duration::from_mins(5);
/// How long to wait after a fetch that failed.
const GAP: Duration = Duration::from_secs(10);
/// How long a fetch may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long an assertion is good, in seconds: no longer than Google takes.
const GOOD_FOR: i64 = 3_600;
/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The part of a service account's file that matters.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: SecretString,
    token_uri: String,
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    expires_in: u64,
}

/// Keeps the tokens of all service accounts fresh.
#[derive(Default)]
pub(super) struct Renewer {
    /// When each is due, on the clock that measures latency.
    due: BTreeMap<PathBuf, Duration>,
}

impl Renewer {
    /// Fetches the tokens that are due.
    pub(super) async fn look(&mut self, handle: &Handle) {
        let ground = &handle.ground;
        for (file, token) in ground.access_tokens.all() {
            let now = ground.clock.monotonic();
            if self.due.get(&file).is_some_and(|due| *due > now) {
                continue;
            }
            let fetched = tokio::time::timeout(PATIENCE, renew(ground, &file, &token)).await;
            let fetched = fetched.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
            let wait = fetched.unwrap_or_else(|error| {
                out::note(format_args!(
                    "no access token for the service account {}: {error:#}",
                    file.display()
                ));
                GAP
            });
            self.due.insert(file, ground.clock.monotonic() + wait);
        }
    }

    /// Keeps them fresh until `stopped`.
    pub(super) async fn follow(mut self, handle: Handle, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = self.look(&handle) => {}
            }
        }
    }
}

/// Fetches a token and puts it in force; says after which time it is due again.
async fn renew(ground: &Ground, file: &Path, token: &AccessToken) -> anyhow::Result<Duration> {
    let path = file.to_owned();
    let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await?;
    let text = text.context("the file cannot be read")?;
    let account: Account =
        serde_json::from_str(&text).context("the file is no service account of Google Cloud")?;
    let granted = ask(ground, &account).await?;
    let header = format!("Bearer {}", granted.access_token.expose_secret());
    let mut header = HeaderValue::from_str(&header).ok().context("the token is no header")?;
    header.set_sensitive(true);
    token.renew(header);
    let lasts = Duration::from_secs(granted.expires_in);
    Ok(lasts.checked_sub(MARGIN).unwrap_or(lasts / 2).max(GAP))
}

async fn ask(ground: &Ground, account: &Account) -> anyhow::Result<Granted> {
    let now = ground.clock.now().as_second();
    let assertion = Assertion {
        iss: &account.client_email,
        scope: SCOPE,
        aud: &account.token_uri,
        iat: now,
        exp: now + GOOD_FOR,
    };
    let key = EncodingKey::from_rsa_pem(account.private_key.expose_secret().as_bytes())
        .context("`private_key` is no RSA key")?;
    let assertion = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &assertion, &key)?;
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
    );
    let (uri, pool) = compose::pool(&account.token_uri, ground)?;
    let host = uri.authority().context("`token_uri` names no host")?.to_string();
    let mut request = Request::new(Full::new(Bytes::from(form)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&host)?);
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, kind);
    let (head, mut body) = Arc::clone(&pool).send(request).await?.into_parts();
    ensure!(head.status == StatusCode::OK, "it was answered with {}", head.status);
    let body = body.collect(MAX_ANSWER).await?.context("the answer is too large")?;
    serde_json::from_slice(&body).context("the answer holds no token")
}
