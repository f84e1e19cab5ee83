//! Duplicate storms as operators see them.

use jiff::Timestamp;
use serde::Serialize;

/// A duplicate storm: one subject that sent the same prompt too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StormRow {
    /// Its number since the start of the program.
    pub id: u64,
    /// When it was noticed.
    pub time: Timestamp,
    /// Whose calls.
    pub user: String,
    /// With which key.
    pub key: String,
    /// In which session, where one was named.
    pub session: Option<String>,
    /// The path that was called.
    pub endpoint: String,
    /// The model that was asked for.
    pub model: String,
    /// How many calls made it one.
    pub calls: u32,
    /// What happened: `alert`, `serve_cached`, `throttle` or `block`.
    pub action: String,
    /// Until when its subject is refused; null where it was not, or is no more.
    pub blocked_until: Option<Timestamp>,
}
