//! Providers as operators see them, and how their targets do.

use serde::Serialize;

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderRow {
    /// Its name.
    pub name: String,
    /// Its dialect, as the configuration names it.
    pub kind: String,
    /// Where it is; null for the simulated one.
    pub base_url: Option<String>,
    /// Attempts of one call at a target of it.
    pub attempts: u32,
    /// Its models that were asked since the start, by name; empty where no server runs in this
    /// process.
    pub targets: Vec<TargetRow>,
}

/// A model of a provider, as it does now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TargetRow {
    /// Its name at the provider.
    pub model: String,
    /// What its breaker lets through: `closed` everything, `half_open` one probe, `open` nothing.
    pub breaker: String,
    /// How long until a probe is let through, in milliseconds; null where it is not open.
    pub opens_in_ms: Option<u64>,
    /// How long it rests because a limit of its provider is used up, in milliseconds; null where it
    /// does not.
    pub rests_for_ms: Option<u64>,
    /// The recent peak of the time to its first byte, in milliseconds; null where none was seen.
    pub latency_ms: Option<u64>,
    /// Calls that run at it.
    pub running: u32,
}
