//! How serious a line is, as the line itself says it.

use serde::Deserialize;

/// The fields of a line that sinks sort by.
#[derive(Deserialize)]
pub(crate) struct Gist<'a> {
    /// `info`, `warn` or `error`.
    #[serde(borrow, default)]
    pub(crate) level: &'a str,
}

/// The level of a line; `info` where it says none.
pub(crate) fn level_of(line: &[u8]) -> &'static str {
    match serde_json::from_slice::<Gist<'_>>(line) {
        Ok(Gist { level: "error" }) => "error",
        Ok(Gist { level: "warn" }) => "warn",
        _ => "info",
    }
}
