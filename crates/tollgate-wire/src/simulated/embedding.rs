//! Simulated embeddings: vectors that depend on the text alone; and verdicts of a moderation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::{Ask, Random, Script, input_tokens};
use crate::json::{push_fmt, push_string};

/// Length of a vector where the caller asks for none.
const DIMENSIONS: u64 = 1536;
const MOST_DIMENSIONS: u64 = 4096;

pub(super) fn vectors(script: &Script, ask: &Ask<'_>) -> Bytes {
    let body: Value = serde_json::from_slice(ask.body).unwrap_or_default();
    let asked = body.get("dimensions").and_then(Value::as_u64).unwrap_or(DIMENSIONS);
    let dimensions = asked.clamp(1, MOST_DIMENSIONS);
    let base64 = body.get("encoding_format").is_some_and(|format| format == "base64");
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (index, text) in inputs(&body).iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        push_fmt(
            &mut out,
            format_args!("{comma}{{\"object\":\"embedding\",\"index\":{index},\"embedding\":"),
        );
        let numbers = numbers(text, dimensions);
        if base64 {
            let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
            push_string(&mut out, &STANDARD.encode(bytes));
        } else {
            for (at, number) in numbers.enumerate() {
                push_fmt(&mut out, format_args!("{}{number}", if at > 0 { ',' } else { '[' }));
            }
            out.push(b']');
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"model\":");
    push_string(&mut out, &ask.peek.model);
    let tokens = input_tokens(script, ask);
    push_fmt(
        &mut out,
        format_args!(",\"usage\":{{\"prompt_tokens\":{tokens},\"total_tokens\":{tokens}}}}}"),
    );
    out.into()
}

/// The texts: one, several, or one or several as token numbers.
fn inputs(body: &Value) -> Vec<String> {
    match body.get("input") {
        Some(Value::Array(list)) if list.first().is_some_and(|first| !first.is_number()) => {
            list.iter().map(ToString::to_string).collect()
        }
        Some(one) => vec![one.to_string()],
        None => Vec::new(),
    }
}

fn numbers(text: &str, dimensions: u64) -> impl Iterator<Item = f32> {
    let seed = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut random = Random(seed);
    (0..dimensions).map(move |_| {
        let step = i16::try_from(random.next() % 2_001).unwrap_or(0) - 1_000;
        f32::from(step) / 16_384.0
    })
}

pub(super) fn moderation(ask: &Ask<'_>) -> Bytes {
    let mut out = b"{\"id\":\"modr-sim\",\"model\":".to_vec();
    push_string(&mut out, &ask.peek.model);
    out.extend_from_slice(b",\"results\":[");
    for index in 0..ask.peek.input.items.clamp(1, 2_048) {
        let comma = if index > 0 { "," } else { "" };
        push_fmt(
            &mut out,
            format_args!(
                "{comma}{{\"flagged\":false,\"categories\":{{}},\"category_scores\":{{}}}}"
            ),
        );
    }
    out.extend_from_slice(b"]}");
    out.into()
}
