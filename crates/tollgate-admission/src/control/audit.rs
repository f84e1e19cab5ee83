//! Who changed what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One change.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRow {
    /// Its number; grows with time.
    pub id: i64,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub who: String,
    /// What was done, such as `user.change`.
    pub action: String,
    /// To what, such as `alice`.
    pub subject: String,
    /// How it was; null where it was not.
    pub before: Value,
    /// How it is since; null where it is no more.
    pub after: Value,
}

/// Which changes are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only changes by this name.
    pub who: Option<String>,
    /// Only changes of this kind.
    pub action: Option<String>,
    /// Only changes to this.
    pub subject: Option<String>,
    /// At most so many rows, from 1 to 500; 50 where nothing is said.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}
