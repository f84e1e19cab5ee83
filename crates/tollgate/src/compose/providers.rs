//! Providers: from how they are configured to how they are reached.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use secrecy::ExposeSecret as _;
use tollgate_domain::price::PriceBook;
use tollgate_proxy::snapshot::{Backend, Provider, Remote};
use tollgate_proxy::upstream::{Origin, Pool, PoolConfig};
use tollgate_wire::openai::vendor::vendor;
use tollgate_wire::simulated::Script;

use super::Ground;
use crate::config::{Kind, Provider as Configured};

/// Idle connections that are kept to one provider.
const MAX_IDLE: usize = 256;
/// How long an idle connection is trusted; providers keep theirs for a minute or longer.
const IDLE_FOR: Duration = Duration::from_secs(25);

/// How a configured provider is reached; `None` where its kind is not served yet.
pub(super) fn provider(
    configured: &Configured,
    ground: &Ground,
) -> anyhow::Result<Option<Arc<Provider>>> {
    let book_id = book_id(configured, &ground.book).map(Arc::from);
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
        (Kind::Openai, _) => {
            let remote = remote(configured, ground)
                .with_context(|| format!("providers.{}", configured.name))?;
            let host = remote.origin.host.to_string();
            (Backend::Remote(remote), host)
        }
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(Provider {
        name: Arc::clone(&configured.name),
        book_id,
        backend,
        vendor: vendor(&configured.name, &host),
    })))
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
        base_path: base.path().trim_end_matches('/').into(),
        headers: headers(configured)?,
        first_byte: timeout.first_byte,
        idle: timeout.idle,
        total: timeout.total,
    })
}

fn headers(configured: &Configured) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &configured.api_key {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
            .ok()
            .context("`api_key` holds characters that no header can carry")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
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
