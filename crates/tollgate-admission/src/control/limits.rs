//! Plans and limits as they are in force, and how a limit stands for somebody.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use tollgate_domain::limit::{Limit, Mode, OnLimit, Scope};

use super::amount::Amount;
use crate::engine::LimitState;

/// How a limit stands (SPEC §18).
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LimitRow {
    /// Its name.
    pub name: String,
    /// Its plan; null outside plans.
    pub plan: Option<String>,
    /// Whose counter it is; several with commas.
    pub scope: String,
    /// What it counts.
    pub metric: String,
    /// Over which time.
    pub window: String,
    /// The maximum, with what was carried over or paid in.
    pub max: Amount,
    /// What is used.
    pub used: Amount,
    /// What is set aside for calls in flight.
    pub reserved: Amount,
    /// What is left; null where it is unlimited.
    pub remaining: Option<Amount>,
    /// When its window turns, in the time zone of the limit; null where it does not.
    pub resets_at: Option<String>,
}

impl LimitRow {
    /// The row of a state.
    pub fn of(state: &LimitState) -> Self {
        let limit = &state.limit;
        let amount = |value| Amount::of(limit.metric, value);
        Self {
            name: limit.name.to_string(),
            plan: state.plan.as_deref().map(str::to_owned),
            scope: scope_text(&limit.scope),
            metric: limit.metric.as_str().to_owned(),
            window: limit.window.to_string(),
            max: Amount::maximum(limit.metric, state.max),
            used: amount(state.used),
            reserved: amount(state.reserved),
            remaining: state.remaining.map(amount),
            resets_at: state.resets_at.map(|at| local(at, &limit.zone)),
        }
    }
}

/// Scopes as documents show them.
pub fn scope_text(scope: &[Scope]) -> String {
    let words: Vec<&str> = scope.iter().map(|scope| scope.as_str()).collect();
    words.join(",")
}

/// RFC 3339 with the offset of the zone.
fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// A limit as it is configured.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LimitFacts {
    /// Its name.
    pub name: String,
    /// Its plan; null outside plans.
    pub plan: Option<String>,
    /// Whose counter it is; several with commas.
    pub scope: String,
    /// What it counts.
    pub metric: String,
    /// Over which time.
    pub window: String,
    /// The maximum.
    pub max: Amount,
    /// What happens beyond it: `deny`, `clamp`, `downgrade:MODEL` or `alert`.
    pub on_limit: String,
    /// `enforce`, or `shadow` where it only counts and reports.
    pub mode: String,
    /// Shares of the maximum that fire an alert, as decimals.
    pub warn_at: Vec<String>,
    /// The share of what is unused that is carried over, as a decimal.
    pub rollover: String,
    /// The time zone of its calendar windows.
    pub timezone: Option<String>,
    /// Only calls of this feature.
    pub feature: Option<String>,
    /// Only calls of these models; empty for all.
    pub models: Vec<String>,
    /// Only calls served by these providers; empty for all.
    pub providers: Vec<String>,
}

impl LimitFacts {
    /// What a limit says; `plan` is `None` outside plans.
    pub fn of(limit: &Limit, plan: Option<&str>) -> Self {
        let texts = |list: &[std::sync::Arc<str>]| list.iter().map(ToString::to_string).collect();
        Self {
            name: limit.name.to_string(),
            plan: plan.map(str::to_owned),
            scope: scope_text(&limit.scope),
            metric: limit.metric.as_str().to_owned(),
            window: limit.window.to_string(),
            max: Amount::maximum(limit.metric, limit.max),
            on_limit: match &limit.on_limit {
                OnLimit::Deny => "deny".to_owned(),
                OnLimit::Clamp => "clamp".to_owned(),
                OnLimit::Downgrade(model) => format!("downgrade:{model}"),
                OnLimit::Alert => "alert".to_owned(),
            },
            mode: match limit.mode {
                Mode::Enforce => "enforce".to_owned(),
                Mode::Shadow => "shadow".to_owned(),
            },
            warn_at: limit.warn_at.iter().map(|share| per_mille(*share)).collect(),
            rollover: per_mille(limit.rollover),
            timezone: limit.zone.iana_name().map(str::to_owned),
            feature: limit.feature.as_deref().map(str::to_owned),
            models: texts(&limit.models),
            providers: texts(&limit.providers),
        }
    }
}

/// Parts per thousand as a decimal: `0.8`.
fn per_mille(share: u16) -> String {
    let text = format!("{}.{:03}", share / 1_000, share % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A plan as it is configured.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanRow {
    /// Its name.
    pub name: String,
    /// Whether users are on it that have no other.
    pub default: bool,
    /// Whether callers without credentials are on it.
    pub guests: bool,
    /// Its limits, in the order of the configuration.
    pub limits: Vec<LimitFacts>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_decimals_and_scopes_are_joined() {
        for (share, text) in [(800, "0.8"), (1_000, "1"), (0, "0"), (1_250, "1.25"), (5, "0.005")] {
            assert_eq!(per_mille(share), text);
        }
        assert_eq!(scope_text(&[Scope::User, Scope::Model]), "user,model");
    }
}
