//! The native form of Ollama (`/api/chat`, `/api/generate`): a JSON object, or one a line.
//!
//! The last line has `done:true` and the counts. `prompt_eval_count` counts what was evaluated and
//! is missing where the whole prompt came out of a cache: then the input is unknown, and what is
//! known is left to an estimate. Sources: the API document of Ollama.

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

/// The facts of a whole answer.
pub fn read_answer(body: &[u8]) -> AnswerFacts {
    let mut seen = Seen::default();
    let well = document(body, &mut seen);
    let mut facts = seen.facts;
    facts.cut = !well || body.is_empty();
    facts
}

/// Counts the generated text of a whole answer, for one without usage.
pub fn answer_text(body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    let mut seen = Seen::default();
    document(body, &mut seen);
    seen.tally.estimate(count)
}

/// Takes what an event of a stream says into `seen`, and says where its bytes go.
pub(crate) fn read_event(event: &Event<'_>, seen: &mut Seen) -> Fate {
    if let Some(data) = event.data.as_deref() {
        seen.events += 1;
        document(data, seen);
    }
    seen.fate()
}

/// The line that ends a stream from our side, as if the caller's own maximum had been reached.
pub(crate) fn cut(model: &str, usage: Option<&Usage>) -> Bytes {
    let mut out = b"{\"model\":".to_vec();
    push_string(&mut out, model);
    // Both forms of a stream: a client reads the one that it asked for.
    out.extend_from_slice(
        b",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"response\":\"\"",
    );
    out.extend_from_slice(b",\"done\":true,\"done_reason\":\"length\"");
    if let Some(Usage { input, output, .. }) = usage {
        push_fmt(&mut out, format_args!(",\"prompt_eval_count\":{input},\"eval_count\":{output}"));
    }
    out.extend_from_slice(b"}\n");
    out.into()
}

/// An error in a stream that has begun: its text alone, as clients of this form show it.
pub(crate) fn error_line(message: &str) -> Bytes {
    let mut out = b"{\"error\":".to_vec();
    push_string(&mut out, message);
    out.extend_from_slice(b"}\n");
    out.into()
}

/// Takes what one object says; `false` where it ends too early.
fn document(data: &[u8], seen: &mut Seen) -> bool {
    let mut odd = false;
    let (mut input, mut output) = (None, None);
    let mut pull = Pull::new(data);
    pull.object(|pull, key| match key {
        b"model" => pull.keep(&mut seen.facts.model),
        b"done_reason" => pull.keep(&mut seen.facts.finish_reason),
        b"done" => seen.done |= pull.skip() == Some(b"true"),
        b"prompt_eval_count" => input = figures::count(pull, &mut odd),
        b"eval_count" => output = figures::count(pull, &mut odd),
        b"response" | b"thinking" => text(pull, &mut seen.tally),
        b"message" => message(pull, &mut seen.tally),
        b"error" => seen.facts.error = error_value(pull).or_else(|| seen.facts.error.take()),
        _ => {
            pull.skip();
        }
    });
    if let (Some(input), Some(output)) = (input, output) {
        seen.facts.usage = Some(Usage::tokens(input, output));
    }
    seen.facts.anomaly |= odd;
    pull.ended_well()
}

/// `{"role","content","thinking","tool_calls":[{"function":{"name","arguments":{…}}}]}`
fn message(pull: &mut Pull<'_>, tally: &mut Tally) {
    pull.object(|pull, key| match key {
        b"content" | b"thinking" => text(pull, tally),
        b"tool_calls" => {
            // Calls are a list that is empty or generated from start to end.
            if let Some(raw) = pull.skip().filter(|raw| raw.starts_with(b"[") && *raw != b"[]") {
                tally.push(Text { raw });
            }
        }
        _ => {
            pull.skip();
        }
    });
}

fn text(pull: &mut Pull<'_>, tally: &mut Tally) {
    if let Some(text) = pull.string_or_skip() {
        tally.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: &str = r#"{"model":"qwen3:0.6b","message":{"role":"assistant","content":""},
        "done":true,"done_reason":"stop","total_duration":4883583458,"prompt_eval_count":26,
        "prompt_eval_duration":342546000,"eval_count":282,"eval_duration":4535599000}"#;

    #[test]
    fn the_counts_are_those_of_the_last_object() {
        let facts = read_answer(LAST.as_bytes());
        assert_eq!(facts.usage, Some(Usage::tokens(26, 282)));
        assert_eq!(facts.model.as_deref(), Some("qwen3:0.6b"));
        assert_eq!(facts.finish_reason.as_deref(), Some("stop"));
    }

    #[test]
    fn a_prompt_from_the_cache_is_unknown_and_not_zero() {
        let without = LAST.replace("\"prompt_eval_count\":26,", "");
        assert_eq!(read_answer(without.as_bytes()).usage, None);
    }

    #[test]
    fn an_error_is_a_text_or_an_object_and_null_is_none() {
        let error = |body: &str| read_answer(body.as_bytes()).error.map(|error| error.message);
        for body in [r#"{"error":"busy"}"#, r#"{"error":{"message":"busy","code":"x"}}"#] {
            assert_eq!(error(body).as_deref(), Some("busy"), "{body}");
        }
        assert_eq!(error(r#"{"error":null,"done":true}"#), None);
        let line = error_line("a \"b\"\n");
        assert_eq!(error(str::from_utf8(&line).unwrap()).as_deref(), Some("a \"b\"\n"));
    }

    #[test]
    fn generated_text_is_counted_in_either_form() {
        let length = |body: &str| answer_text(body.as_bytes(), |text| text.len() as u64);
        assert_eq!(length(r#"{"response":"abc","thinking":"de"}"#), 5);
        assert_eq!(length(r#"{"message":{"content":"abc","tool_calls":[]}}"#), 3);
        let call = r#"[{"function":{"name":"f","arguments":{"a":1}}}]"#;
        let body = format!("{{\"message\":{{\"content\":\"\",\"tool_calls\":{call}}}}}");
        assert_eq!(length(&body), call.len() as u64);
    }
}
