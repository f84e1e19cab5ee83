//! The kill switch as operators see and change it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A switch that is on.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwitchRow {
    /// What it stops: `global`, `provider:NAME`, `model:NAME`, `plan:NAME` or `user:NAME`.
    pub scope: String,
    /// Why.
    pub reason: String,
    /// Who switched it; `environment` where a variable holds it.
    pub by: String,
    /// Since when; null where a variable holds it.
    pub since: Option<Timestamp>,
}

/// What is stopped.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KillSwitch {
    /// Whether anything is.
    pub on: bool,
    /// The switches that are on.
    pub switches: Vec<SwitchRow>,
}

/// A change of the kill switch.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SwitchChange {
    /// Whether calls are stopped, or go on.
    pub on: bool,
    /// How far: `global` (where nothing is said), `provider:NAME`, `model:NAME`, `plan:NAME` or
    /// `user:NAME`.
    pub scope: Option<String>,
    /// Why; clients see it.
    pub reason: Option<String>,
}
