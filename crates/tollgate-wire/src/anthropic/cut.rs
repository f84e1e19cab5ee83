//! Ends a stream of the Anthropic form from our side: open blocks are closed and the reason is
//! `max_tokens`, as if the caller's own maximum had been reached.

use bytes::Bytes;
use tollgate_domain::usage::Usage;

use crate::json::{push_fmt, push_string};
use crate::meter::Cut;

/// The events that end the stream. The form always states a usage.
pub(crate) fn cut_events(cut: &Cut<'_>, model: &str, usage: Option<&Usage>) -> Bytes {
    let mut out = Vec::with_capacity(512);
    let usage = usage.copied().unwrap_or_default();
    if cut.seen.events == 0 {
        begin(&mut out, cut.seen.facts.model.as_deref().unwrap_or(model), &usage);
    }
    for index in &cut.seen.blocks {
        push_fmt(
            &mut out,
            format_args!(
                "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\
                 \"index\":{index}}}\n\n"
            ),
        );
    }
    out.extend_from_slice(
        b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\
          \"max_tokens\",\"stop_sequence\":null},\"usage\":",
    );
    push_usage(&mut out, &usage);
    out.extend_from_slice(b"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    out.into()
}

fn begin(out: &mut Vec<u8>, model: &str, usage: &Usage) {
    out.extend_from_slice(
        b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_cut\",\
          \"type\":\"message\",\"role\":\"assistant\",\"model\":",
    );
    push_string(out, model);
    out.extend_from_slice(
        b",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":",
    );
    push_usage(out, &Usage { output: 0, ..*usage });
    out.extend_from_slice(b"}}\n\n");
}

/// Writes a usage as messages state it: the input without what was read from or written to a cache.
pub(crate) fn push_usage(out: &mut Vec<u8>, usage: &Usage) {
    let cached = usage.cache_read.saturating_add(usage.cache_write);
    push_fmt(
        out,
        format_args!(
            "{{\"input_tokens\":{},\"cache_creation_input_tokens\":{},\
             \"cache_read_input_tokens\":{},\"output_tokens\":{}}}",
            usage.input.saturating_sub(cached),
            usage.cache_write,
            usage.cache_read,
            usage.output
        ),
    );
}
