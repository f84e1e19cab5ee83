//! Who may call beyond keys: what verifies tokens (JWT), and what lets guests in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::Uri;
use secrecy::ExposeSecret as _;
use tollgate_admission::identity::{GUEST, JWT};
use tollgate_admission::token::{Algorithm, KeySet, TokenRules, TokenVerifier};
use tollgate_proxy::captcha::{Captcha, CaptchaConfig, Secret};
use tollgate_proxy::snapshot::{Guests, Snapshot, Tokens};
use tollgate_proxy::upstream::{Origin, Pool, PoolConfig};

use super::Ground;
use crate::config::{self, Config, Jwt, JwtKey};

/// How connections to the services behind identities behave: few questions, short answers.
const QUESTIONS: PoolConfig = PoolConfig {
    max_idle: 8,
    idle_for: Duration::from_secs(25),
    connect: Duration::from_secs(3),
    first_byte: Some(Duration::from_secs(5)),
};

/// Connections to the host of a URL.
pub(crate) fn pool(url: &str, ground: &Ground) -> anyhow::Result<(Uri, Arc<Pool>)> {
    let uri: Uri = url.parse()?;
    let origin = Origin::of(uri.scheme(), uri.authority()).context("it is no http(s) address")?;
    let (connector, clock) = (ground.connector.clone(), ground.clock.clone());
    Ok((uri, Pool::new(origin, connector, QUESTIONS, clock, ground.tasks.clone())))
}

/// What verifies tokens. Published keys are not fetched here; their verifier begins without any.
pub(super) fn tokens(config: &Config) -> anyhow::Result<Option<Tokens>> {
    let Some(jwt) = &config.auth.jwt else {
        return Ok(None);
    };
    let rules = TokenRules {
        algorithm: algorithm(jwt),
        user_claim: Arc::clone(&jwt.user_claim),
        plan_claim: Arc::clone(&jwt.plan_claim),
        issuer: jwt.issuer.clone(),
        audience: jwt.audience.clone(),
    };
    let keys = match &jwt.key {
        JwtKey::Secret(secret) => {
            let keys = KeySet::secret(secret.expose_secret().as_bytes());
            Some(keys.context("auth.jwt.secret")?)
        }
        JwtKey::File(path) => {
            let name = || format!("auth.jwt.public_key_file: `{}`", path.display());
            let pem = std::fs::read(path).with_context(name)?;
            Some(KeySet::pem(rules.algorithm, &pem).with_context(name)?)
        }
        JwtKey::Jwks(_) => None,
    };
    let verifier = Arc::new(TokenVerifier::new(rules, keys));
    Ok(Some(Tokens { verifier, name: Arc::from(JWT) }))
}

/// How tokens are signed.
pub(crate) const fn algorithm(jwt: &Jwt) -> Algorithm {
    match jwt.algorithm {
        config::Algorithm::Hs256 => Algorithm::Hs256,
        config::Algorithm::Rs256 => Algorithm::Rs256,
        config::Algorithm::Es256 => Algorithm::Es256,
        config::Algorithm::EdDsa => Algorithm::EdDsa,
    }
}

/// What lets guests in.
pub(super) fn guests(config: &Config, ground: &Ground) -> anyhow::Result<Option<Guests>> {
    let Some(plan) = &config.auth.guests else {
        return Ok(None);
    };
    let captcha = match &config.auth.captcha {
        Some(captcha) => Some(self::captcha(captcha, ground).context("auth.captcha")?),
        None => None,
    };
    Ok(Some(Guests { plan: Arc::clone(plan), name: Arc::from(GUEST), captcha }))
}

fn captcha(configured: &config::Captcha, ground: &Ground) -> anyhow::Result<Arc<Captcha>> {
    let (url, pool) = pool(&configured.verify_url, ground)?;
    let config = CaptchaConfig {
        header: configured.header.clone(),
        secret: Secret::new(configured.secret.expose_secret()),
        url,
        pass_for: configured.pass_for,
        min_score: i128::from(configured.min_score.per_million()),
    };
    Ok(Arc::new(Captcha::new(config, pool)))
}

/// Takes over what a reload need not lose: published keys that were fetched, and the passes of
/// guests, where nothing about them has changed.
pub(crate) fn keep(snapshot: &mut Snapshot, config: &Config, old: &Snapshot, before: &Config) {
    if let (Some(now), Some(then)) = (&config.auth.jwt, &before.auth.jwt)
        && published_alike(now, then)
    {
        snapshot.tokens.clone_from(&old.tokens);
    }
    if let (Some(guests), Some(captcha)) = (&mut snapshot.guests, old.captcha())
        && config.auth.captcha == before.auth.captcha
    {
        guests.captcha = Some(Arc::clone(captcha));
    }
}

/// Whether both take the same published keys for the same tokens.
fn published_alike(now: &Jwt, then: &Jwt) -> bool {
    let urls = match (&now.key, &then.key) {
        (JwtKey::Jwks(now), JwtKey::Jwks(then)) => now == then,
        _ => false,
    };
    urls && now.algorithm == then.algorithm
        && (&now.user_claim, &now.plan_claim) == (&then.user_claim, &then.plan_claim)
        && (&now.issuer, &now.audience) == (&then.issuer, &then.audience)
}
