//! What of a request of the OpenAI form may change, and under which names.

use bytes::Bytes;

use crate::endpoint::Endpoint;
use crate::peek::{Nested, Peek, Span};
use crate::rewrite::{Edits, Rewrite};

/// The body as it is sent: `body` itself, not copied, where nothing changes.
///
/// `peek` must come from this very body and endpoint.
pub fn rewrite(endpoint: Endpoint, body: &Bytes, peek: &Peek, change: &Rewrite<'_>) -> Bytes {
    let mut edits = Edits::new(peek);
    edits.model(peek, change);
    if change.include_usage && peek.stream && endpoint.has_usage_switch() && !peek.usage_asked {
        include_usage(&mut edits, peek);
    }
    if let Some(max) = change.max_output {
        clamp(&mut edits, endpoint, peek, max, change.legacy_max_tokens);
    }
    edits.apply(body)
}

fn include_usage(edits: &mut Edits, peek: &Peek) {
    if let Some(span) = peek.spans.include_usage {
        return edits.replace(span, b"true".to_vec());
    }
    match peek.spans.stream_options {
        Nested::Absent => edits.member("stream_options", b"{\"include_usage\":true}"),
        Nested::Null(span) => {
            edits.replace(span, b"{\"include_usage\":true}".to_vec());
        }
        Nested::Object { insert_at, empty } => {
            let comma: &[u8] = if empty { b"" } else { b"," };
            let member = [b"\"include_usage\":true", comma].concat();
            edits.replace(Span { start: insert_at, end: insert_at }, member);
        }
    }
}

fn clamp(edits: &mut Edits, endpoint: Endpoint, peek: &Peek, max: u64, legacy: bool) {
    let spans = &peek.spans;
    match endpoint {
        Endpoint::ChatCompletions => {
            let name = if legacy { "max_tokens" } else { "max_completion_tokens" };
            edits.clamp(name, &[spans.max_completion_tokens, spans.max_tokens], max);
        }
        Endpoint::Completions => edits.clamp("max_tokens", &[spans.max_tokens], max),
        Endpoint::Responses => edits.clamp("max_output_tokens", &[spans.max_output_tokens], max),
        _ => {}
    }
}
