//! What a prompt would cost: on several models side by side, and in two versions (SPEC §7).

use serde::{Deserialize, Serialize};
use tollgate_domain::money::NanoUsd;

/// What is to be estimated.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct EstimateAsk {
    /// Public names of models, or `provider/model`, with commas.
    pub models: String,
    /// The text of the prompt; its tokens are counted for each model.
    pub prompt: Option<String>,
    /// How many tokens the prompt has, in the place of its text.
    pub input_tokens: Option<u64>,
    /// The text of another version of the prompt, to compare.
    pub other_prompt: Option<String>,
    /// How many tokens the other version has, in the place of its text.
    pub other_input_tokens: Option<u64>,
    /// How many tokens an answer has; 500 where nothing is said.
    pub output_tokens: Option<u64>,
    /// How many calls there are in a month; 1000 where nothing is said.
    pub calls_per_month: Option<u64>,
}

/// What it would cost. Nothing is sent anywhere.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Estimate {
    /// Calls in a month.
    pub calls_per_month: u64,
    /// The currency that is shown beside USD; USD where there is none.
    pub currency: String,
    /// Units of it for one USD, as configured.
    pub usd_rate: String,
    /// A row for each version of the prompt and each model, in the order in which they were named.
    pub rows: Vec<EstimateRow>,
    /// What the other version costs more, by model, below zero where it costs less; empty where there
    /// is no other version.
    pub differences: Vec<EstimateDifference>,
}

/// An amount for one call and for all of a month, in USD and in the currency that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Costs {
    /// One call.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub per_call_usd: NanoUsd,
    /// A month of calls, each charged as one.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub per_month_usd: NanoUsd,
    /// One call in the currency that is shown, with nine decimals.
    pub per_call: String,
    /// A month of calls in the currency that is shown, with nine decimals.
    pub per_month: String,
}

/// One version of the prompt on one model.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EstimateRow {
    /// `prompt` or `other`.
    pub version: String,
    /// The model, as it was named.
    pub model: String,
    /// Who would serve it.
    pub provider: String,
    /// Tokens in.
    pub input_tokens: u64,
    /// Tokens out.
    pub output_tokens: u64,
    /// What it costs.
    #[serde(flatten)]
    pub costs: Costs,
    /// The price that was used.
    pub price_version: String,
}

/// What the other version of the prompt costs more.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EstimateDifference {
    /// The model, as it was named.
    pub model: String,
    /// Tokens in that there are more, below zero where there are fewer.
    pub input_tokens: i64,
    /// What it costs more.
    #[serde(flatten)]
    pub costs: Costs,
}
