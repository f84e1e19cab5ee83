//! Published keys of tokens (JWKS): fetched before the first call, again from time to time, and at
//! once when a token names a key that is not known.
//!
//! A stranger can name unknown keys at will, so the latter happens no more often than every few
//! seconds. While keys cannot be fetched, or what comes is no set of keys, the old ones hold.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use http::header::{ACCEPT, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::sync::watch;
use tollgate_admission::token::{Algorithm, KeySet, TokenVerifier};
use tollgate_proxy::upstream::Pool;

use super::start::Handle;
use crate::config::JwtKey;
use crate::{compose, out};

/// How often is looked whether keys are due.
const LOOK: Duration = Duration::from_millis(250);
/// Shortest time between two fetches.
const GAP: Duration = Duration::from_secs(5);
/// How long a fetch may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// Largest set of keys that is read, in bytes.
const MAX_SET: usize = 1024 * 1024;

/// Keeps a verifier in published keys.
#[derive(Default)]
pub(super) struct Follower(Option<Source>);

/// Where keys come from, whom they are for, and how the last fetch went.
struct Source {
    url: String,
    uri: Uri,
    pool: Arc<Pool>,
    algorithm: Algorithm,
    refresh: Duration,
    verifier: Arc<TokenVerifier>,
    last: Option<Duration>,
    failing: bool,
}

impl Follower {
    /// Fetches keys where the configuration in force names a place and they are due.
    pub(super) async fn look(&mut self, handle: &Handle) {
        if let Err(error) = self.find(handle) {
            out::note(format_args!("auth.jwt.jwks_url: {error:#}"));
            return;
        }
        let now = handle.ground.clock.monotonic();
        if let Some(source) = self.0.as_mut().filter(|source| source.is_due(now)) {
            source.last = Some(now);
            source.renew().await;
        }
    }

    /// Follows `handle` until `stopped`.
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

    /// Finds the place of keys that the configuration in force names; one that has not changed
    /// stays as it is.
    fn find(&mut self, handle: &Handle) -> anyhow::Result<()> {
        let config = handle.config.lock();
        let jwt = config.auth.jwt.as_ref();
        let url = jwt.and_then(|jwt| match &jwt.key {
            JwtKey::Jwks(url) => Some((url, jwt)),
            JwtKey::Secret(_) | JwtKey::File(_) => None,
        });
        let snapshot = handle.plane.snapshot.load();
        let (Some((url, jwt)), Some(tokens)) = (url, &snapshot.tokens) else {
            self.0 = None;
            return Ok(());
        };
        if let Some(source) = &mut self.0
            && source.url == *url
            && Arc::ptr_eq(&source.verifier, &tokens.verifier)
        {
            source.refresh = jwt.jwks_refresh;
            return Ok(());
        }
        let (uri, pool) = compose::pool(url, &handle.ground)?;
        self.0 = Some(Source {
            url: url.clone(),
            uri,
            pool,
            algorithm: compose::algorithm(jwt),
            refresh: jwt.jwks_refresh,
            verifier: Arc::clone(&tokens.verifier),
            last: None,
            failing: false,
        });
        Ok(())
    }
}

impl Source {
    fn is_due(&self, now: Duration) -> bool {
        let Some(last) = self.last else {
            return true;
        };
        let passed = now.saturating_sub(last);
        passed >= self.refresh || passed >= GAP && (self.failing || self.verifier.take_wanted())
    }

    /// Fetches the keys and puts them in force, or says why the old ones stay.
    async fn renew(&mut self) {
        let fetched = tokio::time::timeout(PATIENCE, self.fetch()).await;
        let fetched = fetched.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
        match fetched {
            Ok(keys) => {
                let count = keys.len();
                if self.verifier.set_keys(keys) {
                    out::note(format_args!("{count} keys of tokens are in force"));
                }
                self.failing = false;
            }
            Err(error) => {
                if !self.failing {
                    out::note(format_args!(
                        "the keys of tokens cannot be fetched, the old ones hold: {error:#}"
                    ));
                }
                self.failing = true;
            }
        }
    }

    async fn fetch(&self) -> anyhow::Result<KeySet> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.uri.clone();
        let host = self.uri.authority().context("the URL names no host")?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(host.as_str())?);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.pool.send(request).await?;
        let (head, mut body) = response.into_parts();
        ensure!(head.status == StatusCode::OK, "it was answered with {}", head.status);
        let body = body.collect(MAX_SET).await?.context("the answer is too large")?;
        Ok(KeySet::parse(self.algorithm, &body)?)
    }
}
