//! Answers that are pictures or sound, and their streams, whose last event states the usage.

use bytes::Bytes;

use super::answer::member;
use super::vendor::UsageRules;
use super::{audio, images};
use crate::endpoint::Endpoint;
use crate::facts::AnswerFacts;
use crate::figures::object;
use crate::framing::Event;
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::json::{push_fmt, push_string};
use crate::meter::{Fate, Seen};
use tollgate_domain::usage::Usage;

/// The facts of a whole answer. Sound by itself states nothing.
pub(crate) fn read_answer(endpoint: Endpoint, rules: UsageRules, body: &[u8]) -> AnswerFacts {
    match endpoint {
        Endpoint::Transcriptions => audio::read_transcription(rules, body),
        Endpoint::Speech => AnswerFacts { cut: body.is_empty(), ..AnswerFacts::default() },
        _ => pictures(rules, body),
    }
}

fn pictures(rules: UsageRules, body: &[u8]) -> AnswerFacts {
    let mut facts = AnswerFacts::default();
    let mut drawn = Vec::new();
    let mut pull = Pull::new(body);
    object(&mut pull, |key, pull| match key {
        b"svg_usage" => images::read_svg(pull, rules, &mut drawn),
        _ => member(key, pull, rules, true, &mut facts),
    });
    images::settle(drawn, &mut facts);
    facts.cut = !pull.ended_well() || body.is_empty();
    facts
}

/// Takes what an event says into `seen`, and says where its bytes go.
pub(crate) fn read_event(rules: UsageRules, event: &Event<'_>, seen: &mut Seen) -> Fate {
    let Some(data) = event.data.as_deref() else { return seen.fate() };
    if data.trim_ascii() == b"[DONE]" {
        seen.done = true;
        return Fate::Held;
    }
    seen.events += 1;
    let mut kind = None;
    object(&mut Pull::new(data), |key, pull| match key {
        b"type" => kind = pull.string_or_skip(),
        b"usage" => audio::read_usage(pull, rules, &mut seen.facts),
        b"delta" => {
            if let Some(text) = pull.string_or_skip() {
                seen.tally.push(text);
            }
        }
        b"error" => member(key, pull, rules, true, &mut seen.facts),
        _ => {
            pull.skip();
        }
    });
    let kind = kind.map_or(event.name, |Text { raw }| raw);
    let ends: [&[u8]; 4] = [
        b"speech.audio.done",
        b"transcript.text.done",
        b"image_generation.completed",
        b"image_edit.completed",
    ];
    seen.done |= ends.contains(&kind);
    if kind == b"error" && seen.facts.error.is_none() {
        seen.facts.error = super::read_error(data);
    }
    seen.fate()
}

/// The event that ends such a stream from our side.
pub(crate) fn cut(endpoint: Endpoint, usage: Option<&Usage>) -> Bytes {
    let kind = match endpoint {
        Endpoint::Speech => "speech.audio.done",
        Endpoint::Transcriptions => "transcript.text.done",
        _ => "image_generation.completed",
    };
    let mut out = format!("event: {kind}\ndata: {{\"type\":").into_bytes();
    push_string(&mut out, kind);
    if endpoint == Endpoint::Transcriptions {
        out.extend_from_slice(b",\"text\":\"\"");
    }
    if let Some(usage) = usage {
        push_fmt(
            &mut out,
            format_args!(
                ",\"usage\":{{\"type\":\"tokens\",\"input_tokens\":{},\"output_tokens\":{},\
                 \"total_tokens\":{}}}",
                usage.input,
                usage.output,
                usage.total()
            ),
        );
    }
    out.extend_from_slice(b"}\n\n");
    out.into()
}
