//! Whether an answer is all of what was asked for, so that it may be given again.

use tollgate_domain::call::Outcome;
use tollgate_wire::facts::{AnswerFacts, ResponseStatus};

use crate::open_call::{End, OpenCall, Received};

/// Words of providers for an answer that reached a maximum.
const FULL: [&str; 5] =
    ["length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"];
/// Words of providers for an answer that a filter has cut short.
const FILTERED: [&str; 8] = [
    "content_filter",
    "content_filtered",
    "guardrail_intervened",
    "safety",
    "recitation",
    "blocklist",
    "prohibited_content",
    "spii",
];

/// Whether an answer is all of what was asked for, of the model that was asked for: what ended early,
/// because of an error, of one of our limits, of a filter or of a maximum that the caller did not set,
/// is not.
pub(crate) fn is_whole(call: &OpenCall, end: &End<'_>, facts: Option<&AnswerFacts>) -> bool {
    let Some(facts) = facts else { return false };
    let reason = facts.finish_reason.as_deref().unwrap_or_default();
    let says = |words: &[&str]| words.iter().any(|word| reason.eq_ignore_ascii_case(word));
    let full = says(&FULL) || facts.status == Some(ResponseStatus::Incomplete);
    let came = match end.received {
        Received::Whole(..) => !facts.cut,
        Received::Stream(ending) => ending.facts.is_complete() && !ending.cut,
        Received::Nothing | Received::Unanswered | Received::Part(..) | Received::Kept(_) => false,
    };
    came && end.outcome == Outcome::Success
        && end.status == 200
        && call.clamped_output.is_none()
        && *call.chosen.route.name == *call.admitted.record().model_asked
        && !says(&FILTERED)
        && !(full && call.peek.max_output.is_none())
}
