//! Writes answers for clients of Anthropic.
//!
//! Anthropic's clients keep what they are sent and send it back, so no block is empty. The last
//! event but one states the whole usage: it is held until that is known.

use serde_json::{Value, json};
use tollgate_domain::call::Dialect;
use tollgate_domain::usage::Usage;

use crate::error::provider_event;
use crate::json::{push_fmt, push_string};
use crate::translate::reply::{Answer, Block, Event, Filled, Reason, Stop};
use crate::translate::{View, arguments, failure};

use super::{STOPS, usage, word};

/// Writes a whole answer.
pub(crate) fn write_whole(events: &[Event], view: &View) -> Vec<u8> {
    let answer = Answer::of(events);
    if let Some(error) = &answer.error {
        return failure::inband(Dialect::Anthropic, error).to_vec();
    }
    let (reason, sequence) = stop_words(answer.stop.as_ref(), refused(&answer));
    let message = json!({
        "id": answer.id.unwrap_or_else(|| made_id(view)),
        "type": "message",
        "role": "assistant",
        "model": view.model,
        "content": answer.blocks.into_iter().filter_map(block).collect::<Value>(),
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": usage::object(answer.usage.as_ref()),
    });
    message.to_string().into_bytes()
}

/// Whether the model refused in words.
fn refused(answer: &Answer) -> bool {
    answer.blocks.iter().any(|filled| filled.block == Block::Refusal)
}

fn made_id(view: &View) -> String {
    format!("msg_{}", view.fallback_id)
}

/// The word for the end and the text that stopped it. Words that Claude itself says stay.
fn stop_words(stop: Option<&Stop>, refused: bool) -> (&str, Option<&str>) {
    let Some(stop) = stop else { return ("end_turn", None) };
    let own = STOPS.iter().find(|(known, _)| *known == stop.native);
    let word = match stop.reason {
        Reason::End if stop.sequence.is_some() => "stop_sequence",
        Reason::End if refused => "refusal",
        reason => {
            own.filter(|(_, means)| *means == reason).map_or_else(|| word(reason), |(own, _)| own)
        }
    };
    (word, stop.sequence.as_deref())
}

fn block(filled: Filled) -> Option<Value> {
    let Filled { block, text, proof, .. } = filled;
    match block {
        Block::Text | Block::Refusal if text.is_empty() => None,
        Block::Text | Block::Refusal => Some(json!({"type": "text", "text": text})),
        Block::Thought => Some(
            json!({"type": "thinking", "thinking": text, "signature": proof.unwrap_or_default()}),
        ),
        Block::SealedThought => {
            Some(json!({"type": "redacted_thinking", "data": proof.unwrap_or_default()}))
        }
        Block::Call { id, name } => {
            let input = arguments::object(&text);
            Some(json!({"type": "tool_use", "id": id, "name": name, "input": input}))
        }
    }
}

/// Writes a stream.
#[derive(Debug)]
pub(crate) struct Writer {
    view: View,
    /// The blocks of the answer that have not ended.
    open: Vec<Opened>,
    /// The number of the next block.
    next: u32,
    stop: Option<Stop>,
    usage: Option<Usage>,
    refused: bool,
}

#[derive(Debug)]
struct Opened {
    number: u32,
    kind: Block,
    /// The block's number in the stream; `None` until there is something in it.
    index: Option<u32>,
}

impl Writer {
    /// A stream that starts.
    pub(crate) fn new(view: &View) -> Self {
        Self {
            view: view.clone(),
            open: Vec::new(),
            next: 0,
            stop: None,
            usage: None,
            refused: false,
        }
    }

    /// Appends what the client gets for an event.
    pub(crate) fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Begin { id, .. } => self.begin(id.as_deref(), out),
            Event::Open(number, kind) => self.opened(*number, kind, out),
            Event::Delta(number, text) => self.delta(*number, text, out),
            Event::Proof(number, proof) => self.proof(*number, proof, out),
            Event::Close(number) => self.close(*number, out),
            Event::Stop(stop) => self.stop = Some(stop.clone()),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Error(error) => {
                provider_event(out, Dialect::Anthropic, error, None);
                self.stop = None;
            }
            Event::End => self.end(out),
        }
    }

    fn begin(&self, id: Option<&str>, out: &mut Vec<u8>) {
        let made = made_id(&self.view);
        head(out, "message_start");
        out.extend_from_slice(b",\"message\":{\"id\":");
        push_string(out, id.unwrap_or(&made));
        out.extend_from_slice(b",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
        push_string(out, &self.view.model);
        let usage = usage::object(self.usage.as_ref());
        push_fmt(
            out,
            format_args!(
                ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{usage}}}"
            ),
        );
        tail(out);
    }

    fn opened(&mut self, number: u32, kind: &Block, out: &mut Vec<u8>) {
        self.refused |= *kind == Block::Refusal;
        // Some clients know only the last block: what is no call ends when another begins.
        for opened in self.open.iter_mut().filter(|opened| !is_call(&opened.kind)) {
            if let Some(index) = opened.index.take() {
                block_stop(out, index);
            }
        }
        // More text would begin another block; a thought with nothing but its end is none.
        self.open.retain(|opened| !matches!(opened.kind, Block::Thought | Block::SealedThought));
        self.open.push(Opened { number, kind: kind.clone(), index: None });
        if is_call(kind) {
            self.start(number, None, out);
        }
    }

    /// The number of the block in the stream; begins it where it has not begun. `proof` is all that
    /// there is of a sealed thought.
    fn start(&mut self, number: u32, proof: Option<&str>, out: &mut Vec<u8>) -> Option<u32> {
        let opened = self.open.iter_mut().find(|opened| opened.number == number)?;
        if let Some(index) = opened.index {
            return Some(index);
        }
        let index = self.next;
        self.next += 1;
        opened.index = Some(index);
        head(out, "content_block_start");
        push_fmt(out, format_args!(",\"index\":{index},\"content_block\":"));
        match &opened.kind {
            Block::Text | Block::Refusal => {
                out.extend_from_slice(b"{\"type\":\"text\",\"text\":\"\"}");
            }
            Block::Thought => out
                .extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"),
            Block::SealedThought => {
                out.extend_from_slice(b"{\"type\":\"redacted_thinking\",\"data\":");
                push_string(out, proof.unwrap_or_default());
                out.push(b'}');
            }
            Block::Call { id, name } => {
                out.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":");
                push_string(out, id);
                out.extend_from_slice(b",\"name\":");
                push_string(out, name);
                out.extend_from_slice(b",\"input\":{}}");
            }
        }
        tail(out);
        Some(index)
    }

    fn delta(&mut self, number: u32, text: &str, out: &mut Vec<u8>) {
        let Some(opened) = self.open.iter().find(|opened| opened.number == number) else { return };
        let (kind, key) = match opened.kind {
            Block::Text | Block::Refusal => ("text_delta", "text"),
            Block::Thought => ("thinking_delta", "thinking"),
            Block::Call { .. } => ("input_json_delta", "partial_json"),
            Block::SealedThought => return,
        };
        if let Some(index) = self.start(number, None, out) {
            block_delta(out, index, (kind, key), text);
        }
    }

    fn proof(&mut self, number: u32, proof: &str, out: &mut Vec<u8>) {
        let Some(opened) = self.open.iter().find(|opened| opened.number == number) else { return };
        let sealed = opened.kind == Block::SealedThought;
        if let Some(index) = self.start(number, Some(proof), out)
            && !sealed
        {
            block_delta(out, index, ("signature_delta", "signature"), proof);
        }
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(place) = self.open.iter().position(|opened| opened.number == number) else {
            return;
        };
        if let Some(index) = self.open.remove(place).index {
            block_stop(out, index);
        }
    }

    fn end(&self, out: &mut Vec<u8>) {
        let Some(stop) = &self.stop else { return };
        let (reason, sequence) = stop_words(Some(stop), self.refused);
        head(out, "message_delta");
        let sequence = json!(sequence);
        let usage = usage::object(self.usage.as_ref());
        push_fmt(
            out,
            format_args!(
                ",\"delta\":{{\"stop_reason\":\"{reason}\",\"stop_sequence\":{sequence}}},\
                 \"usage\":{usage}"
            ),
        );
        tail(out);
        head(out, "message_stop");
        tail(out);
    }
}

const fn is_call(kind: &Block) -> bool {
    matches!(kind, Block::Call { .. })
}

fn head(out: &mut Vec<u8>, kind: &str) {
    push_fmt(out, format_args!("event: {kind}\ndata: {{\"type\":\"{kind}\""));
}

fn tail(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}\n\n");
}

fn block_delta(out: &mut Vec<u8>, index: u32, (kind, key): (&str, &str), text: &str) {
    head(out, "content_block_delta");
    push_fmt(out, format_args!(",\"index\":{index},\"delta\":{{\"type\":\"{kind}\",\"{key}\":"));
    push_string(out, text);
    out.push(b'}');
    tail(out);
}

fn block_stop(out: &mut Vec<u8>, index: u32) {
    head(out, "content_block_stop");
    push_fmt(out, format_args!(",\"index\":{index}"));
    tail(out);
}

#[cfg(test)]
mod tests;
