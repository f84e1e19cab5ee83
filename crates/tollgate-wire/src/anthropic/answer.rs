//! Reads what an answer of the Anthropic form says about itself: whole messages, and the one that
//! the first event of a stream holds.

use crate::endpoint::Endpoint;
use crate::facts::AnswerFacts;
use crate::inband::error_value;
use crate::json::lenient::Pull;

use super::usage::Stated;

/// Reads the facts of a whole answer. Never fails.
pub(crate) fn read_answer(endpoint: Endpoint, body: &[u8]) -> AnswerFacts {
    let mut facts = AnswerFacts::default();
    let mut stated = Stated::default();
    let mut pull = Pull::new(body);
    message(&mut pull, &mut facts, &mut stated);
    if endpoint.is_billed() {
        stated.settle(&mut facts);
    }
    facts.cut = !pull.ended_well() || body.is_empty();
    facts
}

/// Reads a message, except its content.
pub(super) fn message(pull: &mut Pull<'_>, facts: &mut AnswerFacts, stated: &mut Stated) {
    pull.object(|pull, key| match key {
        b"id" => pull.keep(&mut facts.id),
        b"model" => pull.keep(&mut facts.model),
        b"stop_reason" => pull.keep(&mut facts.finish_reason),
        b"usage" => {
            stated.read(pull, facts);
        }
        b"error" => facts.error = error_value(pull).or_else(|| facts.error.take()),
        _ => {
            pull.skip();
        }
    });
}
