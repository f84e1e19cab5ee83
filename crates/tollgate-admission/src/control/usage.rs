//! Sums of calls, as they are asked for and shown.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tollgate_domain::money::NanoUsd;

/// Which sums are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct UsageAsk {
    /// What the rows are: hour, day, month, user, team, key, feature, provider, model or tag:NAME;
    /// several with commas. One row with the total where nothing is said.
    pub group_by: Option<String>,
    /// The first day (`2026-11-01`) or an RFC 3339 instant; the first of this month where nothing
    /// is said.
    pub from: Option<String>,
    /// The last day, or the instant behind the last; today where nothing is said.
    pub to: Option<String>,
    /// Only this user.
    pub user: Option<String>,
    /// Only this team.
    pub team: Option<String>,
    /// Only this key.
    pub key: Option<String>,
    /// Only this feature.
    pub feature: Option<String>,
    /// Only this provider.
    pub provider: Option<String>,
    /// Only this model, as served.
    pub model: Option<String>,
}

/// Sums of calls (SPEC §18).
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageReport {
    /// The first day, or instant.
    pub from: String,
    /// The last day, or the instant behind the last.
    pub to: String,
    /// The time zone of its hours, days and months.
    pub timezone: String,
    /// What everything cost.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub total_cost_usd: NanoUsd,
    /// How many calls were admitted.
    pub calls: u64,
    /// A value for each of `group_by`, and the figures.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub rows: Vec<Map<String, Value>>,
}
