//! The messages form of Anthropic.
//!
//! Source: Anthropic's API reference and SDKs.

mod blocks;
mod convert;
mod read;
mod reader;
mod schema;
mod usage;
mod write;
mod writer;

pub(crate) use read::read;
pub(crate) use reader::{Reader, read_whole};
pub(super) use schema::{closed, object_schema};
pub(super) use write::refuse_unknown_sampling;
pub(crate) use write::write;
pub(crate) use writer::{Writer, write_whole};

use super::reply::Reason;

/// Words for the end, and the reasons that they mean; the first of a reason is the one written.
const STOPS: [(&str, Reason); 9] = [
    ("end_turn", Reason::End),
    ("max_tokens", Reason::Length),
    ("tool_use", Reason::Calls),
    ("refusal", Reason::Filtered),
    ("stop_sequence", Reason::End),
    ("pause_turn", Reason::End),
    ("compaction", Reason::End),
    ("model_context_window_exceeded", Reason::Length),
    // Only Bedrock says this; Claude's clients read it as a refusal.
    ("guardrail_intervened", Reason::Filtered),
];

/// The reason that a word means. Words come up that nobody knows yet: they end the turn.
pub(super) fn reason(word: &str) -> Reason {
    STOPS.iter().find(|(known, _)| *known == word).map_or(Reason::End, |(_, reason)| *reason)
}

/// The word for a reason.
fn word(reason: Reason) -> &'static str {
    STOPS.iter().find(|(_, known)| *known == reason).map_or("end_turn", |(word, _)| word)
}
