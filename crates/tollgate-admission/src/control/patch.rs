//! Fields that may be left alone, set, or taken away: absent, a value, or null.

use serde::{Deserialize, Deserializer};

/// Reads a field that is there: null becomes `Some(None)`. With `#[serde(default)]` an absent field
/// stays `None`.
#[expect(
    clippy::option_option,
    reason = "a field that is left out, one that is null and one with a value mean three things"
)]
pub(super) fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
