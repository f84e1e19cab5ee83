//! Ends a stream from our side, in the words of its form, where it reaches the edge of its
//! reservation: the reason is `length`, as if the caller's own maximum had been reached.

use std::fmt;

use bytes::Bytes;
use tollgate_domain::usage::Usage;

use crate::json::{push_fmt, push_optional, push_string};

use crate::endpoint::Endpoint;
use crate::meter::Cut;

/// The events that end the stream. `usage` is stated to the client where it asked for it (always,
/// in the responses form); `model` names the model where no event did so far.
///
/// The text that has already passed is not repeated in the last event of the responses form.
pub(crate) fn cut_events(cut: &Cut<'_>, model: &str, usage: Option<&Usage>) -> Bytes {
    let mut out = Vec::with_capacity(512);
    let model = cut.seen.facts.model.as_deref().unwrap_or(model);
    if cut.endpoint.is_responses() {
        incomplete(&mut out, cut, model, usage);
        return out.into();
    }
    // Where nothing has come, the first choice is what there is to end.
    let open = if cut.seen.open == 0 { 1 } else { cut.seen.open };
    for index in (0..128u32).filter(|index| open & (1 << index) != 0) {
        chunk_head(&mut out, cut, model);
        let empty = match cut.endpoint {
            Endpoint::Completions => "\"text\":\"\"",
            _ => "\"delta\":{}",
        };
        push_fmt(
            &mut out,
            format_args!(
                "[{{\"index\":{index},{empty},\"logprobs\":null,\"finish_reason\":\"length\"}}]"
            ),
        );
        out.extend_from_slice(b"}\n\n");
    }
    if let Some(usage) = usage {
        chunk_head(&mut out, cut, model);
        out.extend_from_slice(b"[],\"usage\":");
        push_usage(&mut out, usage);
        out.extend_from_slice(b"}\n\n");
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
    out.into()
}

fn chunk_head(out: &mut Vec<u8>, cut: &Cut<'_>, model: &str) {
    let object = match cut.endpoint {
        Endpoint::Completions => "text_completion",
        _ => "chat.completion.chunk",
    };
    out.extend_from_slice(b"data: {\"id\":");
    push_string(out, cut.seen.facts.id.as_deref().unwrap_or("chatcmpl-cut"));
    let created = cut.seen.facts.created.unwrap_or(0);
    push_fmt(out, format_args!(",\"object\":\"{object}\",\"created\":{created},\"model\":"));
    push_string(out, model);
    out.extend_from_slice(b",\"choices\":");
}

fn incomplete(out: &mut Vec<u8>, cut: &Cut<'_>, model: &str, usage: Option<&Usage>) {
    out.extend_from_slice(
        b"event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":{\"id\":",
    );
    push_string(out, cut.seen.facts.id.as_deref().unwrap_or("resp_cut"));
    let created = cut.seen.facts.created.unwrap_or(0);
    push_fmt(
        out,
        format_args!(
            ",\"object\":\"response\",\"created_at\":{created},\"status\":\"incomplete\",\
             \"error\":null,\"incomplete_details\":{{\"reason\":\"max_output_tokens\"}},\"model\":"
        ),
    );
    push_string(out, model);
    out.extend_from_slice(b",\"output\":[],\"service_tier\":");
    push_optional(out, cut.seen.facts.service_tier.as_deref());
    out.extend_from_slice(b",\"usage\":");
    match usage {
        Some(usage) => push_responses_usage(out, usage),
        None => out.extend_from_slice(b"null"),
    }
    push_fmt(out, format_args!("}},\"sequence_number\":{}}}\n\n", cut.seen.events));
}

/// What was written to a cache: a member that stands only where something was.
struct Written<'a>(&'a Usage);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.cache_write {
            0 => Ok(()),
            tokens => write!(f, ",\"cache_write_tokens\":{tokens}"),
        }
    }
}

/// Writes a usage as completions state it.
pub(crate) fn push_usage(out: &mut Vec<u8>, usage: &Usage) {
    push_fmt(
        out,
        format_args!(
            "{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},\
             \"prompt_tokens_details\":{{\"cached_tokens\":{}{}}},\
             \"completion_tokens_details\":{{\"reasoning_tokens\":{}}}}}",
            usage.input,
            usage.output,
            usage.total(),
            usage.cache_read,
            Written(usage),
            usage.reasoning
        ),
    );
}

/// Writes a usage as responses state it.
pub(crate) fn push_responses_usage(out: &mut Vec<u8>, usage: &Usage) {
    push_fmt(
        out,
        format_args!(
            "{{\"input_tokens\":{},\"input_tokens_details\":{{\"cached_tokens\":{},\
             \"cache_write_tokens\":{}}},\
             \"output_tokens\":{},\"output_tokens_details\":{{\"reasoning_tokens\":{}}},\
             \"total_tokens\":{}}}",
            usage.input,
            usage.cache_read,
            usage.cache_write,
            usage.output,
            usage.reasoning,
            usage.total()
        ),
    );
}
