//! Reads Claude's answers.

use serde_json::Value;

use crate::facts::InbandError;
use crate::openai::read_error;
use crate::translate::reply::{Block, Event, Stop};
use crate::translate::tree::Tree as _;

use super::reason;
use super::usage::Stated;

/// Reads a whole answer.
pub(crate) fn read_whole(body: &[u8]) -> Vec<Event> {
    let answer: Value = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(_) => return vec![Event::Error(unreadable())],
    };
    if answer.of("type") == "error" {
        return vec![Event::Error(read_error(body).unwrap_or_else(unreadable))];
    }
    let mut out = vec![begin(&answer)];
    let mut reader = Reader::default();
    let blocks = answer.of("content").as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, block) in (0..).zip(blocks) {
        reader.open(index, block, &mut out);
        reader.started(index, block, &mut out);
        reader.close(index, &mut out);
    }
    if reader.usage.take(answer.get("usage")) {
        out.push(Event::Usage(reader.usage.usage()));
    }
    out.extend(stop(&answer));
    out.push(Event::End);
    out
}

/// An answer that cannot be understood.
pub(in crate::translate) fn unreadable() -> InbandError {
    InbandError {
        message: "the provider's answer cannot be read".into(),
        status: Some(502),
        ..InbandError::default()
    }
}

/// Reads a stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    usage: Stated,
    /// The blocks that are open and told.
    open: Vec<Opened>,
    next: u32,
}

#[derive(Debug)]
struct Opened {
    index: u64,
    number: u32,
    /// What the block held when it began, where it is a call: some vendors send it whole.
    input: Option<String>,
}

impl Reader {
    /// Takes an event.
    pub(crate) fn event(&mut self, _name: &[u8], data: &[u8], out: &mut Vec<Event>) {
        let Ok(event) = serde_json::from_slice::<Value>(data) else { return };
        let index = event.of("index").as_u64().unwrap_or(0);
        match event.of("type").as_str().unwrap_or_default() {
            "message_start" => {
                let message = event.of("message");
                out.push(begin(message));
                self.usage.take(message.get("usage"));
            }
            "content_block_start" => {
                let block = event.of("content_block");
                self.open(index, block, out);
                self.started(index, block, out);
            }
            "content_block_delta" => self.delta(index, event.of("delta"), out),
            "content_block_stop" => self.close(index, out),
            "message_delta" => {
                out.extend(stop(event.of("delta")));
                if self.usage.take(event.get("usage")) {
                    out.push(Event::Usage(self.usage.usage()));
                }
            }
            "message_stop" => out.push(Event::End),
            "error" => out.push(Event::Error(read_error(data).unwrap_or_else(unreadable))),
            _ => {}
        }
    }

    fn open(&mut self, index: u64, block: &Value, out: &mut Vec<Event>) {
        let text = |key: &str| block.of(key).as_str().unwrap_or_default().to_owned();
        let kind = match block.of("type").as_str().unwrap_or_default() {
            "text" => Block::Text,
            "thinking" => Block::Thought,
            "redacted_thinking" => Block::SealedThought,
            "tool_use" => Block::Call { id: text("id"), name: text("name") },
            // What a tool of the provider did; no translated request has one.
            _ => return,
        };
        let input = matches!(kind, Block::Call { .. }).then(|| block.of("input").clone());
        let input = input.filter(|input| input.as_object().is_some_and(|input| !input.is_empty()));
        let number = self.next;
        self.next += 1;
        self.open.push(Opened { index, number, input: input.map(|input| input.to_string()) });
        out.push(Event::Open(number, kind));
    }

    /// Tells what an opened block holds: in a stream mostly nothing yet.
    fn started(&self, index: u64, block: &Value, out: &mut Vec<Event>) {
        let Some(number) = self.number(index) else { return };
        let told = ["text", "thinking"].iter().filter_map(|key| block.of(key).as_str());
        out.extend(
            told.filter(|text| !text.is_empty()).map(|text| Event::Delta(number, text.to_owned())),
        );
        let proofs = ["data", "signature"].iter().filter_map(|key| block.of(key).as_str());
        out.extend(
            proofs
                .filter(|proof| !proof.is_empty())
                .map(|proof| Event::Proof(number, proof.to_owned())),
        );
    }

    fn number(&self, index: u64) -> Option<u32> {
        self.open.iter().find(|opened| opened.index == index).map(|opened| opened.number)
    }

    fn delta(&mut self, index: u64, delta: &Value, out: &mut Vec<Event>) {
        let Some(opened) = self.open.iter_mut().find(|opened| opened.index == index) else {
            return;
        };
        let number = opened.number;
        let text =
            |key: &str| delta.of(key).as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let piece = match delta.of("type").as_str().unwrap_or_default() {
            "text_delta" => text("text"),
            "thinking_delta" => text("thinking"),
            "input_json_delta" => text("partial_json").inspect(|_| opened.input = None),
            "signature_delta" => {
                out.extend(text("signature").map(|proof| Event::Proof(number, proof)));
                None
            }
            _ => None,
        };
        out.extend(piece.map(|piece| Event::Delta(number, piece)));
    }

    fn close(&mut self, index: u64, out: &mut Vec<Event>) {
        let Some(place) = self.open.iter().position(|opened| opened.index == index) else { return };
        let opened = self.open.remove(place);
        out.extend(opened.input.map(|input| Event::Delta(opened.number, input)));
        out.push(Event::Close(opened.number));
    }
}

fn begin(message: &Value) -> Event {
    let text = |key: &str| message.of(key).as_str().map(str::to_owned);
    Event::Begin { id: text("id"), model: text("model"), created: None }
}

fn stop(holder: &Value) -> Option<Event> {
    let native = holder.of("stop_reason").as_str()?.to_owned();
    let sequence = holder.of("stop_sequence").as_str().map(str::to_owned);
    Some(Event::Stop(Stop { reason: reason(&native), native, sequence }))
}

#[cfg(test)]
mod tests;
