//! The configuration: one TOML file becomes one checked, immutable [`Config`], or a list of
//! everything that is wrong with it.
//!
//! Two stages. The raw one (`reader`) walks the file's tree against the `schema`: unknown keys,
//! wrong forms, unset variables. The checked one (a file per section) makes typed values and
//! refuses what could never do what it says. Loading reads the file and asks the given environment,
//! and nothing else, so that a reload can be tried and thrown away. What this version does not serve
//! yet is told by [`Config::unserved`], never passed over in silence.

mod alerts;
mod auth;
mod caution;
mod environment;
mod expand;
mod guard;
mod jobs;
mod limit;
mod model;
mod names;
mod outgoing;
mod preset;
mod problem;
mod provider;
mod reader;
mod reference;
mod scalar;
mod schema;
mod server;
mod sink;
mod unserved;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tollgate_domain::limit::{Limit, Plan};
use tollgate_domain::money::Rate;
use tollgate_domain::price::EnvPrices;
use toml::de::DeTable;

pub(crate) use alerts::THROTTLE;
pub use alerts::{AlertChannel, Alerts, ChannelKind};
pub use auth::{Algorithm, Auth, Captcha, CaptchaProvider, ConfigKey, Jwt, JwtKey};
pub use caution::Caution;
pub use environment::{Environment, KnownProvider, PROVIDERS, ProcessEnvironment};
pub use guard::{Cache, CacheScope, Duplicates, Idempotency, StormAction};
pub use jobs::{Job, JobKind, Jobs, Plan as JobPlan, PriceSource, Purge};
pub(crate) use limit::read_key_limits;
pub use limit::{PlanCaches, PlanDisconnects};
pub use model::{Model, PriceOverride, Route, Target};
pub use outgoing::{Bodies, LogFormat, Logs, Sentry, Stripe};
pub use preset::PRESETS;
pub use problem::{ConfigErrors, Problem};
pub use provider::{Aws, AwsKeys, Breaker, Kind, Provider, Retry, Simulated, Timeout, Unmetered};
pub use reference::reference;
pub use scalar::Share;
pub(crate) use scalar::read_duration;
pub use server::{
    Commit, Counters, CountersUrl, Degraded, Display, Durability, InDoubt, Server, Storage,
    StorageUrl,
};
pub(crate) use sink::SENTRY;
pub use sink::{Generation, Install, OtlpEncoding, Signal, Sink, SinkKind};
pub use unserved::{Severity, Unserved};

use limit::Mentions;
use names::Names;
use preset::Preset;
use reader::{Fields, Reading};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as it was named, or `environment`.
    pub origin: String,
    /// The preset whose plans and limits lie beneath those of the file.
    pub preset: Option<&'static str>,
    /// Listeners and what holds for every call.
    pub server: Server,
    /// The ledger.
    pub storage: Storage,
    /// The fast counts of limits.
    pub counters: Counters,
    /// Who may call.
    pub auth: Auth,
    /// Where calls go, by name.
    pub providers: BTreeMap<Arc<str>, Provider>,
    /// Public model names.
    pub models: BTreeMap<Arc<str>, Model>,
    /// Prices that override the price book, in the order of the file.
    pub prices: Vec<PriceOverride>,
    /// Prices that the environment states.
    pub env_prices: EnvPrices,
    /// What tokens in and out cost of models that nothing else prices; without it such models are
    /// refused.
    pub default_rate: Option<(Rate, Rate)>,
    /// Plans by name; the default plan is among them.
    pub plans: BTreeMap<Arc<str>, Plan>,
    /// What becomes of calls whose client goes away, where the user's plan says so.
    pub plan_disconnects: PlanDisconnects,
    /// Whether calls may use the prompt cache, where the user's plan says so.
    pub plan_caches: PlanCaches,
    /// Limits outside plans: the preset's, then the file's.
    pub limits: Vec<Arc<Limit>>,
    /// The prompt cache.
    pub cache: Option<Cache>,
    /// How repeated idempotency keys are answered.
    pub idempotency: Idempotency,
    /// Protection against duplicate storms.
    pub duplicates: Option<Duplicates>,
    /// Log lines.
    pub logs: Logs,
    /// Error reports.
    pub sentry: Option<Sentry>,
    /// Alerts.
    pub alerts: Alerts,
    /// Usage that is sent to Stripe.
    pub stripe: Option<Stripe>,
    /// Scheduled work.
    pub jobs: Jobs,
    /// How amounts are shown.
    pub display: Display,
    /// The environment variable that turns every call off, where one does.
    pub kill_switch: Option<&'static str>,
    lines: BTreeMap<String, u32>,
}

impl Config {
    /// Reads and checks a file. Asks `environment` for variables; changes nothing.
    pub fn load(path: &Path, environment: &dyn Environment) -> Result<Self, ConfigErrors> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text, environment),
            Err(error) => {
                let remedy = (error.kind() == std::io::ErrorKind::NotFound)
                    .then(|| "`tollgate init` writes one".to_owned());
                Err(ConfigErrors::whole(&file, format!("cannot be read: {error}"), remedy))
            }
        }
    }

    /// Checks the text of a configuration; `file` is its name in messages.
    pub fn parse(
        file: &str,
        text: &str,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigErrors> {
        let reading = Reading::new(file, text, environment);
        let (table, mistakes) = DeTable::parse_recoverable(text);
        for mistake in &mistakes {
            let at = mistake.span().unwrap_or_default().start;
            reading.report("", at, mistake.message().replace('\n', ", "), None);
        }
        let config = if mistakes.is_empty() {
            let root = (0, Some(table.get_ref()));
            Some(Self::read(&Fields::new(&reading, &schema::ROOT, String::new(), root), &reading))
        } else {
            None
        };
        let (problems, lines) = reading.finish();
        match config {
            Some(config) if problems.is_empty() => Ok(Self { lines, ..config }),
            _ => Err(ConfigErrors::new(problems)),
        }
    }

    /// Reads every section; what is wrong is noted in the reading.
    fn read(root: &Fields<'_>, reading: &Reading<'_>) -> Self {
        let server = Server::read(&root.section("server", &schema::SERVER));
        let preset = Preset::named_by(root.item("preset").as_ref(), &server.timezone);
        let names = Declared::by(root, &preset);
        let auth = Auth::read(
            &root.section("auth", &schema::AUTH),
            &names.plans,
            (names.mentions(), &server.timezone),
            preset.default_plan.as_ref(),
        );
        let (prices, default_rate) = model::prices(root, &names.providers);
        let (plans, mut limits) =
            plans_and_limits(root, &names, &preset, (&server.timezone, &auth));
        let alerts = root.section("alerts", &schema::ALERTS);
        let alerts = Alerts::read(&alerts, &names.channels);
        limits.extend(alerts.throttled(&limits, &server.timezone));
        let jobs = root.section("jobs", &schema::JOBS);
        let jobs = Jobs::read(&jobs, (&names.channels, &alerts.channels), &server.timezone);
        Self {
            origin: reading.source.file.to_owned(),
            preset: preset.name,
            storage: Storage::read(&root.section("storage", &schema::STORAGE)),
            counters: Counters::read(&root.section("counters", &schema::COUNTERS)),
            providers: provider::providers(root),
            models: model::models(root, &names.models, &names.providers),
            prices,
            env_prices: environment::env_prices(reading),
            default_rate,
            plans: plans.0,
            plan_disconnects: plans.1,
            plan_caches: plans.2,
            limits,
            cache: root.maybe_section("cache", &schema::CACHE).map(|fields| Cache::read(&fields)),
            idempotency: Idempotency::read(&root.section("idempotency", &schema::IDEMPOTENCY)),
            duplicates: root
                .maybe_section("duplicates", &schema::DUPLICATES)
                .map(|fields| Duplicates::read(&fields)),
            logs: Logs::read(&root.section("logs", &schema::LOGS), &server.timezone),
            sentry: root.maybe_section("sentry", &schema::SENTRY).map(|it| Sentry::read(&it)),
            alerts,
            stripe: root
                .section("billing", &schema::BILLING)
                .maybe_section("stripe", &schema::STRIPE)
                .map(|fields| Stripe::read(&fields)),
            jobs,
            display: Display::read(&root.section("display", &schema::DISPLAY)),
            kill_switch: environment::kill_switch(reading.environment),
            server,
            auth,
            lines: BTreeMap::new(),
        }
    }

    /// The line of a key in the file, such as `cache.enabled`; `None` where the file has no such
    /// key, or there is no file.
    pub fn line_of(&self, key: &str) -> Option<u32> {
        self.lines.get(key).copied()
    }
}

/// The names that the file and its preset declare.
struct Declared {
    plans: Names,
    providers: Names,
    models: Names,
    channels: Names,
}

impl Declared {
    fn by(root: &Fields<'_>, preset: &Preset) -> Self {
        let preset_plans = preset.plans.keys().map(ToString::to_string);
        let plans = ("plans", "plan", "[plans.NAME]");
        let providers = ("providers", "provider", "[providers.NAME]");
        let models = ("models", "model", "[models.\"NAME\"]");
        let channels = ("channels", "alert channel", "[alerts.channels.NAME]");
        let alerts = root.section("alerts", &schema::ALERTS);
        Self {
            plans: Names::declared(root, plans, preset_plans),
            providers: Names::declared(root, providers, []),
            models: Names::declared(root, models, []),
            channels: Names::declared(&alerts, channels, []),
        }
    }

    /// What limits may mention.
    const fn mentions(&self) -> Mentions<'_> {
        Mentions { models: &self.models, providers: &self.providers }
    }
}

type Plans = (BTreeMap<Arc<str>, Plan>, PlanDisconnects, PlanCaches);

/// Plans and limits of the file over those of the preset. The default plan is always among them.
fn plans_and_limits(
    root: &Fields<'_>,
    names: &Declared,
    preset: &Preset,
    (zone, auth): (&TimeZone, &Auth),
) -> (Plans, Vec<Arc<Limit>>) {
    let mentions = names.mentions();
    let (own, disconnects, caches) = limit::plans(root, mentions, zone);
    let mut plans = preset.plans.clone();
    plans.extend(own);
    let name = &auth.default_plan;
    plans
        .entry(Arc::clone(name))
        .or_insert_with(|| Plan { name: Arc::clone(name), limits: Vec::new() });
    let own = limit::limits(root, mentions, zone);
    let taken: BTreeSet<&str> = own.iter().map(|limit| &*limit.name).collect();
    let mut limits: Vec<Arc<Limit>> = preset
        .limits
        .iter()
        .filter(|limit| !taken.contains(&*limit.name))
        .map(Arc::clone)
        .collect();
    limits.extend(own.iter().map(Arc::clone));
    ((plans, disconnects, caches), limits)
}

#[cfg(test)]
mod tests;
