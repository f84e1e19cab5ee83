//! The blocks of a response while its events come: parts of items, found by their places.
//!
//! What came as deltas is not repeated when the item is stated whole at its end; what did not is
//! taken from there. So a whole answer is read as items that end.

use serde_json::Value;

use crate::translate::custom;
use crate::translate::reply::{Block, Event};

/// Where a part of the answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The item among the output.
    pub(super) item: u64,
    /// The part of its content; 0 for items that have one.
    pub(super) part: u64,
}

/// The blocks so far.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    blocks: Vec<Known>,
    any_call: bool,
}

#[derive(Debug)]
struct Known {
    place: Place,
    number: u32,
    /// Something was said.
    said: bool,
    closed: bool,
    /// The part of a summary that was spoken of last.
    summary: u64,
}

impl Blocks {
    /// Whether a tool was called.
    pub(super) fn any_call(&self) -> bool {
        self.any_call
    }

    /// A call has begun; the text of a custom tool comes at its end.
    pub(super) fn begin(&mut self, item: u64, value: &Value, out: &mut Vec<Event>) {
        if let Some(block) = call(value) {
            self.block(Place { item, part: 0 }, block, out);
        }
    }

    /// More of a text, a thought or arguments.
    pub(super) fn delta(&mut self, place: Place, block: Block, text: String, out: &mut Vec<Event>) {
        let known = self.block(place, block, out);
        known.said = true;
        out.push(Event::Delta(known.number, text));
    }

    /// More of a part of a thought's summary. Parts are paragraphs of one thought.
    pub(super) fn summary(&mut self, item: u64, part: u64, text: String, out: &mut Vec<Event>) {
        let known = self.block(Place { item, part: 0 }, Block::Thought, out);
        if known.said && known.summary != part {
            out.push(Event::Delta(known.number, "\n\n".to_owned()));
        }
        known.said = true;
        known.summary = part;
        out.push(Event::Delta(known.number, text));
    }

    /// More of the arguments of a call that has begun.
    pub(super) fn arguments(&mut self, item: u64, text: String, out: &mut Vec<Event>) {
        let place = Place { item, part: 0 };
        if let Some(known) = self.blocks.iter_mut().find(|known| known.place == place) {
            known.said = true;
            out.push(Event::Delta(known.number, text));
        }
    }

    /// An item is whole.
    pub(super) fn end(&mut self, item: u64, value: &Value, out: &mut Vec<Event>) {
        let text = |value: &Value, key: &str| {
            value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        match value.get("type").and_then(Value::as_str) {
            Some("message") => {
                for (part, content) in (0..).zip(list(value, "content")) {
                    let place = Place { item, part };
                    if content.get("type").and_then(Value::as_str) == Some("refusal") {
                        self.rest(place, Block::Refusal, text(content, "refusal"), out);
                    } else {
                        self.rest(place, Block::Text, text(content, "text"), out);
                    }
                }
            }
            Some("reasoning") => self.thought(item, value, out),
            Some("function_call" | "custom_tool_call") => {
                if let Some(block) = call(value) {
                    let said = match value.get("input").and_then(Value::as_str) {
                        Some(input) => custom::wrapped(input),
                        None => text(value, "arguments"),
                    };
                    self.rest(Place { item, part: 0 }, block, said, out);
                }
            }
            _ => {}
        }
        self.close(item, out);
    }

    fn thought(&mut self, item: u64, value: &Value, out: &mut Vec<Event>) {
        let texts = |key| {
            let parts = list(value, key).filter_map(|part| part.get("text")?.as_str());
            parts.collect::<Vec<_>>().join("\n\n")
        };
        let (shown, summary) = (texts("content"), texts("summary"));
        let text = if shown.is_empty() { summary } else { shown };
        let proof = value.get("encrypted_content").and_then(Value::as_str);
        let place = Place { item, part: 0 };
        let begun = self.blocks.iter().any(|known| known.place == place);
        if !text.is_empty() {
            self.rest(place, Block::Thought, text, out);
        }
        if let Some(proof) = proof {
            let sealed = if begun { Block::Thought } else { Block::SealedThought };
            let number = self.block(place, sealed, out).number;
            out.push(Event::Proof(number, proof.to_owned()));
        }
    }

    /// What an item says at its end, where it was not said before.
    fn rest(&mut self, place: Place, block: Block, text: String, out: &mut Vec<Event>) {
        let known = self.block(place, block, out);
        if !known.said && !text.is_empty() {
            known.said = true;
            out.push(Event::Delta(known.number, text));
        }
    }

    /// Closes the blocks of an item.
    fn close(&mut self, item: u64, out: &mut Vec<Event>) {
        for known in self.blocks.iter_mut().filter(|known| known.place.item == item) {
            if !std::mem::replace(&mut known.closed, true) {
                out.push(Event::Close(known.number));
            }
        }
    }

    /// A part of an item's content has ended.
    pub(super) fn part_done(&mut self, place: Place, out: &mut Vec<Event>) {
        let found = self.blocks.iter_mut().find(|known| known.place == place && !known.closed);
        if let Some(known) = found {
            known.closed = true;
            out.push(Event::Close(known.number));
        }
    }

    /// The block at a place, opened where it is new.
    fn block(&mut self, place: Place, block: Block, out: &mut Vec<Event>) -> &mut Known {
        let at = self.blocks.iter().rposition(|known| known.place == place);
        // Moved to the end, where it can be returned without a second search.
        let known = match at {
            Some(at) => self.blocks.remove(at),
            None => {
                self.any_call |= matches!(block, Block::Call { .. });
                let number = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
                out.push(Event::Open(number, block));
                Known { place, number, said: false, closed: false, summary: 0 }
            }
        };
        self.blocks.push_mut(known)
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn call(item: &Value) -> Option<Block> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
    match text("type")?.as_str() {
        "function_call" | "custom_tool_call" => {
            Some(Block::Call { id: text("call_id").or_else(|| text("id"))?, name: text("name")? })
        }
        _ => None,
    }
}
