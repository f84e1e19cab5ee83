//! Keys as operators see and make them. The key itself is in one document only: the answer to
//! whoever made it.

mod limits;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::limits::LimitFacts;
pub use limits::{WrittenLimit, WrongLimit};

/// Where a key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// In the configuration.
    Configuration,
    /// In the database.
    Database,
    /// In the database, and another key has taken its place.
    Replaced,
}

/// Whether a key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It is.
    Good,
    /// It was.
    Expired,
    /// It was taken back.
    Revoked,
}

/// A key, without the key itself.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Key {
    /// The name.
    pub name: String,
    /// The first characters; null for a key of the configuration.
    pub prefix: Option<String>,
    /// `user`, `service` or `admin`.
    pub role: String,
    /// The user it acts for.
    pub user: String,
    /// The team of its user.
    pub team: Option<String>,
    /// The plan it is on, where it has one of its own.
    pub plan: Option<String>,
    /// Whether it is good.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it stops being good.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Models it may use; empty for all.
    pub models: Vec<String>,
    /// Providers it may use; empty for all.
    pub providers: Vec<String>,
    /// Addresses it may come from; empty for all.
    pub networks: Vec<String>,
    /// What becomes of its calls when the client leaves: `drain`, `abort`, or null for the usual.
    pub on_disconnect: Option<String>,
    /// Its own limits, beside those of its user's plan.
    pub limits: Vec<LimitFacts>,
    /// Where it is kept.
    pub source: KeySource,
}

/// Which keys are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct KeyQuery {
    /// Only keys that act for this user.
    pub user: Option<String>,
    /// At most so many rows, from 1 to 500; 50 where nothing is said.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A key to make.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The name, unique.
    pub name: String,
    /// `user` (where nothing is said), `service` or `admin`.
    pub role: Option<String>,
    /// The user it acts for; its name where none is named.
    pub user: Option<String>,
    /// The team of its user.
    pub team: Option<String>,
    /// The plan it is on.
    pub plan: Option<String>,
    /// When it stops being good.
    pub expires_at: Option<Timestamp>,
    /// Models it may use (a `*` at the end matches a prefix); empty for all.
    #[serde(default)]
    pub models: Vec<String>,
    /// Providers it may use; empty for all.
    #[serde(default)]
    pub providers: Vec<String>,
    /// Addresses and networks it may come from; empty for all.
    #[serde(default)]
    pub networks: Vec<String>,
    /// What becomes of its calls when the client leaves: `drain` or `abort`.
    pub on_disconnect: Option<String>,
    /// Its own limits, in the words of the configuration: `name`, `metric`, `window`, `max` and the
    /// rest. The scope is `key` where nothing is said, and holds `key` in any case.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub limits: Vec<WrittenLimit>,
}

/// What is to be different about a key.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyPatch {
    /// Its own limits, all of them, as when a key is made; an empty list takes them away. What the
    /// key has used counts in them.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub limits: Vec<WrittenLimit>,
}

/// How a key is replaced.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct KeyRotation {
    /// How long the old key stays good: `0s`, `24h` (where nothing is said), `7d`.
    pub overlap: Option<String>,
}

/// A key that was just made. It is shown this once.
#[derive(Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MadeKey {
    /// The name.
    pub name: String,
    /// The key itself.
    pub key: String,
    /// `user`, `service` or `admin`.
    pub role: String,
    /// The user it acts for.
    pub user: String,
    /// When it stops being good.
    pub expires_at: Option<Timestamp>,
    /// Until when the key that it replaces stays good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_until: Option<Timestamp>,
}

/// Shows everything but the key.
impl std::fmt::Debug for MadeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeKey").field("name", &self.name).finish_non_exhaustive()
    }
}
