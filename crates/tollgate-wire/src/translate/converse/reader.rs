//! Reads answers of Bedrock's models.

use serde_json::Value;
use tollgate_domain::usage::Usage;

use crate::facts::InbandError;
use crate::openai::read_error;
use crate::translate::messages::reason;
use crate::translate::reply::{Block, Event, Reason, Stop};
use crate::translate::tree::Tree as _;

/// Reads a whole answer.
pub(crate) fn read_whole(body: &[u8]) -> Vec<Event> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = answer.of("output").of("message");
    if !message.is_object() {
        let error = read_error(body).unwrap_or_else(|| InbandError {
            message: "the provider's answer cannot be read".into(),
            status: Some(502),
            ..InbandError::default()
        });
        return vec![Event::Error(error)];
    }
    let mut out = vec![begin()];
    let mut reader = Reader::default();
    let blocks = message.of("content").as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, block) in (0..).zip(blocks) {
        reader.whole(index, block, &mut out);
        reader.close(index, &mut out);
    }
    out.extend(usage(answer.of("usage")).map(Event::Usage));
    out.extend(stop(&answer));
    out.push(Event::End);
    out
}

/// Reads a stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    open: Vec<Opened>,
    next: u32,
    stopped: bool,
}

#[derive(Debug)]
struct Opened {
    index: u64,
    number: u32,
    kind: Block,
}

impl Reader {
    /// Takes a frame: its type and what it carries.
    pub(crate) fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Event>) {
        let event: Value = serde_json::from_slice(data).unwrap_or_default();
        let index = event.of("contentBlockIndex").as_u64().unwrap_or(0);
        match name {
            b"messageStart" => out.push(begin()),
            b"contentBlockStart" => {
                let call = event.of("start").of("toolUse");
                if call.is_object() {
                    self.call(index, call, out);
                }
            }
            b"contentBlockDelta" => self.delta(index, event.of("delta"), out),
            b"contentBlockStop" => self.close(index, out),
            b"messageStop" => {
                out.extend(stop(&event));
                self.stopped = true;
            }
            b"metadata" => {
                out.extend(usage(event.of("usage")).map(Event::Usage));
                self.finish(out);
            }
            name => {
                let kind = str::from_utf8(name).unwrap_or_default();
                if kind == "error" || kind.ends_with("Exception") {
                    out.push(Event::Error(failure(kind, &event)));
                }
            }
        }
    }

    /// The stream has ended. Its last frame is the usage, without which it is whole as well.
    pub(crate) fn finish(&mut self, out: &mut Vec<Event>) {
        if std::mem::take(&mut self.stopped) {
            out.push(Event::End);
        }
    }

    fn call(&mut self, index: u64, call: &Value, out: &mut Vec<Event>) -> u32 {
        let text = |key: &str| call.of(key).as_str().unwrap_or_default().to_owned();
        self.block(index, Block::Call { id: text("toolUseId"), name: text("name") }, out)
    }

    /// The open block of this kind at this place; opens one where there is none, for a text begins
    /// with its first piece.
    fn block(&mut self, index: u64, kind: Block, out: &mut Vec<Event>) -> u32 {
        let open = self.open.iter().find(|opened| opened.index == index && opened.kind == kind);
        if let Some(opened) = open {
            return opened.number;
        }
        let number = self.next;
        self.next += 1;
        out.push(Event::Open(number, kind.clone()));
        self.open.push(Opened { index, number, kind });
        number
    }

    fn delta(&mut self, index: u64, delta: &Value, out: &mut Vec<Event>) {
        let thought = delta.of("reasoningContent");
        if let Some(text) = delta.of("text").as_str() {
            let number = self.block(index, Block::Text, out);
            out.push(Event::Delta(number, text.to_owned()));
        } else if let Some(piece) = delta.of("toolUse").of("input").as_str() {
            let call = self.open.iter().find(|opened| opened.index == index);
            out.extend(call.map(|call| Event::Delta(call.number, piece.to_owned())));
        } else if let Some(text) = thought.of("text").as_str() {
            let number = self.block(index, Block::Thought, out);
            out.push(Event::Delta(number, text.to_owned()));
        } else if let Some(proof) = thought.of("signature").as_str() {
            let number = self.block(index, Block::Thought, out);
            out.push(Event::Proof(number, proof.to_owned()));
        } else if let Some(sealed) = thought.of("redactedContent").as_str() {
            let number = self.block(index, Block::SealedThought, out);
            out.push(Event::Proof(number, sealed.to_owned()));
        }
    }

    /// Tells a block of a whole answer, which has its pieces under other names.
    fn whole(&mut self, index: u64, block: &Value, out: &mut Vec<Event>) {
        let (call, thought) = (block.of("toolUse"), block.of("reasoningContent"));
        if call.is_object() {
            let number = self.call(index, call, out);
            out.push(Event::Delta(number, call.of("input").to_string()));
        } else if thought.of("reasoningText").is_object() {
            let told = thought.of("reasoningText");
            let number = self.block(index, Block::Thought, out);
            let text = |key: &str| told.of(key).as_str().map(str::to_owned);
            out.extend(text("text").map(|text| Event::Delta(number, text)));
            out.extend(text("signature").map(|proof| Event::Proof(number, proof)));
        } else {
            self.delta(index, block, out);
        }
    }

    fn close(&mut self, index: u64, out: &mut Vec<Event>) {
        let closed = self.open.extract_if(.., |opened| opened.index == index);
        out.extend(closed.map(|opened| Event::Close(opened.number)));
    }
}

/// Neither an id nor the model is stated.
const fn begin() -> Event {
    Event::Begin { id: None, model: None, created: None }
}

fn stop(holder: &Value) -> Option<Event> {
    let native = holder.of("stopReason").as_str()?.to_owned();
    let reason = match native.as_str() {
        "guardrail_intervened" | "content_filtered" => Reason::Filtered,
        // The words of Claude, for all models.
        word => reason(word),
    };
    Some(Event::Stop(Stop { reason, native, sequence: None }))
}

/// Input that a cache has seen is stated beside the rest.
fn usage(stated: &Value) -> Option<Usage> {
    let count = |name: &str| stated.of(name).as_u64();
    let (plain, output) = (count("inputTokens")?, count("outputTokens")?);
    let read = count("cacheReadInputTokens").unwrap_or(0);
    let write = count("cacheWriteInputTokens").unwrap_or(0);
    Some(Usage {
        input: plain.saturating_add(read).saturating_add(write),
        cache_read: read,
        cache_write: write,
        output,
        ..Usage::default()
    })
}

fn failure(kind: &str, event: &Value) -> InbandError {
    let status = match kind {
        "throttlingException" => Some(429),
        "validationException" => Some(400),
        "modelTimeoutException" => Some(504),
        "serviceUnavailableException" | "modelNotReadyException" => Some(503),
        _ => None,
    };
    let message = event.of("message").as_str().unwrap_or(kind).into();
    InbandError { kind: Some(kind.into()), message, status, ..InbandError::default() }
}

#[cfg(test)]
mod tests;
