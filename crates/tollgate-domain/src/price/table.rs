//! All prices together: the configuration over the environment over the book, and a default where
//! one is configured.
//!
//! A table is made at load and does not change; another configuration makes another table. What
//! has been resolved is remembered, so that asking again is a lookup.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::book::PriceBook;
use super::environment::EnvPrices;
use super::model::ModelPrice;
use super::overrides::{Override, flat, missing};
use super::served::Window;
use super::unit::Unit;
use crate::money::Rate;

/// Answers that are remembered. Clients choose model names, so there must be a bound; beyond it
/// everything is forgotten and asked anew.
const REMEMBERED: usize = 4_096;
/// Longer names are no model's, and are not remembered.
const LONGEST_NAME: usize = 256;

/// Prices by provider and model.
#[derive(Debug)]
pub struct PriceTable {
    sources: Builder,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    count: usize,
    providers: HashMap<Box<str>, Answers>,
}

/// By model.
type Answers = HashMap<Box<str>, Option<Arc<ModelPrice>>>;

/// What a [`PriceTable`] is made of.
#[derive(Debug)]
pub struct Builder {
    book: Arc<PriceBook>,
    /// Configured providers and what the book calls them; `None` where it does not know them.
    providers: HashMap<Box<str>, Option<Box<str>>>,
    overrides: HashMap<(Box<str>, Box<str>), Override>,
    env: EnvPrices,
    default: Option<Arc<ModelPrice>>,
}

/// An override that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A model that the book does not know needs all of its price.
    #[error(
        "prices.\"{model}\": the price book does not know this model, so `{missing}` is needed \
         (write 0 where it is free)"
    )]
    Missing {
        /// Provider and model.
        model: String,
        /// The key that is missing.
        missing: &'static str,
    },
    /// A price with dates needs another one for the time outside of them.
    #[error(
        "prices.\"{model}\": the price book does not know this model, so a price with \
         `effective_from` or `effective_to` would leave it without one at other times"
    )]
    Gap {
        /// Provider and model.
        model: String,
    },
}

impl PriceTable {
    /// A table over a book, to which more is added.
    pub fn builder(book: Arc<PriceBook>) -> Builder {
        Builder {
            book,
            providers: HashMap::new(),
            overrides: HashMap::new(),
            env: EnvPrices::default(),
            default: None,
        }
    }

    /// The price of a model at a provider (by its configured name or the book's), or the default
    /// price, or `None`: then nobody knows what a call would cost.
    pub fn resolve(&self, provider: &str, model: &str) -> Option<Arc<ModelPrice>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(price) = known.providers.get(provider).and_then(|models| models.get(model)) {
            return price.clone();
        }
        drop(known);
        let price = self.sources.resolve(provider, model);
        if model.len() > LONGEST_NAME {
            return price;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.count >= REMEMBERED {
            *known = Known::default();
        }
        known.count += 1;
        known.providers.entry(provider.into()).or_default().insert(model.into(), price.clone());
        price
    }

    /// The models of a provider that the configuration prices.
    pub fn configured<'a>(&'a self, provider: &'a str) -> impl Iterator<Item = &'a str> {
        let own = self.sources.overrides.keys().filter(move |(name, _)| **name == *provider);
        own.map(|(_, model)| &**model)
    }

    /// The book below.
    pub fn book(&self) -> &Arc<PriceBook> {
        &self.sources.book
    }

    /// Names of environment variables that look like prices but fit neither a model id of the
    /// book nor an entry of the configuration: most often a slip of the pen, so worth a warning.
    pub fn unmatched_env(&self) -> Vec<&str> {
        let sources = &self.sources;
        if sources.env.is_empty() {
            return Vec::new();
        }
        let aliases =
            sources.providers.iter().filter_map(|(name, id)| Some((&**name, &**id.as_ref()?)));
        let providers = sources.book.providers().map(|id| (id, id)).chain(aliases);
        let models = providers
            .flat_map(|(name, id)| sources.book.models(id).map(move |model| (name, model)));
        let entries = sources.overrides.keys().map(|(provider, model)| (&**provider, &**model));
        sources.env.unknown(models.chain(entries))
    }
}

impl Builder {
    /// Names a configured provider and what the book calls it; with `None` the book has nothing to
    /// say about it. A provider that is never named goes by its own name.
    #[must_use]
    pub fn provider(mut self, name: &str, book_id: Option<&str>) -> Self {
        self.providers.insert(name.into(), book_id.map(Into::into));
        self
    }

    /// Adds an entry of the configuration. A later one for the same model replaces it.
    #[must_use]
    pub fn price(mut self, provider: &str, model: &str, prices: Override) -> Self {
        self.overrides.insert((provider.into(), model.to_lowercase().into()), prices);
        self
    }

    /// Adds the prices of the environment.
    #[must_use]
    pub fn env(mut self, env: EnvPrices) -> Self {
        self.env = env;
        self
    }

    /// Sets the price of models that nobody else prices.
    #[must_use]
    pub fn default_rate(mut self, input: Rate, output: Rate) -> Self {
        let prices = flat(&[(Unit::Input, input), (Unit::Output, output)]);
        self.default = Some(Arc::new(ModelPrice::alone("default".into(), "".into(), prices)));
        self
    }

    /// Makes the table; every entry of the configuration must be able to stand.
    pub fn build(self) -> Result<PriceTable, Vec<TableError>> {
        let mut errors: Vec<TableError> = self
            .overrides
            .keys()
            .filter_map(|(provider, model)| self.check(provider, model))
            .collect();
        if errors.is_empty() {
            return Ok(PriceTable { sources: self, known: RwLock::default() });
        }
        errors.sort_by_key(ToString::to_string);
        Err(errors)
    }

    fn check(&self, provider: &str, model: &str) -> Option<TableError> {
        if self.in_book(provider, model).is_some() {
            return None;
        }
        let names = self.names(provider, model, None);
        let entry = self.entry(&names)?;
        let model = format!("{provider}/{model}");
        match missing(&self.alone(&names, entry)) {
            Some(missing) => Some(TableError::Missing { model, missing }),
            None => (entry.window != Window::ALWAYS).then_some(TableError::Gap { model }),
        }
    }

    fn resolve(&self, provider: &str, model: &str) -> Option<Arc<ModelPrice>> {
        let found = self.in_book(provider, model);
        let names = self.names(provider, model, found.as_deref());
        let entry = self.entry(&names);
        let env = self.env_rates(&names);
        let price = match found {
            Some(price) if entry.is_none() && env.is_empty() => Some(price),
            Some(price) => Some(Arc::new(over_book(&price, entry, &env))),
            None => self.standing_alone(&names, entry, &env).map(Arc::new),
        };
        price.or_else(|| self.default.clone())
    }

    fn standing_alone(
        &self,
        names: &[(&str, String)],
        entry: Option<&Override>,
        env: &[(Unit, Rate)],
    ) -> Option<ModelPrice> {
        let rates = entry.map_or_else(|| env.to_vec(), |entry| self.alone(names, entry));
        if rates.is_empty() || missing(&rates).is_some() {
            return None;
        }
        let (provider, model) = names.first()?;
        let source = if entry.is_some() { "config" } else { "env" };
        let version = format!("{source} {provider}/{model}");
        Some(ModelPrice::alone(version.into(), model.as_str().into(), flat(&rates)))
    }

    /// The rates of an entry and, for what it leaves open, of the environment.
    fn alone(&self, names: &[(&str, String)], entry: &Override) -> Vec<(Unit, Rate)> {
        let mut rates = entry.rates.clone();
        let env = self.env_rates(names);
        rates.extend(
            env.into_iter()
                .filter(|(unit, _)| !entry.rates.iter().any(|(stated, _)| stated == unit)),
        );
        rates
    }

    fn in_book(&self, provider: &str, model: &str) -> Option<Arc<ModelPrice>> {
        self.book.find(self.book_id(provider)?, model)
    }

    fn book_id<'a>(&'a self, provider: &'a str) -> Option<&'a str> {
        match self.providers.get(provider) {
            Some(known) => known.as_deref(),
            None => Some(provider),
        }
    }

    /// Under which names an override may be written, the most particular first: the provider as
    /// configured, then as the book calls it; the model as asked for, then its plain id.
    fn names<'a>(
        &'a self,
        provider: &'a str,
        model: &str,
        found: Option<&ModelPrice>,
    ) -> Vec<(&'a str, String)> {
        let models = [Some(model), found.map(|price| &**price.id())];
        let mut names: Vec<(&str, String)> = Vec::new();
        for provider in [Some(provider), self.book_id(provider)].into_iter().flatten() {
            for model in models.into_iter().flatten() {
                let name = (provider, model.to_lowercase());
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    fn entry(&self, names: &[(&str, String)]) -> Option<&Override> {
        names.iter().find_map(|(provider, model)| {
            self.overrides.get(&(Box::from(*provider), model.as_str().into()))
        })
    }

    fn env_rates(&self, names: &[(&str, String)]) -> Vec<(Unit, Rate)> {
        let rates = names.iter().map(|(provider, model)| self.env.rates(provider, model));
        rates.into_iter().find(|rates| !rates.is_empty()).unwrap_or_default()
    }
}

/// The book's price with what overrides it laid over it.
fn over_book(book: &ModelPrice, entry: Option<&Override>, env: &[(Unit, Rate)]) -> ModelPrice {
    let mut price = book.clone();
    let mut sources = Vec::new();
    if let Some(entry) = entry {
        sources.push("config");
        price.overlay(entry.window, flat(&entry.rates));
    }
    if !env.is_empty() {
        sources.push("env");
        price.overlay(Window::ALWAYS, flat(env));
    }
    // The strongest is laid last.
    price.overlays.reverse();
    sources.push(&book.version);
    price.version = sources.join("+").into();
    price
}
