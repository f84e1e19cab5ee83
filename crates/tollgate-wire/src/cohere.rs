//! The native form of Cohere, versions 1 and 2: chat and embeddings.
//!
//! What is billed is `billed_units`: a chat that processed 1 441 tokens was billed 41. What was
//! processed says nothing about money. In a stream the usage comes with the event that ends it
//! (`message-end`, in version 1 `stream-end`). Sources: the types of Cohere's SDK, and recorded
//! exchanges.

use bytes::Bytes;
use tollgate_domain::usage::Usage;

use crate::facts::AnswerFacts;
use crate::figures;
use crate::framing::Event;
use crate::inband::error_value;
use crate::json::lenient::Pull;
use crate::json::{Text, push_fmt, push_string};
use crate::meter::{Fate, Seen};
use crate::tally::Tally;

/// How deep generated text is looked for.
const DEPTH: u8 = 7;

/// The facts of a whole answer. `generates` says whether an output that is not stated is unknown,
/// or none (embeddings).
pub fn read_answer(generates: bool, body: &[u8]) -> AnswerFacts {
    let mut facts = AnswerFacts::default();
    let mut pull = Pull::new(body);
    pull.object(|pull, key| member(key, pull, generates, &mut facts));
    facts.cut = !pull.ended_well() || body.is_empty();
    facts
}

/// Counts the generated text of a whole answer, for one without usage.
pub fn answer_text(body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    let mut tally = Tally::default();
    Pull::new(body).object(|pull, key| match key {
        b"message" => generated(pull, &mut tally, DEPTH),
        b"text" => {
            if let Some(text) = pull.string_or_skip() {
                tally.push(text);
            }
        }
        _ => skip(pull),
    });
    tally.estimate(count)
}

/// Takes what an event of a stream says into `seen`, and says where its bytes go.
pub(crate) fn read_event(event: &Event<'_>, seen: &mut Seen) -> Fate {
    let Some(data) = event.data.as_deref() else { return seen.fate() };
    if data == b"[DONE]" {
        seen.done = true;
        return Fate::Held;
    }
    seen.events += 1;
    let kind = kind(data);
    let kind = kind.map_or(event.name, |kind| kind.raw);
    match kind {
        b"message-end" | b"stream-end" => {
            Pull::new(data).object(|pull, key| match key {
                b"delta" | b"response" => {
                    pull.object(|pull, key| member(key, pull, true, &mut seen.facts));
                }
                _ => member(key, pull, true, &mut seen.facts),
            });
            seen.done = true;
        }
        b"text-generation" => {
            Pull::new(data).object(|pull, key| match key {
                b"text" => {
                    if let Some(text) = pull.string_or_skip() {
                        seen.tally.push(text);
                    }
                }
                _ => skip(pull),
            });
        }
        kind => {
            Pull::new(data).object(|pull, key| match key {
                b"id" if kind == b"message-start" => pull.keep(&mut seen.facts.id),
                b"delta" => generated(pull, &mut seen.tally, DEPTH),
                b"error" => member(key, pull, true, &mut seen.facts),
                _ => skip(pull),
            });
        }
    }
    seen.fate()
}

/// The event that ends a stream from our side, as if the caller's own maximum had been reached.
pub(crate) fn cut(usage: Option<&Usage>) -> Bytes {
    let mut out =
        b"event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\
        \"MAX_TOKENS\""
            .to_vec();
    if let Some(Usage { input, output, .. }) = usage {
        let units = format!("{{\"input_tokens\":{input},\"output_tokens\":{output}}}");
        push_fmt(
            &mut out,
            format_args!(",\"usage\":{{\"billed_units\":{units},\"tokens\":{units}}}"),
        );
    }
    out.extend_from_slice(b"}}\n\n");
    out.into()
}

/// An error in a stream that has begun, as this form states it: at its end.
pub(crate) fn error_event(message: &str) -> Bytes {
    let mut out = b"event: message-end\ndata: {\"type\":\"message-end\",\"delta\":\
        {\"finish_reason\":\"ERROR\",\"error\":"
        .to_vec();
    push_string(&mut out, message);
    out.extend_from_slice(b"}}\n\n");
    out.into()
}

fn kind(data: &[u8]) -> Option<Text<'_>> {
    let mut kind = None;
    Pull::new(data).object(|pull, key| match key {
        b"type" | b"event_type" => kind = pull.string_or_skip(),
        _ => skip(pull),
    });
    kind
}

/// One member of an answer, or of the event that ends a stream.
fn member(key: &[u8], pull: &mut Pull<'_>, generates: bool, facts: &mut AnswerFacts) {
    match key {
        b"usage" => usage(pull, generates, facts),
        b"meta" => {
            pull.object(|pull, key| match key {
                b"billed_units" => billed(pull, generates, facts),
                _ => skip(pull),
            });
        }
        b"id" | b"generation_id" => pull.keep(&mut facts.id),
        b"finish_reason" => pull.keep(&mut facts.finish_reason),
        b"error" => facts.error = error_value(pull).or_else(|| facts.error.take()),
        _ => skip(pull),
    }
}

/// `usage{billed_units{…}, tokens{…}, cached_tokens}`
pub(crate) fn usage(pull: &mut Pull<'_>, generates: bool, facts: &mut AnswerFacts) {
    pull.object(|pull, key| match key {
        b"billed_units" => billed(pull, generates, facts),
        _ => skip(pull),
    });
}

/// The tokens, and the searches where a chat searched. Images of an embedding are input.
fn billed(pull: &mut Pull<'_>, generates: bool, facts: &mut AnswerFacts) {
    let mut odd = false;
    let (mut input, mut output, mut images, mut searches) = (None, None, None, 0);
    pull.object(|pull, key| match key {
        b"input_tokens" => input = figures::count(pull, &mut odd),
        b"output_tokens" => output = figures::count(pull, &mut odd),
        b"image_tokens" => images = figures::count(pull, &mut odd),
        b"search_units" => searches = figures::count(pull, &mut odd).unwrap_or(0),
        _ => skip(pull),
    });
    let output = output.or_else(|| (!generates).then_some(0));
    let input = match (input, images) {
        (None, None) => None,
        (text, images) => Some(text.unwrap_or(0).saturating_add(images.unwrap_or(0))),
    };
    if let (Some(input), Some(output)) = (input, output) {
        let input_image = images.unwrap_or(0);
        let usage = Usage { input_image, web_searches: searches, ..Usage::tokens(input, output) };
        facts.usage = Some(usage);
        facts.anomaly = odd;
    }
}

/// Takes into `tally` the text that the model generated: answers, plans, thoughts, calls.
fn generated(pull: &mut Pull<'_>, tally: &mut Tally, depth: u8) {
    match pull.next_byte() {
        Some(b'[') if depth > 0 => pull.array(|pull| generated(pull, tally, depth - 1)),
        Some(b'{') if depth > 0 => {
            pull.object(|pull, key| match key {
                b"text" | b"thinking" | b"tool_plan" | b"name" | b"arguments" => {
                    if let Some(text) = pull.string_or_skip() {
                        tally.push(text);
                    }
                }
                b"message" | b"content" | b"tool_calls" | b"function" => {
                    generated(pull, tally, depth - 1);
                }
                _ => skip(pull),
            });
        }
        _ => skip(pull),
    }
}

fn skip(pull: &mut Pull<'_>) {
    pull.skip();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn billed_units_count_and_not_what_was_processed() {
        let body =
            br#"{"id":"x","finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":1441.0,
            "output_tokens":54},"billed_units":{"input_tokens":41.0,"output_tokens":25,
            "search_units":2},"cached_tokens":144}}"#;
        let facts = read_answer(true, body);
        let expected = Usage { web_searches: 2, ..Usage::tokens(41, 25) };
        assert_eq!((facts.usage, facts.anomaly), (Some(expected), false));
        let only_processed = br#"{"usage":{"tokens":{"input_tokens":5,"output_tokens":5}}}"#;
        assert_eq!(read_answer(true, only_processed).usage, None, "unknown is not zero");
    }

    #[test]
    fn embeddings_are_billed_for_text_and_pictures_and_generate_nothing() {
        let body = br#"{"embeddings":{"float":[[0.1,0.2]]},"meta":{"billed_units":
            {"input_tokens":3,"image_tokens":7}}}"#;
        let expected = Usage { input_image: 7, ..Usage::tokens(10, 0) };
        assert_eq!(read_answer(false, body).usage, Some(expected));
        assert_eq!(read_answer(true, body).usage, None, "of a chat the output is unknown");
    }

    #[test]
    fn text_plans_and_tool_calls_count_as_generated() {
        let body = br#"{"message":{"role":"assistant","tool_plan":"ab","content":[{"type":"text",
            "text":"cd"}],"tool_calls":[{"id":"i","type":"function","function":{"name":"f",
            "arguments":"{}"}}]}}"#;
        assert_eq!(answer_text(body, |text| text.len() as u64), 7);
        assert_eq!(answer_text(br#"{"text":"abc"}"#, |text| text.len() as u64), 3);
    }
}
