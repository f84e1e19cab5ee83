//! Answers that are pictures or sound, and their streams, whose last event states the usage.

use bytes::Bytes;

use super::answer::member;
use super::vendor::UsageRules;
use super::{audio, images};
use crate::endpoint::Endpoint;
use crate::facts::AnswerFacts;
use crate::framing::Event;
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::json::{push_fmt, push_string};
use crate::meter::{Cut, Fate, Seen};
use crate::peek::{BodyError, Peek};
use tollgate_domain::usage::Usage;

/// Reads what a request for pictures or speech says about its cost.
pub(crate) fn peek(endpoint: Endpoint, body: &[u8]) -> Result<Peek, BodyError> {
    let mut peek = super::peek(endpoint, body)?;
    match endpoint {
        Endpoint::Images => peek.max_output = Some(images::most_tokens(body)),
        Endpoint::Speech => {
            peek.stream = audio::speech_streams_events(body);
            peek.max_output = Some(audio::speech_most_tokens(&audio::speech_input(body)));
        }
        _ => {}
    }
    Ok(peek)
}

/// Counts the generated text of a transcription without usage, in whatever form it comes.
pub(crate) fn answer_text(endpoint: Endpoint, body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    if endpoint != Endpoint::Transcriptions {
        return 0;
    }
    let (mut text, mut pull) = (None, Pull::new(body));
    if pull.next_byte() != Some(b'{') {
        return count(&String::from_utf8_lossy(body));
    }
    pull.object(|pull, key| match key {
        b"text" => text = pull.string_or_skip(),
        _ => {
            pull.skip();
        }
    });
    text.map_or(0, |text| count(&text.decode_lossy()))
}

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
    pull.object(|pull, key| match key {
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
    Pull::new(data).object(|pull, key| match key {
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
pub(crate) fn cut(cut: &Cut<'_>, usage: Option<&Usage>) -> Bytes {
    let endpoint = cut.endpoint;
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
