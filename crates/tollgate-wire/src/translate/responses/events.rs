//! Shows an answer to a client of responses, event by event.
//!
//! Every block becomes an item of its own. The items are kept, because the last event repeats the
//! whole answer.

use tollgate_domain::call::Dialect;

use crate::error::provider_event;
use crate::facts::InbandError;
use crate::json::{push_fmt, push_string};
use crate::translate::View;
use crate::translate::custom;
use crate::translate::reply::{Answer, Block, Event, Filled};

use super::object::{State, item_id, push_item, push_part, push_response};

/// Writes the events of a stream.
#[derive(Debug)]
pub(crate) struct Writer {
    view: View,
    answer: Answer,
    /// The number of the next event.
    sequence: u64,
    lead: Lead,
}

/// What the deltas of one block have in common: almost all events are deltas.
#[derive(Debug, Default)]
struct Lead {
    /// The block; none before the first.
    number: Option<u32>,
    /// What stands in front of the text; empty where nothing is told before the end.
    bytes: Vec<u8>,
    /// What stands behind it.
    tail: &'static [u8],
}

/// What the events of a block are called.
struct Names {
    /// The event for more, and its end; empty where nothing is told before the end.
    delta: &'static str,
    done: &'static str,
    /// The member that says it whole.
    member: &'static str,
    /// The part that it stands in, where its items have parts.
    part: Option<Part>,
}

/// A part of an item.
#[derive(Clone, Copy)]
struct Part {
    index: &'static str,
    added: &'static str,
    done: &'static str,
}

const CONTENT: Part = Part {
    index: "content_index",
    added: "response.content_part.added",
    done: "response.content_part.done",
};
const SUMMARY: Part = Part {
    index: "summary_index",
    added: "response.reasoning_summary_part.added",
    done: "response.reasoning_summary_part.done",
};

impl Writer {
    pub(crate) fn new(view: &View) -> Self {
        Self { view: view.clone(), answer: Answer::default(), sequence: 0, lead: Lead::default() }
    }

    /// Appends what the client gets for an event.
    pub(crate) fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.answer.push(event);
        match event {
            Event::Begin { .. } => {
                self.response("response.created", State::InProgress, out);
                self.response("response.in_progress", State::InProgress, out);
            }
            Event::Open(number, _) => self.open(*number, out),
            Event::Delta(number, text) => self.delta(*number, text, out),
            Event::Close(number) => self.close(*number, out),
            Event::Error(error) => self.fail(error, out),
            Event::End if self.answer.error.is_none() => {
                let state = State::of(self.answer.stop.as_ref());
                let kind = match state {
                    State::Incomplete => "response.incomplete",
                    _ => "response.completed",
                };
                self.response(kind, state, out);
            }
            Event::End | Event::Proof(..) | Event::Stop(_) | Event::Usage(_) => {}
        }
    }

    fn fail(&mut self, error: &InbandError, out: &mut Vec<u8>) {
        provider_event(out, Dialect::Openai, error, Some(self.sequence));
        self.sequence += 1;
        self.response("response.failed", State::Failed, out);
    }

    fn response(&mut self, kind: &str, state: State, out: &mut Vec<u8>) {
        begin(out, kind);
        out.extend_from_slice(b"\"response\":");
        push_response(out, &self.answer, &self.view, state);
        self.end(out);
    }

    fn open(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some((place, filled)) = self.block(number) else { return };
        begin(out, "response.output_item.added");
        push_fmt(out, format_args!("\"output_index\":{place},\"item\":"));
        push_item(out, filled, &self.view, State::InProgress);
        let has_part = matches!(filled.block, Block::Text | Block::Refusal);
        self.end(out);
        if has_part {
            self.part(number, "", |part| part.added, out);
        }
    }

    fn delta(&mut self, number: u32, text: &str, out: &mut Vec<u8>) {
        if self.lead.number != Some(number) {
            self.begin_deltas(number, text, out);
        }
        if self.lead.bytes.is_empty() {
            return;
        }
        out.extend_from_slice(&self.lead.bytes);
        push_string(out, text);
        out.extend_from_slice(self.lead.tail);
        self.end(out);
    }

    /// Prepares what the deltas of a block have in common; `text` is the first of them.
    fn begin_deltas(&mut self, number: u32, text: &str, out: &mut Vec<u8>) {
        let Some((_, filled)) = self.block(number) else { return };
        // Providers show thoughts or not: only one that is shown has a summary.
        if filled.block == Block::Thought && filled.text.len() == text.len() {
            self.part(number, "", |part| part.added, out);
        }
        let Some((place, filled)) = self.block(number) else { return };
        let names = names(filled, &self.view);
        let mut lead = Lead { number: Some(number), ..Lead::default() };
        if !names.delta.is_empty() {
            begin(&mut lead.bytes, names.delta);
            push_place(&mut lead.bytes, &item_id(filled, &self.view), place, names.part);
            lead.bytes.extend_from_slice(b",\"delta\":");
            lead.tail = logprobs(&filled.block);
        }
        self.lead = lead;
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some((_, filled)) = self.block(number) else { return };
        let text = match &filled.block {
            Block::Call { name, .. } if self.view.custom_tools.contains(name) => {
                custom::unwrapped(&filled.text)
            }
            _ => filled.text.clone(),
        };
        match &filled.block {
            Block::SealedThought => {}
            Block::Thought if text.is_empty() => {}
            Block::Call { name, .. } if self.view.custom_tools.contains(name) => {
                self.said(number, ["response.custom_tool_call_input.delta", "delta"], &text, out);
                self.said(number, ["response.custom_tool_call_input.done", "input"], &text, out);
            }
            _ => {
                let names = names(filled, &self.view);
                self.said(number, [names.done, names.member], &text, out);
                self.part(number, &text, |part| part.done, out);
            }
        }
        let Some((place, filled)) = self.block(number) else { return };
        begin(out, "response.output_item.done");
        push_fmt(out, format_args!("\"output_index\":{place},\"item\":"));
        push_item(out, filled, &self.view, State::Completed);
        self.end(out);
    }

    /// An event with what a block says.
    fn said(&mut self, number: u32, [kind, member]: [&str; 2], text: &str, out: &mut Vec<u8>) {
        let Some((place, filled)) = self.block(number) else { return };
        begin(out, kind);
        push_place(out, &item_id(filled, &self.view), place, names(filled, &self.view).part);
        if let (Block::Call { name, .. }, "arguments") = (&filled.block, member) {
            out.extend_from_slice(b",\"name\":");
            push_string(out, name);
        }
        push_fmt(out, format_args!(",\"{member}\":"));
        push_string(out, text);
        out.extend_from_slice(logprobs(&filled.block));
        self.end(out);
    }

    /// The beginning or the end of the part that a block is.
    fn part(&mut self, number: u32, text: &str, kind: fn(Part) -> &'static str, out: &mut Vec<u8>) {
        let Some((place, filled)) = self.block(number) else { return };
        let Some(part) = names(filled, &self.view).part else { return };
        begin(out, kind(part));
        push_place(out, &item_id(filled, &self.view), place, Some(part));
        out.extend_from_slice(b",\"part\":");
        push_part(out, &filled.block, text);
        self.end(out);
    }

    fn block(&self, number: u32) -> Option<(usize, &Filled)> {
        self.answer.blocks.iter().enumerate().rfind(|(_, filled)| filled.number == number)
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        push_fmt(out, format_args!(",\"sequence_number\":{}}}\n\n", self.sequence));
        self.sequence += 1;
    }
}

fn begin(out: &mut Vec<u8>, kind: &str) {
    push_fmt(out, format_args!("event: {kind}\ndata: {{\"type\":\"{kind}\","));
}

fn push_place(out: &mut Vec<u8>, id: &str, place: usize, part: Option<Part>) {
    out.extend_from_slice(b"\"item_id\":");
    push_string(out, id);
    push_fmt(out, format_args!(",\"output_index\":{place}"));
    if let Some(part) = part {
        push_fmt(out, format_args!(",\"{}\":0", part.index));
    }
}

const fn logprobs(block: &Block) -> &'static [u8] {
    if matches!(block, Block::Text) { b",\"logprobs\":[]" } else { b"" }
}

fn names(filled: &Filled, view: &View) -> Names {
    let (delta, done, member, part) = match &filled.block {
        Block::Text => {
            ("response.output_text.delta", "response.output_text.done", "text", Some(CONTENT))
        }
        Block::Refusal => {
            ("response.refusal.delta", "response.refusal.done", "refusal", Some(CONTENT))
        }
        Block::Thought => (
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "text",
            Some(SUMMARY),
        ),
        Block::Call { name, .. } if !view.custom_tools.contains(name) => (
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "arguments",
            None,
        ),
        Block::Call { .. } | Block::SealedThought => ("", "", "", None),
    };
    Names { delta, done, member, part }
}
