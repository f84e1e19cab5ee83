//! Reads what answers of the Converse form say about themselves, whole or frame by frame.
//!
//! `inputTokens` leaves out what was read from and written to a cache, `totalTokens` includes both
//! (237 of 237 recordings). An answer names no model: only a prompt router says which one served.
//! A stream is over with its `metadata`, which has the usage. Source: the API reference of the
//! Bedrock runtime, and recorded exchanges.

use tollgate_domain::usage::Usage;

use super::model::model_id;
use crate::facts::AnswerFacts;
use crate::figures::{Figures, array, object};
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::tally::Tally;

/// How deep generated text is looked for.
const DEPTH: u8 = 8;

/// The facts of a whole answer. Never fails: what cannot be read is not stated.
pub fn read_answer(body: &[u8]) -> AnswerFacts {
    let mut facts = AnswerFacts::default();
    let mut pull = Pull::new(body);
    object(&mut pull, |key, pull| member(key, pull, &mut facts));
    facts.cut = !pull.ended_well() || body.is_empty();
    facts
}

/// Counts the generated text of a whole answer, for one without usage.
pub fn answer_text(body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    let mut tally = Tally::default();
    object(&mut Pull::new(body), |key, pull| match key {
        b"output" => generated(pull, &mut tally, DEPTH),
        _ => skip(pull),
    });
    tally.estimate(count)
}

/// Takes one event of a stream, whose value comes next; `true` when it ends the stream.
pub(super) fn event(
    kind: &[u8],
    pull: &mut Pull<'_>,
    facts: &mut AnswerFacts,
    tally: &mut Tally,
) -> bool {
    match kind {
        b"contentBlockStart" | b"contentBlockDelta" => generated(pull, tally, DEPTH),
        b"messageStop" | b"metadata" => {
            object(pull, |key, pull| member(key, pull, facts));
            return kind == b"metadata";
        }
        _ => skip(pull),
    }
    false
}

/// One member of an answer, or of the events that end a stream.
pub(super) fn member(key: &[u8], pull: &mut Pull<'_>, facts: &mut AnswerFacts) {
    match key {
        b"usage" => {
            usage(pull, facts);
        }
        b"stopReason" => keep(&mut facts.finish_reason, pull.string_or_skip()),
        b"serviceTier" => within(pull, b"type", &mut |pull| {
            keep(&mut facts.service_tier, pull.string_or_skip());
        }),
        // `standard` is the price that every model has.
        b"performanceConfig" => within(pull, b"latency", &mut |pull| {
            let latency = pull.string_or_skip().filter(|latency| latency.raw != b"standard");
            keep(&mut facts.speed, latency);
        }),
        b"trace" => within(pull, b"promptRouter", &mut |pull| {
            within(pull, b"invokedModelId", &mut |pull| {
                let named = pull.string_or_skip().map(Text::decode_lossy);
                facts.model = named.as_deref().and_then(model_id).map(Box::from);
            });
        }),
        _ => skip(pull),
    }
}

/// Reads the usage that comes next, on our scale. Both spellings of the caches are sent; they are
/// the same count.
pub(crate) fn usage(pull: &mut Pull<'_>, facts: &mut AnswerFacts) -> bool {
    let mut figures = Figures::default();
    let (mut plain, mut output, mut total) = (None, None, None);
    let mut parts = Usage::default();
    let whole = object(pull, |key, pull| match key {
        b"inputTokens" => plain = figures.count(pull),
        b"outputTokens" => output = figures.count(pull),
        b"totalTokens" => total = figures.count(pull),
        b"cacheReadInputTokens" | b"cacheReadInputTokenCount" => {
            parts.cache_read = parts.cache_read.max(figures.part(pull));
        }
        b"cacheWriteInputTokens" | b"cacheWriteInputTokenCount" => {
            parts.cache_write = parts.cache_write.max(figures.part(pull));
        }
        b"cacheDetails" => array(pull, |pull| written(pull, &mut figures, &mut parts)),
        _ => skip(pull),
    });
    let caches = parts.cache_read.saturating_add(parts.cache_write);
    let plain = plain.or_else(|| total?.checked_sub(caches.checked_add(output?)?));
    let (true, Some(plain)) = (whole, plain) else { return false };
    parts.input = plain.saturating_add(caches);
    let Some(output) = output.or_else(|| total?.checked_sub(parts.input)) else { return false };
    parts.output = output;
    let odd = parts.clamp_parts() || total.is_some_and(|total| total != parts.total());
    facts.usage = Some(parts);
    facts.anomaly = odd || figures.odd;
    true
}

/// One lifetime of what was written to the cache.
fn written(pull: &mut Pull<'_>, figures: &mut Figures, parts: &mut Usage) {
    let (mut long, mut tokens) = (false, 0);
    object(pull, |key, pull| match key {
        b"ttl" => long = pull.string_or_skip().is_some_and(|ttl| ttl.raw == b"1h"),
        b"inputTokens" => tokens = figures.part(pull),
        _ => skip(pull),
    });
    let part = if long { &mut parts.cache_write_1h } else { &mut parts.cache_write_5m };
    *part = part.saturating_add(tokens);
}

/// Takes into `tally` the text that the model generated: answers, reasoning, tools and what they
/// are called with. The padding `p` and signatures are no text.
pub(super) fn generated(pull: &mut Pull<'_>, tally: &mut Tally, depth: u8) {
    match pull.next_byte() {
        Some(b'[') if depth > 0 => array(pull, |pull| generated(pull, tally, depth - 1)),
        Some(b'{') if depth > 0 => {
            object(pull, |key, pull| match key {
                b"text" | b"name" | b"input" => match pull.next_byte() {
                    Some(b'"') => {
                        if let Some(text) = pull.string() {
                            tally.push(text);
                        }
                    }
                    _ => {
                        if let Some(raw) = pull.skip() {
                            tally.push(Text { raw });
                        }
                    }
                },
                b"message" | b"content" | b"start" | b"delta" | b"toolUse"
                | b"reasoningContent" | b"reasoningText" => generated(pull, tally, depth - 1),
                _ => skip(pull),
            });
        }
        _ => skip(pull),
    }
}

/// Reads an object and hands the member `name` to `each`, which must read its value.
fn within(pull: &mut Pull<'_>, name: &[u8], each: &mut dyn FnMut(&mut Pull<'_>)) {
    object(pull, |key, pull| if key == name { each(pull) } else { skip(pull) });
}

pub(super) fn keep(slot: &mut Option<Box<str>>, text: Option<Text<'_>>) {
    if let Some(text) = text.filter(|text| !text.raw.is_empty()) {
        *slot = Some(text.decode_lossy().into());
    }
}

pub(super) fn skip(pull: &mut Pull<'_>) {
    pull.skip();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> AnswerFacts {
        read_answer(json.as_bytes())
    }

    #[test]
    fn input_leaves_out_both_caches_and_the_total_does_not() {
        let facts = read(
            r#"{"output":{},"stopReason":"end_turn","usage":{"cacheDetails":[{"inputTokens":297,
            "ttl":"5m"},{"inputTokens":3,"ttl":"1h"}],"cacheReadInputTokenCount":2074,
            "cacheReadInputTokens":2074,"cacheWriteInputTokenCount":300,"cacheWriteInputTokens":300,
            "inputTokens":3,"outputTokens":61,"serverToolUsage":{},"totalTokens":2438}}"#,
        );
        let expected = Usage {
            cache_read: 2_074,
            cache_write: 300,
            cache_write_5m: 297,
            cache_write_1h: 3,
            ..Usage::tokens(2_377, 61)
        };
        assert_eq!((facts.usage, facts.anomaly), (Some(expected), false));
        assert_eq!(facts.finish_reason.as_deref(), Some("end_turn"));
    }

    #[test]
    fn one_spelling_of_the_caches_is_enough() {
        for spelling in ["cacheReadInputTokens", "cacheReadInputTokenCount"] {
            let json =
                format!("{{\"usage\":{{\"inputTokens\":1,\"outputTokens\":2,\"{spelling}\":4}}}}");
            let usage = read(&json).usage.unwrap();
            assert_eq!((usage.input, usage.cache_read), (5, 4), "{spelling}");
        }
    }

    #[test]
    fn what_is_not_stated_follows_from_the_total_or_stays_unknown() {
        for (usage, expected) in [
            (r#"{"inputTokens":3,"totalTokens":5}"#, Some(Usage::tokens(3, 2))),
            (r#"{"outputTokens":3,"totalTokens":5}"#, Some(Usage::tokens(2, 3))),
            (r#"{"inputTokens":3}"#, None),
            (r#"{"inputTokens":"x","outputTokens":1}"#, None),
            (r#"{"inputTokens":9,"totalTokens":5}"#, None),
            ("null", None),
            ("[]", None),
        ] {
            assert_eq!(read(&format!("{{\"usage\":{usage}}}")).usage, expected, "{usage}");
        }
        assert!(read(r#"{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":9}}"#).anomaly);
    }

    #[test]
    fn tier_latency_and_routed_model_are_those_that_served() {
        let facts = read(
            r#"{"serviceTier":{"type":"flex"},"performanceConfig":{"latency":"optimized"},
            "trace":{"promptRouter":{"invokedModelId":
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"
            }}}"#,
        );
        assert_eq!(facts.service_tier.as_deref(), Some("flex"));
        assert_eq!(facts.speed.as_deref(), Some("optimized"));
        assert_eq!(facts.model.as_deref(), Some("us.anthropic.claude-3-haiku-20240307-v1:0"));
        assert_eq!(read(r#"{"performanceConfig":{"latency":"standard"}}"#).speed, None);
    }

    #[test]
    fn text_reasoning_and_tool_input_count_as_generated() {
        let body = r#"{"output":{"message":{"role":"assistant","content":[
            {"reasoningContent":{"reasoningText":{"text":"abc","signature":"zzzz"}}},
            {"text":"de"},{"toolUse":{"toolUseId":"id","name":"f","input":{"a":1}}}]}}}"#;
        let mut seen = String::new();
        answer_text(body.as_bytes(), |text| {
            text.clone_into(&mut seen);
            0
        });
        assert_eq!(seen, "abcdef{\"a\":1}");
    }
}
