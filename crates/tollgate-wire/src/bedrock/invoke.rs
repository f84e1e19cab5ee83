//! Reads answers of models in their own form (invoke), whole or as a stream of chunks.
//!
//! The form is told by what the answer says, not by the model's name, which an ARN can hide.
//! Counts stand in the body, in headers (for embeddings there only), or in the metrics that Bedrock
//! adds to the last chunk of a stream; header and metrics leave out what was cached, like Converse.
//! Sources: the user guide of Bedrock on each family, and recorded exchanges.

mod native;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tollgate_domain::usage::Usage;

use super::frame::push_event;
use super::model::is_claude;
use crate::dialect;
use crate::endpoint::Endpoint;
use crate::facts::{AnswerFacts, StreamFacts};
use crate::figures;
use crate::json::lenient::Pull;
use crate::json::push_fmt;
use crate::meter::Seen;
use native::Native;

/// The facts of a whole answer. Never fails: what cannot be read is not stated.
pub fn read_answer(body: &[u8]) -> AnswerFacts {
    let mut seen = Seen::default();
    let well = Native::default().document(body, &mut seen);
    let mut facts = seen.facts;
    facts.cut = !well || body.is_empty();
    facts
}

/// Counts the generated text of a whole answer, for one without usage.
pub fn answer_text(body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    if let Some((endpoint, _)) = native::foreign(body) {
        return dialect::answer_text(endpoint, body, count);
    }
    let mut seen = Seen::default();
    Native::default().document(body, &mut seen);
    seen.tally.estimate(count)
}

/// Takes from the headers of a whole answer what its body does not state. `lookup` finds a header
/// by its name in lower case.
///
/// Where only input is counted, nothing was generated (embeddings); but an answer that gives a
/// reason for its end was generated, and then its output is unknown and not zero.
pub fn read_headers<'h>(
    endpoint: Endpoint,
    lookup: &dyn Fn(&str) -> Option<&'h str>,
    facts: &mut AnswerFacts,
) {
    if endpoint != Endpoint::Invoke || facts.usage.is_some() {
        return;
    }
    let stated = |name: &str| {
        lookup(&["x-amzn-bedrock-", name, "-token-count"].concat())
            .and_then(|value| figures::count(&mut Pull::new(value.as_bytes()), &mut false))
    };
    let Some(input) = stated("input") else { return };
    let read = stated("cache-read-input").unwrap_or(0);
    let written = stated("cache-write-input").unwrap_or(0);
    let output = match stated("output") {
        None if facts.finish_reason.is_some() => None,
        stated => Some(stated.unwrap_or(0)),
    };
    let usage = with_caches(input, output.unwrap_or(0), read, written);
    match output {
        Some(_) => facts.usage = Some(usage),
        None => facts.partial = Some(usage),
    }
}

/// Our scale, from an input that leaves out the caches.
fn with_caches(input: u64, output: u64, cache_read: u64, cache_write: u64) -> Usage {
    let input = input.saturating_add(cache_read).saturating_add(cache_write);
    Usage { cache_read, cache_write, ..Usage::tokens(input, output) }
}

/// Reads the chunks of one stream.
#[derive(Debug, Default)]
pub(super) struct Reader {
    native: Native,
}

impl Reader {
    /// Takes the event that a chunk holds.
    pub(super) fn read(&mut self, payload: &[u8], seen: &mut Seen) {
        if let Some(document) = chunk_document(payload) {
            self.native.document(&document, seen);
        }
    }

    /// Adds to the facts of an ended stream what the reader of another dialect counted.
    pub(super) fn complete(&self, facts: &mut StreamFacts) {
        self.native.complete(facts);
    }
}

/// The event of the model's own form that the payload of a chunk holds.
pub(super) fn chunk_document(payload: &[u8]) -> Option<Vec<u8>> {
    let mut document = None;
    Pull::new(payload).object(|pull, key| {
        if key == b"bytes" {
            document = pull.string_or_skip().and_then(|text| STANDARD.decode(text.raw).ok());
        } else {
            pull.skip();
        }
    });
    document
}

/// Appends a chunk that holds this event.
pub(super) fn push_chunk(out: &mut Vec<u8>, document: &[u8]) {
    let payload = ["{\"bytes\":\"", &STANDARD.encode(document), "\"}"].concat();
    push_event(out, "chunk", payload.as_bytes());
}

/// Appends the chunks that end a stream at its maximum, in the words of the model's family. An
/// unknown family gets the reasons of several at once: each reader finds its own.
pub(super) fn push_end(out: &mut Vec<u8>, model: &str, usage: Option<&Usage>) {
    let mut metrics = Vec::with_capacity(128);
    if let Some(usage) = usage {
        push_metrics(&mut metrics, usage);
    }
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let end = |start: &str| ["{", start, &metrics, "}"].concat().into_bytes();
    if is_claude(model) {
        let tokens = usage.map_or(0, |usage| usage.output);
        let delta = format!(
            "{{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"max_tokens\",\
             \"stop_sequence\":null}},\"usage\":{{\"output_tokens\":{tokens}}}}}"
        );
        push_chunk(out, delta.as_bytes());
        push_chunk(out, &end("\"type\":\"message_stop\""));
    } else if model.contains("amazon.nova") {
        push_chunk(out, b"{\"messageStop\":{\"stopReason\":\"max_tokens\"}}");
        push_chunk(out, &end("\"metadata\":{}"));
    } else if model.contains("amazon.titan") {
        push_chunk(out, &end("\"outputText\":\"\",\"index\":0,\"completionReason\":\"LENGTH\""));
    } else if model.contains("mistral.") {
        push_chunk(out, &end("\"outputs\":[{\"text\":\"\",\"stop_reason\":\"length\"}]"));
    } else if model.contains("openai.") {
        let choice = "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]";
        push_chunk(out, &end(choice));
    } else {
        push_chunk(
            out,
            &end("\"generation\":\"\",\"stop_reason\":\"length\",\"is_finished\":true,\
                 \"finish_reason\":\"MAX_TOKENS\""),
        );
    }
}

fn push_metrics(out: &mut Vec<u8>, usage: &Usage) {
    let caches = usage.cache_read.saturating_add(usage.cache_write);
    push_fmt(
        out,
        format_args!(
            ",\"amazon-bedrock-invocationMetrics\":{{\"inputTokenCount\":{},\"outputTokenCount\":{},\
             \"cacheReadInputTokenCount\":{},\"cacheWriteInputTokenCount\":{}}}",
            usage.input.saturating_sub(caches),
            usage.output,
            usage.cache_read,
            usage.cache_write
        ),
    );
}
