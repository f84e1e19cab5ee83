//! Ends a stream of the Gemini form from our side: a chunk in which every open candidate stops with
//! `MAX_TOKENS`; where the stream is an array, the array is closed.

use bytes::Bytes;
use tollgate_domain::usage::Usage;

use crate::framing::Framing;
use crate::json::{push_fmt, push_optional, push_string};
use crate::meter::Cut;

/// The bytes that end the stream.
pub(crate) fn cut_events(cut: &Cut<'_>, model: &str, usage: Option<&Usage>) -> Bytes {
    let mut out = Vec::with_capacity(512);
    let begun = cut.seen.events > 0;
    out.extend_from_slice(match (cut.framing, begun) {
        (Framing::Array, true) => b",\r\n",
        (Framing::Array, false) => b"[",
        _ => b"data: ",
    });
    chunk(&mut out, cut, model, usage);
    out.extend_from_slice(match cut.framing {
        Framing::Array => b"\r\n]\r\n",
        _ => b"\r\n\r\n",
    });
    out.into()
}

fn chunk(out: &mut Vec<u8>, cut: &Cut<'_>, model: &str, usage: Option<&Usage>) {
    let facts = &cut.seen.facts;
    out.extend_from_slice(b"{\"candidates\":[");
    // Where nothing has come, the first candidate is what there is to end.
    let open = if cut.seen.open == 0 { 1 } else { cut.seen.open };
    let mut separator = "";
    for index in (0..128u32).filter(|index| open & (1 << index) != 0) {
        push_fmt(
            out,
            format_args!(
                "{separator}{{\"content\":{{\"parts\":[{{\"text\":\"\"}}],\"role\":\"model\"}},\
                 \"finishReason\":\"MAX_TOKENS\",\"index\":{index}}}"
            ),
        );
        separator = ",";
    }
    out.extend_from_slice(b"],");
    if let Some(usage) = usage {
        out.extend_from_slice(b"\"usageMetadata\":");
        push_usage(out, usage);
        out.push(b',');
    }
    out.extend_from_slice(b"\"modelVersion\":");
    push_string(out, facts.model.as_deref().unwrap_or(model));
    out.extend_from_slice(b",\"responseId\":");
    push_optional(out, facts.id.as_deref());
    out.push(b'}');
}

/// Writes a usage as this form states it: thoughts and what tools fed in stand apart.
pub(crate) fn push_usage(out: &mut Vec<u8>, usage: &Usage) {
    push_fmt(
        out,
        format_args!(
            "{{\"promptTokenCount\":{},\"candidatesTokenCount\":{},\"totalTokenCount\":{}",
            usage.input.saturating_sub(usage.tool_input),
            usage.output.saturating_sub(usage.reasoning),
            usage.total()
        ),
    );
    for (name, count) in [
        ("cachedContentTokenCount", usage.cache_read),
        ("thoughtsTokenCount", usage.reasoning),
        ("toolUsePromptTokenCount", usage.tool_input),
    ] {
        if count > 0 {
            push_fmt(out, format_args!(",\"{name}\":{count}"));
        }
    }
    out.push(b'}');
}
