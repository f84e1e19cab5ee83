//! Writes answers for clients of Gemini.
//!
//! A stream is a row of small answers. Calls are told whole; the last chunk has the reason to stop
//! and the usage, and nothing behind it says that it was the last.

use serde_json::{Map, Value, json};
use tollgate_domain::call::Dialect;
use tollgate_domain::usage::Usage;

use crate::error::provider_event;
use crate::json::{push_fmt, push_string};
use crate::translate::reply::{Answer, Block, Event, Filled, Reason, Stop};
use crate::translate::tree::Tree as _;
use crate::translate::{View, arguments, failure};

use super::{usage, word};

/// Writes a whole answer.
pub(crate) fn write_whole(events: &[Event], view: &View) -> Vec<u8> {
    let answer = Answer::of(events);
    if let Some(error) = &answer.error {
        return failure::inband(Dialect::Gemini, error).to_vec();
    }
    let refused = answer.blocks.iter().any(|filled| filled.block == Block::Refusal);
    let parts: Value = answer.blocks.into_iter().filter_map(part).collect();
    let candidate = candidate(&parts, answer.stop.as_ref(), refused);
    let mut body = Map::new();
    body.insert("candidates".to_owned(), json!([candidate]));
    if let Some(usage) = &answer.usage {
        body.insert("usageMetadata".to_owned(), usage::object(usage));
    }
    body.insert("modelVersion".to_owned(), json!(view.model));
    body.insert("responseId".to_owned(), json!(answer.id.as_ref().unwrap_or(&view.fallback_id)));
    Value::Object(body).to_string().into_bytes()
}

fn candidate(parts: &Value, stop: Option<&Stop>, refused: bool) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}});
    if let Some(stop) = stop {
        let reason =
            if refused && stop.reason == Reason::End { Reason::Filtered } else { stop.reason };
        candidate.put("finishReason", json!(word(reason)));
        if !stop.native.is_empty() && stop.native != word(reason) {
            candidate.put("finishMessage", json!(stop.native));
        }
    }
    candidate.put("index", json!(0));
    candidate
}

fn part(filled: Filled) -> Option<Value> {
    let Filled { block, text, proof, .. } = filled;
    match block {
        Block::Text | Block::Refusal => (!text.is_empty()).then(|| json!({"text": text})),
        Block::Thought => {
            let proof = proof.unwrap_or_default();
            Some(json!({"text": text, "thought": true, "thoughtSignature": proof}))
        }
        Block::SealedThought => {
            Some(json!({"thought": true, "thoughtSignature": proof.unwrap_or_default()}))
        }
        Block::Call { id, name } => {
            let args = arguments::object(&text);
            Some(json!({"functionCall": {"id": id, "name": name, "args": args}}))
        }
    }
}

/// Writes a stream.
#[derive(Debug)]
pub(crate) struct Writer {
    /// One JSON array instead of events: what a client gets that did not say `alt=sse`.
    array: bool,
    model: String,
    id: String,
    open: Vec<Opened>,
    stop: Option<Stop>,
    usage: Option<Usage>,
    refused: bool,
    /// Whether a chunk has been written.
    written: bool,
}

#[derive(Debug)]
struct Opened {
    number: u32,
    kind: Block,
    /// The arguments of a call so far.
    arguments: String,
}

impl Writer {
    /// A stream that starts.
    pub(crate) fn new(view: &View) -> Self {
        Self {
            array: view.array,
            model: view.model.clone(),
            id: view.fallback_id.clone(),
            open: Vec::new(),
            stop: None,
            usage: None,
            refused: false,
            written: false,
        }
    }

    /// Appends what the client gets for an event.
    pub(crate) fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Begin { id: Some(id), .. } => self.id.clone_from(id),
            Event::Begin { id: None, .. } => {}
            Event::Open(number, kind) => {
                self.refused |= *kind == Block::Refusal;
                let (number, kind) = (*number, kind.clone());
                self.open.push(Opened { number, kind, arguments: String::new() });
            }
            Event::Delta(number, text) => self.delta(*number, text, out),
            Event::Proof(number, proof) => self.proof(*number, proof, out),
            Event::Close(number) => self.close(*number, out),
            Event::Stop(stop) => self.stop = Some(stop.clone()),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Error(error) => {
                if self.array {
                    self.between(out);
                    out.extend_from_slice(&failure::inband(Dialect::Gemini, error));
                } else {
                    provider_event(out, Dialect::Gemini, error, None);
                }
                self.stop = None;
            }
            Event::End => self.end(out),
        }
    }

    fn delta(&mut self, number: u32, text: &str, out: &mut Vec<u8>) {
        let opened = self.open.iter_mut().find(|opened| opened.number == number);
        let thought = match opened {
            Some(Opened { kind: Block::Text | Block::Refusal, .. }) => false,
            Some(Opened { kind: Block::Thought, .. }) => true,
            Some(Opened { kind: Block::Call { .. }, arguments, .. }) => {
                arguments.push_str(text);
                return;
            }
            Some(Opened { kind: Block::SealedThought, .. }) | None => return,
        };
        self.chunk(out, |out| {
            out.extend_from_slice(b"{\"text\":");
            push_string(out, text);
            out.extend_from_slice(if thought { b",\"thought\":true}" } else { b"}" });
        });
    }

    fn proof(&mut self, number: u32, proof: &str, out: &mut Vec<u8>) {
        let Some(opened) = self.open.iter().find(|opened| opened.number == number) else { return };
        let sealed = opened.kind == Block::SealedThought;
        self.chunk(out, |out| {
            out.extend_from_slice(if sealed { b"{" } else { b"{\"text\":\"\"," });
            out.extend_from_slice(b"\"thought\":true,\"thoughtSignature\":");
            push_string(out, proof);
            out.push(b'}');
        });
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(place) = self.open.iter().position(|opened| opened.number == number) else {
            return;
        };
        let opened = self.open.remove(place);
        if let Block::Call { id, name } = opened.kind {
            let args = Value::Object(arguments::object(&opened.arguments));
            self.chunk(out, |out| {
                out.extend_from_slice(b"{\"functionCall\":{\"id\":");
                push_string(out, &id);
                out.extend_from_slice(b",\"name\":");
                push_string(out, &name);
                push_fmt(out, format_args!(",\"args\":{args}}}}}"));
            });
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(stop) = self.stop.take() {
            let candidate = candidate(&json!([{"text": ""}]), Some(&stop), self.refused);
            self.before(out);
            push_fmt(out, format_args!("{{\"candidates\":[{candidate}]"));
            if let Some(usage) = &self.usage {
                push_fmt(out, format_args!(",\"usageMetadata\":{}", usage::object(usage)));
            }
            self.after(out);
        }
        if self.array {
            out.extend_from_slice(if self.written { b"]" } else { b"[]" });
        }
    }

    /// A chunk of one part.
    fn chunk(&mut self, out: &mut Vec<u8>, part: impl FnOnce(&mut Vec<u8>)) {
        self.before(out);
        out.extend_from_slice(b"{\"candidates\":[{\"content\":{\"parts\":[");
        part(out);
        out.extend_from_slice(b"],\"role\":\"model\"},\"index\":0}]");
        self.after(out);
    }

    fn before(&mut self, out: &mut Vec<u8>) {
        if self.array {
            self.between(out);
        } else {
            out.extend_from_slice(b"data: ");
        }
    }

    /// Begins the next item of the array.
    fn between(&mut self, out: &mut Vec<u8>) {
        let first = !std::mem::replace(&mut self.written, true);
        out.extend_from_slice(if first { b"[" } else { b",\r\n" });
    }

    fn after(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"modelVersion\":");
        push_string(out, &self.model);
        out.extend_from_slice(b",\"responseId\":");
        push_string(out, &self.id);
        out.extend_from_slice(if self.array { b"}" } else { b"}\r\n\r\n" });
    }
}

#[cfg(test)]
mod tests;
