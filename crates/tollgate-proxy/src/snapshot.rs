//! Everything a call looks up, resolved when the configuration is loaded: keys, plans, providers,
//! routes, prices. Immutable; a reload makes a new one and swaps it in (DESIGN §3).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::tz::TimeZone;
use parking_lot::RwLock;
use tollgate_admission::identity::{KeyEntry, KeyHasher, KeyRing, OnDisconnect};
use tollgate_admission::network::Network;
use tollgate_admission::token::TokenVerifier;
use tollgate_domain::bodies::KeepBodies;
use tollgate_domain::limit::Plan;
use tollgate_domain::price::{ModelPrice, PriceTable};

use crate::captcha::Captcha;
use crate::health::{Health, Healths};
use crate::metrics::{Metrics, TargetMetrics};
use crate::provider::Provider;
use crate::savings::SavingsSettings;

/// Most model names without an entry of their own that are remembered.
const MOST_FOUND: usize = 4_096;

/// What the data plane is configured to do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The keys that are good.
    pub keys: Arc<KeyRing>,
    /// Turns credentials into digests.
    pub hasher: KeyHasher,
    /// Tokens (JWT) that are accepted as credentials, where any are.
    pub tokens: Option<Tokens>,
    /// What holds for callers without credentials; `None` refuses them.
    pub guests: Option<Guests>,
    /// The providers, in the order in which they are asked whether they price a model.
    pub providers: Vec<Arc<Provider>>,
    /// The public models that have an entry of their own.
    pub models: Arc<HashMap<Box<str>, Arc<Route>>>,
    /// The prices of all providers' models.
    pub prices: Arc<PriceTable>,
    /// The plans by name.
    pub plans: Arc<HashMap<Arc<str>, Arc<Plan>>>,
    /// The plan of a user that has none of its own.
    pub default_plan: Arc<Plan>,
    /// What becomes of calls whose client goes away, where the plan says so.
    pub plan_disconnects: Arc<BTreeMap<Arc<str>, OnDisconnect>>,
    /// How buying an answer twice is avoided.
    pub savings: SavingsSettings,
    /// Everything else.
    pub settings: Settings,
    /// Routes of models without an entry, found on first use.
    pub found: Arc<Found>,
}

/// How tokens (JWT) are accepted.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Verifies them.
    pub verifier: Arc<TokenVerifier>,
    /// What stands in the place of a key's name in limits and rows.
    pub name: Arc<str>,
}

/// What holds for callers without credentials.
#[derive(Clone, Debug)]
pub struct Guests {
    /// Their plan.
    pub plan: Arc<str>,
    /// What stands in the place of a key's name in limits and rows.
    pub name: Arc<str>,
    /// What they must prove first, where anything.
    pub captcha: Option<Arc<Captcha>>,
}

/// What holds for every call.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The time zone of days and months in reports.
    pub zone: TimeZone,
    /// Why no call is made at all, where an operator has said so.
    pub kill_switch: Option<Arc<str>>,
    /// Whether users are served without having been registered.
    pub auto_register: bool,
    /// Most calls under way at a time; further ones are refused.
    pub max_calls: u32,
    /// How long work may wait for a core before calls are refused; zero is any time.
    pub shed_after: Duration,
    /// Largest request body, in bytes.
    pub max_body: usize,
    /// Largest answer that is not a stream, in bytes.
    pub max_answer: usize,
    /// How long a request body may pause.
    pub body_pause: Duration,
    /// Whose `x-forwarded-for` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Whether prompts and answers are kept.
    pub bodies: KeepBodies,
    /// Whether addresses are kept as digests only.
    pub hash_addresses: bool,
    /// What becomes of a call whose client goes away, where its key does not say.
    pub on_disconnect: OnDisconnect,
    /// How long the rest of an answer is read after its client went away.
    pub drain_for: Duration,
    /// Output tokens that are set aside where neither caller nor model says a maximum.
    pub assumed_output: u64,
    /// Input tokens that are set aside where the request has no bound of its own (earlier turns,
    /// files) and the context of the model is not known.
    pub assumed_context: u64,
    /// Searches by the provider that are set aside, of each kind that the request asks for, where it
    /// has no bound of its own.
    pub assumed_searches: u64,
}

/// A model at a provider that can serve a public name.
#[derive(Debug)]
pub struct Target {
    /// The provider.
    pub provider: Arc<Provider>,
    /// The provider's name for the model.
    pub model: Arc<str>,
    /// Its share of the calls among the targets of a route.
    pub weight: u32,
    /// Its price; a target without one is not called.
    pub price: Option<Arc<ModelPrice>>,
    /// Handles of its metrics, per endpoint.
    handles: RwLock<HashMap<Arc<str>, Arc<TargetMetrics>>>,
    /// How it does, once it was asked for.
    health: OnceLock<Arc<Health>>,
}

impl Target {
    /// A target; its metric handles are looked up on first use.
    pub fn new(
        provider: Arc<Provider>,
        model: Arc<str>,
        weight: u32,
        price: Option<Arc<ModelPrice>>,
    ) -> Self {
        let (handles, health) = (RwLock::default(), OnceLock::new());
        Self { provider, model, weight, price, handles, health }
    }

    /// How it does; what was learned outlives this configuration.
    pub fn health(&self, healths: &Healths) -> &Arc<Health> {
        self.health.get_or_init(|| healths.of(&self.provider.name, &self.model))
    }

    /// The handles for calls of this target on `endpoint`, counted under the name that `label` gives.
    pub fn metrics<'a>(
        &self,
        metrics: &Metrics,
        label: impl FnOnce() -> &'a str,
        endpoint: &Arc<str>,
    ) -> Arc<TargetMetrics> {
        if let Some(found) = self.handles.read().get(endpoint) {
            return Arc::clone(found);
        }
        let made = Arc::new(metrics.target(label(), &self.provider.name, endpoint));
        self.handles.write().insert(Arc::clone(endpoint), Arc::clone(&made));
        made
    }
}

/// A public model name and the targets that can serve it.
#[derive(Debug)]
pub struct Route {
    /// The public name.
    pub name: Arc<str>,
    /// Never empty.
    pub targets: Vec<Arc<Target>>,
    /// In which order they are asked.
    pub kind: RouteKind,
    /// Public models that are asked after all of them failed. They lead in no circle.
    pub fallback: Vec<Arc<str>>,
    /// Attempts that a call for this model may make in all, those at fallbacks included.
    pub attempts: u16,
    /// Output tokens assumed where the caller sets no maximum.
    pub max_output: Option<u64>,
    /// Whether its calls may use the prompt cache, where its entry says so.
    pub cache: Option<bool>,
}

/// In which order the targets of a route are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteKind {
    /// Each first as often as its weight says.
    #[default]
    Weighted,
    /// As they are listed.
    Priority,
    /// The less laden of two that are drawn: by the recent peak of their latency and by the calls
    /// that run at them.
    LeastLatency,
    /// The cheapest for this call first.
    Cheapest,
}

/// Attempts of a call whose route says nothing of them.
pub const USUAL_ATTEMPTS: u16 = 6;

impl Route {
    /// A route to one target.
    pub fn to_one(name: Arc<str>, target: Arc<Target>) -> Self {
        Self {
            name,
            targets: vec![target],
            kind: RouteKind::default(),
            fallback: Vec::new(),
            attempts: USUAL_ATTEMPTS,
            max_output: None,
            cache: None,
        }
    }

    /// Whether there is somebody to go on to after the first target.
    pub fn leads_on(&self) -> bool {
        self.targets.len() > 1 || !self.fallback.is_empty()
    }
}

/// Routes that were found for models without an entry of their own. Bounded: names that no
/// provider prices are not kept, so strangers cannot fill it.
#[derive(Debug, Default)]
pub struct Found(RwLock<HashMap<Box<str>, Arc<Route>>>);

impl Snapshot {
    /// The same with other keys.
    #[must_use]
    pub fn with_keys(&self, keys: Arc<KeyRing>) -> Self {
        Self { keys, ..self.clone() }
    }

    /// The route of a public model name: its own entry, else `provider/model`, else the first
    /// provider that prices it.
    pub fn route(&self, model: &str) -> Option<Arc<Route>> {
        if let Some(route) = self.models.get(model) {
            return Some(Arc::clone(route));
        }
        if let Some(route) = self.found.0.read().get(model) {
            return Some(Arc::clone(route));
        }
        let route = Arc::new(self.find(model)?);
        let mut found = self.found.0.write();
        if found.len() < MOST_FOUND {
            found.insert(model.into(), Arc::clone(&route));
        }
        Some(route)
    }

    fn find(&self, model: &str) -> Option<Route> {
        let priced = self.providers.iter().find_map(|provider| {
            let price = self.price(provider, model)?;
            Some(Target::new(Arc::clone(provider), model.into(), 1, Some(price)))
        });
        let target = priced.or_else(|| {
            let (name, rest) = model.split_once('/')?;
            let provider = self.providers.iter().find(|provider| &*provider.name == name)?;
            let price = self.price(provider, rest);
            Some(Target::new(Arc::clone(provider), rest.into(), 1, price))
        })?;
        Some(Route::to_one(model.into(), Arc::new(target)))
    }

    /// The public name of a model, where somebody serves it; empty elsewhere.
    pub fn name_of(&self, model: &str) -> Arc<str> {
        self.route(model).map(|route| Arc::clone(&route.name)).unwrap_or_default()
    }

    /// The price of a provider's model.
    pub fn price(&self, provider: &Provider, model: &str) -> Option<Arc<ModelPrice>> {
        provider.price(&self.prices, model)
    }

    /// Under which name metrics count the calls of a route: its own where the configuration names it.
    /// The price book knows families of names, so clients can make up more of those than there
    /// are models: they count as the book calls the model.
    pub fn label<'a>(&self, route: &'a Route) -> &'a str {
        if self.models.contains_key(&*route.name) {
            return &route.name;
        }
        let price = route.targets.first().and_then(|target| target.price.as_ref());
        price.map_or("", |price| price.id())
    }

    /// Every model that is served, by public name, with the provider that serves it first.
    pub fn public_models(&self) -> Vec<(String, Arc<str>)> {
        let mut models: BTreeMap<String, Arc<str>> = BTreeMap::new();
        for (name, route) in &*self.models {
            if let Some(target) = route.targets.first() {
                models.insert(name.to_string(), Arc::clone(&target.provider.name));
            }
        }
        for provider in &self.providers {
            let book_id = provider.book_id.as_deref().unwrap_or_default();
            let own = self.prices.configured(&provider.name);
            for model in self.prices.book().models(book_id).chain(own) {
                models.entry(model.to_owned()).or_insert_with(|| Arc::clone(&provider.name));
            }
        }
        models.into_iter().collect()
    }

    /// The plan of this name, else the default one.
    pub fn plan(&self, name: Option<&Arc<str>>) -> &Arc<Plan> {
        name.and_then(|name| self.plans.get(name)).unwrap_or(&self.default_plan)
    }

    /// What becomes of a call whose client goes away: as the key says, else its plan, else the
    /// server.
    pub fn on_disconnect(&self, key: &KeyEntry, plan: &Plan) -> OnDisconnect {
        key.on_disconnect
            .or_else(|| self.plan_disconnects.get(&plan.name).copied())
            .unwrap_or(self.settings.on_disconnect)
    }

    /// What guests must prove, where anything.
    pub fn captcha(&self) -> Option<&Arc<Captcha>> {
        self.guests.as_ref()?.captcha.as_ref()
    }

    /// Whether this address may say who called it.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.settings.trusted_proxies.iter().any(|network| network.contains(address))
    }
}
