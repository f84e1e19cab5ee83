//! Puts the program together: from the checked configuration to the snapshot of the data plane.

mod access_tokens;
mod identity;
mod providers;

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tollgate_admission::engine::OwnLimits;
use tollgate_admission::identity::{KeyDigest, KeyEntry, KeyHasher, KeyRing};
use tollgate_domain::bodies::KeepBodies;
use tollgate_domain::clock::Clock;
use tollgate_domain::limit::Plan;
use tollgate_domain::price::{Override, PriceBook, PriceTable};
use tollgate_proxy::provider::Provider;
use tollgate_proxy::savings::{
    CacheSettings, RepetitionSettings, SavingsSettings, StormAction, StormSettings,
};
use tollgate_proxy::snapshot::{Found, Route, RouteKind, Settings, Snapshot, Target};
use tollgate_proxy::upstream::Connector;

use crate::config::{self, Bodies, CacheScope, Config};
pub(crate) use access_tokens::AccessTokens;
pub(crate) use identity::{algorithm, keep, pool};
pub(crate) use providers::book_id;
use providers::provider;

/// Input tokens set aside for a request without a bound of its own, where the model's context is
/// not known. The largest context that is sold today.
const ASSUMED_CONTEXT: u64 = 2_000_000;
/// Searches that are set aside where a request allows them without a bound: models seldom make more
/// for one answer, and what they do make is charged.
const ASSUMED_SEARCHES: u64 = 10;

/// More identical prompts than that come in no window, so nobody looks for them.
const NEVER_IDENTICAL: u32 = 1_000_000;

/// What stays the same when the configuration is loaded again.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// The time.
    pub(crate) clock: Clock,
    /// Makes connections to providers.
    pub(crate) connector: Connector,
    /// The price book in force.
    pub(crate) book: Arc<ArcSwap<PriceBook>>,
    /// Turns credentials into digests.
    pub(crate) hasher: KeyHasher,
    /// Access tokens of Google Cloud, by the file of their service account.
    pub(crate) access_tokens: Arc<AccessTokens>,
    /// Where tasks of connections run.
    pub(crate) tasks: tokio::runtime::Handle,
}

/// A connector that trusts what the machine trusts.
pub(crate) fn connector() -> anyhow::Result<Connector> {
    Ok(Connector::new(machine_tls()?))
}

/// TLS that trusts what the machine trusts.
pub(crate) fn machine_tls() -> anyhow::Result<rustls::ClientConfig> {
    use rustls_platform_verifier::ConfigVerifierExt as _;
    rustls::ClientConfig::with_platform_verifier()
        .context("the machine's certificate authorities cannot be used")
}

/// The snapshot that a configuration and the stored keys make.
pub(crate) fn snapshot(
    config: &Config,
    ground: &Ground,
    stored_keys: Vec<(KeyDigest, KeyEntry)>,
) -> anyhow::Result<Snapshot> {
    let prices = prices(config, &ground.book.load_full())?;
    let providers = config
        .providers
        .values()
        .map(|each| provider(each, ground))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let models = models(config, &providers, &prices);
    let plans: HashMap<Arc<str>, Arc<Plan>> = config
        .plans
        .iter()
        .map(|(name, plan)| (Arc::clone(name), Arc::new(plan.clone())))
        .collect();
    let default_plan = plans.get(&config.auth.default_plan).map_or_else(
        || Arc::new(Plan { name: Arc::clone(&config.auth.default_plan), limits: Vec::new() }),
        Arc::clone,
    );
    Ok(Snapshot {
        keys: Arc::new(keys(config, &ground.hasher, stored_keys)),
        hasher: ground.hasher.clone(),
        tokens: identity::tokens(config)?,
        guests: identity::guests(config, ground)?,
        providers,
        models: Arc::new(models),
        prices: Arc::new(prices),
        plans: Arc::new(plans),
        default_plan,
        plan_disconnects: Arc::new(config.plan_disconnects.clone()),
        savings: savings(config),
        settings: settings(config),
        found: Arc::new(Found::default()),
    })
}

/// The prices: configuration over environment over book.
pub(crate) fn prices(config: &Config, book: &Arc<PriceBook>) -> anyhow::Result<PriceTable> {
    let mut table = PriceTable::builder(Arc::clone(book)).env(config.env_prices.clone());
    for provider in config.providers.values() {
        table = table.provider(&provider.name, book_id(provider, book).as_deref());
    }
    for price in &config.prices {
        let pairs = price.rates.iter().map(|(key, value)| (*key, value.as_str()));
        let entry = Override::from_pairs(pairs).with_context(|| {
            format!("line {}: prices.\"{}/{}\"", price.line, price.provider, price.model)
        })?;
        table = table.price(&price.provider, &price.model, entry);
    }
    if let Some((input, output)) = config.default_rate {
        table = table.default_rate(input, output);
    }
    table.build().map_err(|errors| {
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", texts.join("\n"))
    })
}

fn models(
    config: &Config,
    providers: &[Arc<Provider>],
    prices: &PriceTable,
) -> HashMap<Box<str>, Arc<Route>> {
    let mut models = HashMap::new();
    for model in config.models.values() {
        let targets: Vec<_> = model
            .targets
            .iter()
            .filter_map(|target| {
                let provider = providers.iter().find(|each| each.name == target.provider)?;
                let price = provider.price(prices, &target.model);
                let (provider, name) = (Arc::clone(provider), Arc::clone(&target.model));
                Some(Arc::new(Target::new(provider, name, target.weight, price)))
            })
            .collect();
        let route = Route {
            name: Arc::clone(&model.name),
            targets,
            kind: match model.route {
                config::Route::Weighted => RouteKind::Weighted,
                config::Route::Priority => RouteKind::Priority,
                config::Route::LeastLatency => RouteKind::LeastLatency,
                config::Route::Cheapest => RouteKind::Cheapest,
            },
            fallback: model.fallback.clone(),
            attempts: u16::try_from(model.attempts).unwrap_or(u16::MAX),
            max_output: model.max_output_tokens,
            cache: model.cache,
        };
        models.insert(Box::from(&*model.name), Arc::new(route));
    }
    models
}

/// The keys of the configuration and the stored ones. Where both have the same key, the
/// configuration's entry holds.
pub(crate) fn keys(
    config: &Config,
    hasher: &KeyHasher,
    stored: Vec<(KeyDigest, KeyEntry)>,
) -> KeyRing {
    use secrecy::ExposeSecret as _;
    let configured = config.auth.keys.iter().map(|key| {
        let entry = KeyEntry {
            name: Arc::clone(&key.name),
            role: key.role,
            user: Arc::clone(&key.user),
            team: key.team.clone(),
            plan: key.plan.clone(),
            expires_at: key.expires_at,
            models: key.models.clone(),
            providers: key.providers.clone(),
            networks: key.networks.clone(),
            on_disconnect: key.on_disconnect,
            cache: key.cache,
            own: OwnLimits::of(key.limits.clone()),
        };
        (hasher.digest(key.key.expose_secret().as_bytes()), entry)
    });
    KeyRing::new(stored.into_iter().chain(configured))
}

fn savings(config: &Config) -> SavingsSettings {
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let cache = config.cache.filter(|cache| cache.enabled).map(|cache| CacheSettings {
        ttl: cache.ttl,
        max_bytes: bytes(cache.max_bytes),
        shared: cache.scope == CacheScope::Shared,
        coalesce: cache.coalesce,
    });
    let idempotency = config.idempotency;
    let repetitions = idempotency.enabled.then(|| RepetitionSettings {
        ttl: idempotency.ttl,
        max_bytes: bytes(idempotency.max_bytes),
    });
    let seen = config.duplicates.filter(|storm| storm.identical <= NEVER_IDENTICAL);
    let storms = seen.map(|storm| StormSettings {
        identical: storm.identical,
        window: storm.window,
        action: match storm.action {
            config::StormAction::Alert => StormAction::Alert,
            config::StormAction::ServeCached => StormAction::ServeCached,
            config::StormAction::Throttle => StormAction::Throttle,
            config::StormAction::Block => StormAction::Block,
        },
        block_for: storm.block_for,
    });
    SavingsSettings { cache, repetitions, storms, plans: Arc::new(config.plan_caches.clone()) }
}

fn settings(config: &Config) -> Settings {
    let server = &config.server;
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    Settings {
        zone: server.timezone.clone(),
        kill_switch: config.kill_switch.map(|name| format!("environment variable {name}").into()),
        auto_register: config.auth.auto_register,
        max_body: bytes(server.max_body),
        max_answer: bytes(server.max_answer),
        body_pause: server.body_pause,
        trusted_proxies: server.trusted_proxies.clone(),
        bodies: match config.logs.bodies {
            Bodies::Off => KeepBodies::Off,
            Bodies::Redacted => KeepBodies::Redacted,
            Bodies::Full => KeepBodies::Full,
        },
        hash_addresses: server.hash_addresses,
        on_disconnect: server.on_disconnect,
        drain_for: server.drain_for,
        assumed_output: server.max_output_tokens,
        assumed_context: ASSUMED_CONTEXT,
        max_calls: server.max_calls,
        shed_after: server.shed_after,
        assumed_searches: ASSUMED_SEARCHES,
    }
}
