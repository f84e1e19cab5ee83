//! Public model names with their targets and fallbacks, and prices that override the book.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate_domain::money::Rate;
use tollgate_domain::price::Override;

use super::names::Names;
use super::reader::Fields;
use super::scalar::{Count, Decimal, Name, words};
use super::schema;

words! {
    /// How one of several targets is chosen.
    Route {
        /// By weight.
        Weighted = "weighted",
        /// The first that can.
        Priority = "priority",
        /// The fastest of late.
        LeastLatency = "least_latency",
        /// The cheapest that can.
        Cheapest = "cheapest",
    }
}

/// A public model name.
#[derive(Clone, Debug)]
pub struct Model {
    /// The name that clients use.
    pub name: Arc<str>,
    /// How a target is chosen.
    pub route: Route,
    /// Who can serve it; never empty.
    pub targets: Vec<Target>,
    /// Public models that are tried after all targets failed.
    pub fallback: Vec<Arc<str>>,
    /// Attempts of a call for it in all, at least 1.
    pub attempts: u32,
    /// Output tokens assumed where the caller sets none.
    pub max_output_tokens: Option<u64>,
    /// Whether its calls may use the prompt cache, where the entry says so.
    pub cache: Option<bool>,
}

/// A provider's model.
#[derive(Clone, Debug)]
pub struct Target {
    /// The provider.
    pub provider: Arc<str>,
    /// Its name for the model.
    pub model: Arc<str>,
    /// Its share of the calls.
    pub weight: u32,
}

/// A price that overrides the price book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceOverride {
    /// The provider.
    pub provider: Arc<str>,
    /// The provider's name for the model.
    pub model: Arc<str>,
    /// The line in the file.
    pub line: u32,
    /// Key and decimal, both as written: `("input", "8.00")`.
    pub rates: Vec<(&'static str, String)>,
}

/// Reads all models, by name.
pub(super) fn models(
    root: &Fields<'_>,
    names: &Names,
    providers: &Names,
) -> BTreeMap<Arc<str>, Model> {
    let sections = root.named("models", &schema::MODEL);
    let models: BTreeMap<Arc<str>, Model> = sections
        .iter()
        .map(|(name, fields)| (Arc::from(*name), Model::read(name, fields, names, providers)))
        .collect();
    for (name, fields) in &sections {
        if let Some(circle) = circle_from(name, &models) {
            let message = format!("the fallbacks of `{name}` lead in a circle: {circle}");
            fields.fail_at("fallback", message, Some("leave one of them out".to_owned()));
        }
    }
    models
}

impl Model {
    fn read(name: &str, fields: &Fields<'_>, names: &Names, providers: &Names) -> Self {
        let targets: Vec<Target> = fields
            .sections("targets", &schema::TARGET)
            .iter()
            .filter_map(|target| Target::read(name, target, providers))
            .collect();
        let listed = fields.item("targets").map(|item| item.items().len());
        match listed {
            None => fields.fail(format!("{} needs `targets`", fields.title()), None),
            Some(0) => {
                let message = format!("`{}.targets` is empty: nobody could serve it", fields.path);
                fields.fail_at("targets", message, None);
            }
            Some(_) => {}
        }
        if !targets.is_empty() && targets.iter().all(|target| target.weight == 0) {
            let message = format!("`{}.targets`: every weight is 0", fields.path);
            fields.fail_at("targets", message, Some("give one a weight of 1 or more".to_owned()));
        }
        Self {
            name: name.into(),
            route: fields.get("route"),
            targets,
            fallback: names.mentions(fields, "fallback"),
            attempts: fields.get::<Count>("attempts").0,
            cache: fields.maybe("cache"),
            max_output_tokens: fields
                .maybe::<Count>("max_output_tokens")
                .map(|Count(most)| u64::from(most)),
        }
    }
}

impl Target {
    fn read(public: &str, fields: &Fields<'_>, providers: &Names) -> Option<Self> {
        let model = fields.maybe::<Name>("model").map_or_else(|| public.into(), |Name(name)| name);
        let weight = fields.get("weight");
        let Some(item) = fields.item("provider") else {
            fields.fail(format!("`{}` needs `provider`", fields.path), None);
            return None;
        };
        Some(Self { provider: providers.mention(&item)?, model, weight })
    }
}

/// The way from a model over fallbacks back to itself, if there is one.
fn circle_from(start: &str, models: &BTreeMap<Arc<str>, Model>) -> Option<String> {
    let mut ways: Vec<Vec<&str>> = vec![vec![start]];
    let mut seen: Vec<&str> = Vec::new();
    while let Some(way) = ways.pop() {
        let next = way.last().and_then(|name| models.get(*name)).map(|model| &model.fallback);
        for fallback in next.into_iter().flatten() {
            let mut way = way.clone();
            way.push(fallback);
            if &**fallback == start {
                return Some(way.join(" -> "));
            }
            if !seen.contains(&&**fallback) {
                seen.push(fallback);
                ways.push(way);
            }
        }
    }
    None
}

/// Reads all prices: the overrides in the order of the file, and the rates in and out of
/// everything that nothing else prices.
pub(super) fn prices(
    root: &Fields<'_>,
    providers: &Names,
) -> (Vec<PriceOverride>, Option<(Rate, Rate)>) {
    let mut overrides = Vec::new();
    let mut default = None;
    for (key, item) in root.item("prices").map(|item| item.entries()).unwrap_or_default() {
        if key == "default" {
            default = item.fields(&schema::DEFAULT_PRICE).map(|fields| default_rate(&fields));
            continue;
        }
        let Some(fields) = item.fields(&schema::PRICE) else {
            continue;
        };
        let Some((provider, model)) = key.split_once('/').filter(|(_, model)| !model.is_empty())
        else {
            let message = format!("`{key}` does not name a price: expected PROVIDER/MODEL");
            fields.fail(message, Some("write it like [prices.\"openai/gpt-4o-mini\"]".to_owned()));
            continue;
        };
        if !providers.contains(provider) {
            let message = format!("`{}`: there is no provider `{provider}`", fields.path);
            fields.fail(message, Some(providers.remedy(provider)));
        }
        overrides.push(PriceOverride::read((provider, model), &fields));
    }
    overrides.sort_by_key(|price| price.line);
    (overrides, default)
}

fn default_rate(fields: &Fields<'_>) -> (Rate, Rate) {
    let rate = |key| {
        let Decimal(text) = fields.get(key);
        Rate::parse_usd_per_million(&text).unwrap_or_else(|| {
            fields.fail_at(key, format!("`{}.{key}`: {text} cannot be held", fields.path), None);
            Rate::FREE
        })
    };
    (rate("input"), rate("output"))
}

impl PriceOverride {
    fn read((provider, model): (&str, &str), fields: &Fields<'_>) -> Self {
        let mut rates = Vec::new();
        let mut whole = true;
        for key in schema::PRICE.keys {
            let Some(item) = fields.item(key.name) else {
                continue;
            };
            let text = match key.form {
                "decimal" => item.scalar().map(|Decimal(text)| text),
                _ => item.scalar().map(|Name(text)| text.to_string()),
            };
            whole &= text.is_some();
            rates.extend(text.map(|text| (key.name, text)));
        }
        let pairs = rates.iter().map(|(key, text)| (*key, text.as_str()));
        // What the keys mean together is checked by whoever will use them.
        if let (true, Err(error)) = (whole, Override::from_pairs(pairs)) {
            fields.fail(format!("`{}`: {error}", fields.path), None);
        }
        Self { provider: provider.into(), model: model.into(), line: fields.line(), rates }
    }
}
