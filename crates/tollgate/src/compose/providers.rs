//! Providers: from how they are configured to how they are reached.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use secrecy::ExposeSecret as _;
use tollgate_domain::price::PriceBook;
use tollgate_proxy::breaker::BreakerPolicy;
use tollgate_proxy::provider::{Api, Backend, Provider, Remote, RetryPolicy, Signer, Unmetered};
use tollgate_proxy::upstream::{Origin, Pool, PoolConfig};
use tollgate_wire::openai::vendor::{UNKNOWN, vendor};
use tollgate_wire::simulated::Script;

use super::Ground;
use crate::config::{self, Aws, Kind, Provider as Configured};

/// Idle connections that are kept to one provider.
const MAX_IDLE: usize = 256;
/// How long an idle connection is trusted; providers keep theirs for a minute or longer.
const IDLE_FOR: Duration = Duration::from_secs(25);

/// How a configured provider is reached.
pub(super) fn provider(configured: &Configured, ground: &Ground) -> anyhow::Result<Arc<Provider>> {
    let book_id = book_id(configured, &ground.book.load()).map(Arc::from);
    let (backend, host) = match (configured.kind, &configured.simulated) {
        (Kind::Simulated, Some(simulated)) => {
            let script = Script {
                latency: simulated.latency,
                interval: simulated.chunk_interval,
                chunks: Some(simulated.chunks),
                output_tokens: simulated.output_tokens,
                failures_per_million: simulated.error_rate.per_million(),
                ..Script::default()
            };
            (Backend::Simulated(script), String::new())
        }
        _ => {
            let remote = remote(configured, ground)
                .with_context(|| format!("providers.{}", configured.name))?;
            let host = remote.origin.host.to_string();
            (Backend::Remote(remote), host)
        }
    };
    let vendor = match configured.kind {
        Kind::Openai | Kind::Azure => vendor(&configured.name, &host),
        _ => &UNKNOWN,
    };
    Ok(Arc::new(Provider {
        name: Arc::clone(&configured.name),
        book_id,
        backend,
        api: api(configured, ground),
        vendor,
        responses: configured.responses.unwrap_or(vendor.responses),
        unmetered: match configured.unmetered {
            config::Unmetered::Estimate => Unmetered::Estimate,
            config::Unmetered::Refuse => Unmetered::Refuse,
            config::Unmetered::Allow => Unmetered::Allow,
        },
        retry: retry(&configured.retry),
        breaker: breaker(&configured.breaker),
    }))
}

const fn retry(configured: &config::Retry) -> RetryPolicy {
    let config::Retry { attempts, base, max } = *configured;
    RetryPolicy { attempts, base, max }
}

const fn breaker(configured: &config::Breaker) -> BreakerPolicy {
    BreakerPolicy {
        errors_per_million: configured.error_rate.per_million(),
        window: configured.window,
        min_calls: configured.min_calls,
        open_for: configured.open_for,
        slow_first_byte: configured.slow_first_byte,
    }
}

/// Which API a provider offers.
fn api(configured: &Configured, ground: &Ground) -> Api {
    match configured.kind {
        Kind::Openai | Kind::Simulated => Api::Openai,
        Kind::Azure => Api::Azure(configured.api_version.as_deref().map(Box::from)),
        Kind::Anthropic => Api::Anthropic,
        Kind::Gemini => Api::Gemini,
        Kind::Vertex => {
            let file = configured.credentials_file.as_ref();
            Api::Vertex(file.map(|file| ground.access_tokens.of(file)))
        }
        Kind::Bedrock => Api::Bedrock(configured.aws.as_ref().and_then(signer)),
    }
}

fn signer(aws: &Aws) -> Option<Signer> {
    let keys = aws.signer.as_ref()?;
    let token = keys.session_token.as_ref();
    Some(Signer {
        access_key_id: Box::from(&*keys.access_key_id),
        secret_access_key: Box::from(keys.secret_access_key.expose_secret()),
        session_token: token.map(|token| Box::from(token.expose_secret())),
        region: Box::from(&*aws.region),
    })
}

/// What stands before the paths of a provider's operations. People write addresses with and without
/// the version; both mean the same.
fn base_path(kind: Kind, path: &str) -> Box<str> {
    let path = path.trim_end_matches('/');
    let ends: &[&str] = match kind {
        Kind::Anthropic => &["/v1/messages", "/v1"],
        Kind::Gemini => &["/v1beta/models", "/v1beta", "/v1"],
        Kind::Azure => &["/openai/v1", "/openai"],
        _ => &[],
    };
    let end = ends.iter().find(|end| path.ends_with(*end)).copied().unwrap_or_default();
    path.strip_suffix(end).unwrap_or(path).into()
}

/// What the price book calls a provider: as configured, else by its address, else by its name.
pub(crate) fn book_id(configured: &Configured, book: &PriceBook) -> Option<String> {
    if let Some(id) = &configured.price_book {
        return Some(id.to_string());
    }
    let by_url = configured.base_url.as_deref().and_then(|url| book.provider_for_url(url));
    by_url.or_else(|| book.providers().find(|id| *id == &*configured.name)).map(str::to_owned)
}

fn remote(configured: &Configured, ground: &Ground) -> anyhow::Result<Remote> {
    let base: Uri = configured.base_url.as_deref().unwrap_or_default().parse()?;
    let origin = Origin::of(base.scheme(), base.authority())
        .context("`base_url` must begin with http:// or https://")?;
    let authority = base.authority().context("`base_url` names no host")?;
    let timeout = &configured.timeout;
    let pool = Pool::new(
        origin.clone(),
        ground.connector.clone(),
        PoolConfig {
            max_idle: MAX_IDLE,
            idle_for: IDLE_FOR,
            connect: timeout.connect,
            first_byte: None,
        },
        ground.clock.clone(),
        ground.tasks.clone(),
    );
    Ok(Remote {
        pool,
        origin,
        host: HeaderValue::from_str(authority.as_str())?,
        base_path: base_path(configured.kind, base.path()),
        headers: headers(configured)?,
        first_byte: timeout.first_byte,
        idle: timeout.idle,
        total: timeout.total,
    })
}

fn headers(configured: &Configured) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &configured.api_key {
        let (name, prefix) = match configured.kind {
            Kind::Anthropic => (HeaderName::from_static("x-api-key"), ""),
            Kind::Gemini => (HeaderName::from_static("x-goog-api-key"), ""),
            Kind::Azure => (HeaderName::from_static("api-key"), ""),
            _ => (AUTHORIZATION, "Bearer "),
        };
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", key.expose_secret()))
            .ok()
            .context("`api_key` holds characters that no header can carry")?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    for (name, secret) in &configured.headers {
        let mut value = HeaderValue::from_str(secret.expose_secret()).ok().with_context(|| {
            format!("`headers.{name}` holds characters that no header can carry")
        })?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes())?, value);
    }
    Ok(headers)
}
