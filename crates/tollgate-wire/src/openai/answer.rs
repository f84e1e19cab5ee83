//! Reads what an answer of the OpenAI form says about itself: whole bodies, and the objects that
//! streams carry.
//!
//! Only members of the top level count: generated text may well contain the word "usage".

use crate::facts::{AnswerFacts, ResponseStatus};
use crate::inband::error_value;
use crate::json::Text;
use crate::json::lenient::Pull;

use super::usage;
use super::vendor::UsageRules;
use crate::endpoint::Endpoint;

/// Reads the facts of a whole answer. Never fails: what cannot be read is not stated, and a body
/// that ends too early is marked [`AnswerFacts::cut`].
pub fn read_answer(endpoint: Endpoint, rules: UsageRules, body: &[u8]) -> AnswerFacts {
    let mut facts = AnswerFacts::default();
    let mut pull = Pull::new(body);
    if endpoint.is_responses() {
        response(&mut pull, rules, &mut facts);
    } else if pull.enter_object() {
        while let Some(key) = pull.next_key() {
            match key {
                b"choices" => finish_reasons(&mut pull, &mut facts),
                _ => member(key, &mut pull, rules, endpoint.generates(), &mut facts),
            }
        }
    } else {
        pull.skip();
    }
    if !endpoint.is_billed() {
        facts.usage = None;
    }
    facts.cut = !pull.ended_well() || body.is_empty();
    facts
}

/// Reads one top-level member of a completion or a chunk, except its choices.
pub(crate) fn member(
    key: &[u8],
    pull: &mut Pull<'_>,
    rules: UsageRules,
    generates: bool,
    facts: &mut AnswerFacts,
) {
    match key {
        b"usage" => {
            if usage::read(pull, rules, generates, facts) {
                facts.usage_is_secondary = false;
            }
        }
        b"x_groq" => groq(pull, rules, generates, facts),
        b"model" => pull.keep(&mut facts.model),
        b"id" => pull.keep(&mut facts.id),
        b"service_tier" => pull.keep(&mut facts.service_tier),
        b"created" => facts.created = pull.whole(),
        b"error" => {
            if let Some(error) = error_value(pull) {
                facts.error = Some(error);
            }
        }
        _ => {
            pull.skip();
        }
    }
}

/// Groq repeats the usage here; where it stands alone it is the only one.
fn groq(pull: &mut Pull<'_>, rules: UsageRules, generates: bool, facts: &mut AnswerFacts) {
    if !pull.enter_object() {
        pull.skip();
        return;
    }
    while let Some(key) = pull.next_key() {
        match key {
            b"usage" if facts.usage.is_none() || facts.usage_is_secondary => {
                facts.usage_is_secondary |= usage::read(pull, rules, generates, facts);
            }
            b"error" => facts.error = error_value(pull).or_else(|| facts.error.take()),
            _ => {
                pull.skip();
            }
        }
    }
}

/// Reads a response object (responses form), which is also what the last event of a stream holds.
pub(crate) fn response(pull: &mut Pull<'_>, rules: UsageRules, facts: &mut AnswerFacts) {
    if !pull.enter_object() {
        pull.skip();
        return;
    }
    let (mut searches, mut stated, mut files) = (0, None, 0);
    while let Some(key) = pull.next_key() {
        match key {
            b"output" => (searches, files) = hosted_calls(pull),
            b"tool_usage" => stated = searches_stated(pull),
            b"status" => {
                let word = pull.string_or_skip().and_then(Text::decode);
                facts.status = word.and_then(|word| ResponseStatus::from_word(&word));
            }
            b"background" => facts.background = pull.skip() == Some(b"true"),
            b"incomplete_details" => reason(pull, facts),
            b"created_at" => facts.created = pull.whole(),
            _ => member(key, pull, rules, true, facts),
        }
    }
    if let Some(usage) = &mut facts.usage {
        usage.web_searches = usage.web_searches.max(stated.unwrap_or(searches));
        usage.file_searches = files;
    }
    if facts.status == Some(ResponseStatus::Completed) && facts.finish_reason.is_none() {
        facts.finish_reason = Some("completed".into());
    }
}

/// Counts the searches among the output items. Opening a page that a search found is no search.
fn hosted_calls(pull: &mut Pull<'_>) -> (u64, u64) {
    let (mut web, mut files) = (0, 0);
    if !pull.enter_array() {
        pull.skip();
        return (0, 0);
    }
    while pull.next_item() {
        if !pull.enter_object() {
            pull.skip();
            continue;
        }
        let (mut kind, mut action) = (None, None);
        while let Some(key) = pull.next_key() {
            match key {
                b"type" => kind = pull.string_or_skip(),
                b"action" => action = type_of(pull),
                _ => {
                    pull.skip();
                }
            }
        }
        let searched = action.is_none_or(|action| action.raw == b"search");
        match kind.map(|kind| kind.raw) {
            Some(b"web_search_call") => web += u64::from(searched),
            Some(b"file_search_call") => files += 1,
            _ => {}
        }
    }
    (web, files)
}

fn type_of<'a>(pull: &mut Pull<'a>) -> Option<Text<'a>> {
    if !pull.enter_object() {
        pull.skip();
        return None;
    }
    let mut kind = None;
    while let Some(key) = pull.next_key() {
        if key == b"type" {
            kind = pull.string_or_skip();
        } else {
            pull.skip();
        }
    }
    kind
}

/// `tool_usage.web_search.num_requests`
fn searches_stated(pull: &mut Pull<'_>) -> Option<u64> {
    let mut stated = None;
    within(pull, b"web_search", &mut |pull| {
        within(pull, b"num_requests", &mut |pull| {
            stated = pull.whole();
        });
    });
    stated
}

/// Reads an object and hands the member `name` to `each`, which must read its value.
fn within(pull: &mut Pull<'_>, name: &[u8], each: &mut dyn FnMut(&mut Pull<'_>)) {
    if !pull.enter_object() {
        pull.skip();
        return;
    }
    while let Some(key) = pull.next_key() {
        if key == name {
            each(pull);
        } else {
            pull.skip();
        }
    }
}

fn reason(pull: &mut Pull<'_>, facts: &mut AnswerFacts) {
    let finish = &mut facts.finish_reason;
    within(pull, b"reason", &mut |pull| pull.keep(finish));
}

fn finish_reasons(pull: &mut Pull<'_>, facts: &mut AnswerFacts) {
    if !pull.enter_array() {
        pull.skip();
        return;
    }
    while pull.next_item() {
        within(pull, b"finish_reason", &mut |pull| {
            pull.keep(&mut facts.finish_reason);
        });
    }
}
