//! What a configuration puts in force, as rows of section, name and words. Secrets stay out of it:
//! each passes through [`words::redacted`].

use tollgate_admission::identity::{OnDisconnect, Role};
use tollgate_domain::money::NanoUsd;
use tollgate_sinks::settings::Kind;

use super::words::{self, redacted, span};
use crate::config::{
    Config, ConfigKey, CountersUrl, JwtKey, Model, Provider, Route, Sink, StorageUrl,
};

/// One thing that is in force.
#[derive(Debug)]
pub(super) struct Fact {
    /// Where it belongs, such as `plan free`.
    pub(super) section: Box<str>,
    /// What it is called.
    pub(super) name: String,
    /// What it is, in words.
    pub(super) value: String,
}

fn fact(section: &str, name: &str, value: impl Into<String>) -> Fact {
    Fact { section: section.into(), name: name.to_owned(), value: value.into() }
}

/// Everything that is in force.
pub(super) fn facts(config: &Config) -> Vec<Fact> {
    let mut facts = service(config);
    facts.extend(access(config));
    let providers = config.providers.values();
    facts.extend(providers.map(|each| fact("providers", &each.name, provider(each))));
    facts.extend(config.models.values().map(|each| fact("models", &each.name, model(each))));
    facts.extend(caps(config));
    facts.extend(prices(config));
    facts.extend(extras(config));
    facts
}

fn service(config: &Config) -> Vec<Fact> {
    let server = &config.server;
    let admin_key = server.admin_key.as_ref().map_or_else(|| "none".to_owned(), redacted);
    let proxies: Vec<String> = server.trusted_proxies.iter().map(ToString::to_string).collect();
    let url = match &config.storage.url {
        StorageUrl::Sqlite(path) => format!("sqlite://{}", path.display()),
        StorageUrl::Postgres(_) => "PostgreSQL".to_owned(),
    };
    let counters = match config.counters.url {
        CountersUrl::Memory => "memory",
        CountersUrl::Redis(_) => "Redis",
        CountersUrl::RedisCluster(_) => "Redis Cluster",
    };
    vec![
        fact("server", "listen", server.listen.to_string()),
        fact("server", "admin_listen", server.admin_listen.to_string()),
        fact("server", "admin_key", admin_key),
        fact("server", "trusted_proxies", proxies.join(", ")),
        fact("server", "timezone", server.timezone.iana_name().unwrap_or("UTC")),
        fact("server", "on_disconnect", disconnect(server.on_disconnect)),
        fact("storage", "url", url),
        fact("storage", "commit", config.storage.commit.as_str()),
        fact("storage", "durability", config.storage.durability.as_str()),
        fact("storage", "in_doubt", config.storage.in_doubt.as_str()),
        fact("counters", "url", counters),
    ]
}

fn disconnect(on_disconnect: OnDisconnect) -> &'static str {
    match on_disconnect {
        OnDisconnect::Drain => "drain",
        OnDisconnect::Abort => "abort",
    }
}

fn access(config: &Config) -> Vec<Fact> {
    let auth = &config.auth;
    let mut facts = vec![
        fact("auth", "default_plan", &*auth.default_plan),
        fact("auth", "guests", auth.guests.as_deref().unwrap_or("refused")),
    ];
    if let Some(jwt) = &auth.jwt {
        let key = match &jwt.key {
            JwtKey::Secret(secret) => format!("secret {}", redacted(secret)),
            JwtKey::File(path) => format!("key in {}", path.display()),
            JwtKey::Jwks(url) => format!("keys at {url}"),
        };
        facts.push(fact("auth", "jwt", format!("{}, {key}", jwt.algorithm.as_str())));
    }
    if let Some(captcha) = &auth.captcha {
        let words = format!(
            "{} at {}, token in {}, secret {}",
            captcha.provider.as_str(),
            captcha.verify_url,
            captcha.header,
            redacted(&captcha.secret)
        );
        facts.push(fact("auth", "captcha", words));
    }
    facts.extend(auth.keys.iter().map(|each| fact("keys", &each.name, key(each))));
    facts
}

fn key(key: &ConfigKey) -> String {
    let mut words = match key.role {
        Role::Service => "service, acts for the user it names".to_owned(),
        Role::Admin => "admin".to_owned(),
        Role::User => format!("acts for {}", key.user),
    };
    if let Some(team) = &key.team {
        words = format!("{words} in team {team}");
    }
    if let Some(plan) = &key.plan {
        words = format!("{words} on plan {plan}");
    }
    if let Some(expires) = key.expires_at {
        words = format!("{words}, until {expires}");
    }
    for (what, names) in [("models", &key.models), ("providers", &key.providers)] {
        if !names.is_empty() {
            words = format!("{words}, {what} {} only", names.join(" "));
        }
    }
    if !key.networks.is_empty() {
        let networks: Vec<String> = key.networks.iter().map(ToString::to_string).collect();
        words = format!("{words}, from {} only", networks.join(" "));
    }
    if !key.limits.is_empty() {
        let names: Vec<&str> = key.limits.iter().map(|limit| &*limit.name).collect();
        words = format!("{words}, own limits {}", names.join(" "));
    }
    format!("{words}; key {}", redacted(&key.key))
}

fn provider(provider: &Provider) -> String {
    if let Some(simulated) = &provider.simulated {
        return format!(
            "simulated: {} to the first byte, {} chunks {} apart, error rate {}",
            span(simulated.latency),
            simulated.chunks,
            span(simulated.chunk_interval),
            simulated.error_rate
        );
    }
    let key = provider
        .api_key
        .as_ref()
        .map_or_else(|| "no key".to_owned(), |key| format!("key {}", redacted(key)));
    format!(
        "{} at {}, {key}; {} attempts, {} in all",
        provider.kind.as_str(),
        provider.base_url.as_deref().unwrap_or("-"),
        provider.retry.attempts,
        span(provider.timeout.total)
    )
}

fn model(model: &Model) -> String {
    let weighted = model.route == Route::Weighted && model.targets.len() > 1;
    let targets: Vec<String> = model
        .targets
        .iter()
        .map(|target| {
            if weighted {
                format!("{}/{} ({})", target.provider, target.model, target.weight)
            } else {
                format!("{}/{}", target.provider, target.model)
            }
        })
        .collect();
    let mut words = match (model.targets.len(), model.route) {
        (1, _) => targets.join(""),
        (_, Route::Weighted) => format!("by weight {}", targets.join(", ")),
        (_, Route::Priority) => format!("in this order {}", targets.join(", ")),
        (_, Route::LeastLatency) => format!("fastest of {}", targets.join(", ")),
        (_, Route::Cheapest) => format!("cheapest of {}", targets.join(", ")),
    };
    for fallback in &model.fallback {
        words = format!("{words}, then {fallback}");
    }
    match model.max_output_tokens {
        Some(most) => format!("{words}; {most} output tokens assumed"),
        None => words,
    }
}

fn caps(config: &Config) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (name, plan) in &config.plans {
        let section = format!("plan {name}");
        if plan.limits.is_empty() {
            facts.push(fact(&section, "-", "no limits"));
        }
        facts.extend(
            plan.limits.iter().map(|limit| fact(&section, &limit.name, words::limit(limit))),
        );
    }
    facts
        .extend(config.limits.iter().map(|limit| fact("limits", &limit.name, words::limit(limit))));
    facts
}

fn prices(config: &Config) -> Vec<Fact> {
    let mut facts = Vec::new();
    for price in &config.prices {
        let rates: Vec<String> =
            price.rates.iter().map(|(key, rate)| format!("{key} {rate}")).collect();
        let name = format!("{}/{}", price.provider, price.model);
        facts.push(fact("prices", &name, rates.join(", ")));
    }
    let default = match config.default_rate {
        Some((input, output)) => format!(
            "input {}, output {}",
            words::usd(NanoUsd::from_nanos(input.nanos_per_million())),
            words::usd(NanoUsd::from_nanos(output.nanos_per_million()))
        ),
        None => "models without a price are refused".to_owned(),
    };
    facts.push(fact("prices", "default", default));
    facts
}

/// Where alerts go, and when; the channels' addresses are secrets.
fn alerts(config: &Config) -> Vec<Fact> {
    let channels = config.alerts.channels.iter().map(|own| &own.channel);
    let channels = channels.map(|it| fact("alerts.channels", &it.name, it.kind()));
    let rules = config.alerts.rules.iter().map(|it| fact("alerts.rules", &it.name, it.when()));
    channels.chain(rules).collect()
}

fn extras(config: &Config) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(cache) = config.cache.filter(|cache| cache.enabled) {
        let value = format!("{} for each {}", span(cache.ttl), cache.scope.as_str());
        facts.push(fact("cache", "ttl", value));
    }
    if config.idempotency.enabled {
        facts.push(fact("idempotency", "ttl", span(config.idempotency.ttl)));
    }
    if let Some(storm) = config.duplicates {
        let value = format!(
            "{} alike within {}: {}",
            storm.identical,
            span(storm.window),
            storm.action.as_str()
        );
        facts.push(fact("duplicates", "identical", value));
    }
    facts.push(fact("logs", "format", config.logs.format.as_str()));
    facts.push(fact("logs", "bodies", config.logs.bodies.as_str()));
    facts.extend(config.logs.sinks.iter().map(|it| fact("sinks", &it.config.name, sink(it))));
    if let Some(sentry) = &config.sentry {
        let dsn = if sentry.dsn.is_some() { "set" } else { "none: nothing is reported" };
        facts.push(fact("sentry", "dsn", dsn));
    }
    facts.extend(alerts(config));
    let display = &config.display;
    let value = match &*display.currency {
        "USD" => "USD".to_owned(),
        other => format!("USD and {other} at {}", display.usd_rate),
    };
    facts.push(fact("display", "currency", value));
    facts
}

fn sink(sink: &Sink) -> String {
    let what = match &sink.config.kind {
        Kind::Elasticsearch(it) => format!("elasticsearch at {}", it.http.place.authority()),
        Kind::Logstash(it) => format!("logstash at {}", it.place.authority()),
        Kind::Loki(it) => format!("loki at {}", it.http.place.authority()),
        Kind::Otlp(it) => format!("otlp at {}", it.http.place.authority()),
        Kind::File(it) => format!("file {}", it.path.display()),
        Kind::Sentry(_) => "sentry".to_owned(),
    };
    let spool = match &sink.config.delivery.spool {
        Some(spool) => format!("up to {} MiB wait on disk", spool.bound >> 20),
        None => "what waits is in memory only".to_owned(),
    };
    if sink.enabled { format!("{what}, {spool}") } else { format!("{what}, not used") }
}
