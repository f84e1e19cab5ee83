//! Finds the text that a model generated, in whole answers and in deltas.

use crate::json::lenient::Pull;
use crate::tally::Tally;

use crate::endpoint::Endpoint;

/// How deep text is looked for inside a message.
const DEPTH: u8 = 8;

/// Counts the generated text of a whole answer with `count`, for an answer without usage.
pub fn answer_text(endpoint: Endpoint, body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    let mut tally = Tally::default();
    let mut pull = Pull::new(body);
    let list: &[u8] = if endpoint.is_responses() { b"output" } else { b"choices" };
    if endpoint.generates() && pull.enter_object() {
        while let Some(key) = pull.next_key() {
            if key == list {
                generated(&mut pull, &mut tally, DEPTH);
            } else {
                pull.skip();
            }
        }
    }
    tally.estimate(count)
}

/// Takes into `tally` the text that a model generated, wherever it stands in this value.
///
/// Members that repeat others (`reasoning_details`) or that are no text (ids, roles) are left out.
pub(super) fn generated(pull: &mut Pull<'_>, tally: &mut Tally, depth: u8) {
    match pull.next_byte() {
        Some(b'[') if depth > 0 && pull.enter_array() => {
            while pull.next_item() {
                generated(pull, tally, depth - 1);
            }
        }
        Some(b'{') if depth > 0 && pull.enter_object() => {
            let mut reasoned = false;
            while let Some(key) = pull.next_key() {
                generated_member(key, &mut reasoned, pull, tally, depth - 1);
            }
        }
        _ => {
            pull.skip();
        }
    }
}

/// One member of an object that holds generated text.
fn generated_member(
    key: &[u8],
    reasoned: &mut bool,
    pull: &mut Pull<'_>,
    tally: &mut Tally,
    depth: u8,
) {
    match key {
        // Some servers send both names for the same text.
        b"reasoning" | b"reasoning_content" if *reasoned => {
            pull.skip();
        }
        b"content" | b"text" | b"reasoning" | b"reasoning_content" | b"refusal" | b"arguments"
        | b"name" | b"thinking" | b"transcript" | b"input" | b"code" => {
            *reasoned |= key.starts_with(b"reasoning");
            if pull.next_byte() != Some(b'"') {
                generated(pull, tally, depth);
            } else if let Some(text) = pull.string() {
                tally.push(text);
            }
        }
        b"message" | b"delta" | b"tool_calls" | b"function_call" | b"function" | b"audio"
        | b"summary" => generated(pull, tally, depth),
        _ => {
            pull.skip();
        }
    }
}
