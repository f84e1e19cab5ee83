//! The Gemini dialect: generateContent and its kin, at the developer API and at Vertex.
//!
//! Sources: the provider's API reference and SDK types, and the recorded exchanges of the tests.

mod answer;
mod cut;
mod request;
mod stream;
mod text;
mod usage;

pub(crate) use answer::read_answer;
pub(crate) use cut::cut_events;
pub(crate) use request::{peek, rewrite};
pub(crate) use stream::{Reader, complete};
pub(crate) use text::answer_text;

/// What stands before a model's name in bodies, and in the paths of some clients.
const PREFIX: &str = "models/";

/// A model's name without its prefix.
fn bare(model: &str) -> &str {
    model.strip_prefix(PREFIX).unwrap_or(model)
}

/// Whether a model's searches are billed once for an answer (those before Gemini 3), and not one by
/// one.
fn grounds_once(model: &str) -> bool {
    ["gemini-1", "gemini-2"].iter().any(|old| model.starts_with(old))
}

/// A service tier as prices name it, from the developer API (`flex`, `SERVICE_TIER_FLEX`) or from
/// Vertex (`ON_DEMAND_FLEX`).
fn tier(word: &str) -> Box<str> {
    let lower = word.to_ascii_lowercase();
    let bare = lower.strip_prefix("service_tier_").unwrap_or(&lower);
    match bare.strip_prefix("on_demand") {
        Some("") => "standard".into(),
        Some(kind) => kind.trim_start_matches('_').into(),
        None => bare.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_those_that_prices_name() {
        for (word, expected) in [
            ("standard", "standard"),
            ("FLEX", "flex"),
            ("SERVICE_TIER_PRIORITY", "priority"),
            ("ON_DEMAND", "standard"),
            ("ON_DEMAND_FLEX", "flex"),
            ("ON_DEMAND_PRIORITY", "priority"),
            ("ON_DEMAND_OFFPEAK", "offpeak"),
            ("PROVISIONED_THROUGHPUT", "provisioned_throughput"),
        ] {
            assert_eq!(&*tier(word), expected, "{word}");
        }
    }
}
