//! The form of the source data, as far as it is used. Numbers stay text.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Provider<'a> {
    pub(super) id: String,
    pub(super) api_pattern: String,
    /// Model names that point to this provider.
    #[serde(rename = "model_match")]
    pub(super) sells: Option<Rule>,
    /// Other names that it goes by.
    #[serde(rename = "provider_match")]
    pub(super) names: Option<Rule>,
    #[serde(default)]
    pub(super) fallback_model_providers: Vec<String>,
    #[serde(borrow)]
    pub(super) models: Vec<Model<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Model<'a> {
    pub(super) id: String,
    #[serde(rename = "match")]
    pub(super) rule: Rule,
    pub(super) context_window: Option<u64>,
    #[serde(borrow)]
    pub(super) prices: &'a RawValue,
    #[serde(borrow, default)]
    pub(super) price_variants: Vec<Variant<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rule {
    Equals(String),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Regex(String),
    Or(Vec<Self>),
    And(Vec<Self>),
}

/// Prices by key; a value is a number or [`Tiered`].
pub(super) type Prices<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Deserialize)]
pub(super) struct Conditional<'a> {
    pub(super) constraint: Option<Constraint>,
    #[serde(borrow)]
    pub(super) prices: Prices<'a>,
}

#[derive(Deserialize)]
pub(super) struct Variant<'a> {
    pub(super) when: BTreeMap<String, String>,
    pub(super) constraint: Option<Constraint>,
    #[serde(borrow)]
    pub(super) prices: Prices<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Constraint {
    #[serde(rename = "type")]
    _kind: Option<String>,
    pub(super) start_date: Option<String>,
    pub(super) start_time: Option<String>,
    pub(super) end_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tiered<'a> {
    #[serde(borrow)]
    pub(super) base: &'a RawValue,
    #[serde(borrow)]
    pub(super) tiers: Vec<Tier<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tier<'a> {
    pub(super) start: u64,
    #[serde(borrow)]
    pub(super) price: &'a RawValue,
}
