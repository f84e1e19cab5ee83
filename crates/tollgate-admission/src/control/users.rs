//! Users as operators see and change them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::amount::{Amount, Written};
use super::limits::LimitRow;
use super::patch::present;

/// Where the plan of a user comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlanFrom {
    /// It was decided for the user.
    User,
    /// A key that acts for the user has it.
    Key,
    /// It is the default one.
    Default,
}

/// A user.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// The name.
    pub name: String,
    /// The plan in force.
    pub plan: String,
    /// Where the plan comes from.
    pub plan_from: PlanFrom,
    /// The team.
    pub team: Option<String>,
    /// Whether every call is refused.
    pub blocked: bool,
    /// Why.
    pub blocked_reason: Option<String>,
    /// Until when every quota counts as zero.
    pub quota_zero_until: Option<Timestamp>,
    /// Whether anything was decided about the user.
    pub registered: bool,
    /// Since when.
    pub created_at: Option<Timestamp>,
    /// Other maxima.
    pub overrides: Vec<OverrideRow>,
    /// What was paid in on prepaid balances.
    pub balances: Vec<BalanceRow>,
    /// How every limit stands; only where one user is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<LimitRow>>,
}

/// Another maximum for one user.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OverrideRow {
    /// The name of the limit.
    pub limit: String,
    /// The maximum instead.
    pub max: Amount,
    /// Until when; null for good.
    pub until: Option<Timestamp>,
    /// Who set it.
    pub by: String,
}

/// What was paid in on a balance.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BalanceRow {
    /// The name of the limit.
    pub limit: String,
    /// The sum of all payments.
    pub paid_in: Amount,
}

/// Which users are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct UserQuery {
    /// Only names that begin so.
    pub prefix: Option<String>,
    /// At most so many rows, from 1 to 500; 50 where nothing is said.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A user to register.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// The plan; the default one where none is named.
    pub plan: Option<String>,
    /// The team.
    pub team: Option<String>,
}

/// What changes about a user. An absent field stays as it is; null takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UserPatch {
    /// The plan; null for that of the key, else the default one.
    #[serde(deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub plan: Option<Option<String>>,
    /// The team.
    #[serde(deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub team: Option<Option<String>>,
    /// Whether every call is refused.
    pub blocked: Option<bool>,
    /// Why.
    #[serde(deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub blocked_reason: Option<Option<String>>,
    /// Until when every quota counts as zero.
    #[serde(deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub quota_zero_until: Option<Option<Timestamp>>,
}

/// Another maximum to give.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOverride {
    /// The name of the limit: one of the user's plan, or one outside plans that counts by user.
    pub limit: String,
    /// The maximum instead: a number, a decimal string, or `unlimited`. Zero blocks.
    #[cfg_attr(feature = "openapi", schema(value_type = Amount))]
    pub max: Written,
    /// Until when; for good where nothing is said.
    pub until: Option<Timestamp>,
}

/// A payment on a prepaid balance.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TopUp {
    /// The name of the limit; its window is `balance`.
    pub limit: String,
    /// How much.
    #[cfg_attr(feature = "openapi", schema(value_type = Amount))]
    pub amount: Written,
    /// The payer's own name of this payment. A repetition with the same name pays nothing.
    pub reference: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_tells_absent_from_null() {
        let patch: UserPatch = serde_json::from_str("{\"plan\":null,\"team\":\"red\"}").unwrap();
        assert_eq!(patch.plan, Some(None));
        assert_eq!(patch.team, Some(Some("red".to_owned())));
        assert_eq!((patch.blocked, patch.quota_zero_until), (None, None));
        assert!(serde_json::from_str::<UserPatch>("{\"plam\":\"pro\"}").is_err());
    }
}
