//! Shows an answer to a client of chat completions, chunk by chunk.
//!
//! The head that all chunks share is written once. A usage chunk comes only where the client asked
//! for it, and then every chunk has a `usage` member, as OpenAI has it.

use tollgate_domain::call::Dialect;
use tollgate_domain::usage::Usage;

use crate::error::provider_event;
use crate::json::{push_fmt, push_string};
use crate::openai::push_usage;
use crate::translate::View;
use crate::translate::custom;
use crate::translate::reply::{Block, Event, Filled, Stop};

use super::show::{Said, proven, push_call, push_finish, push_head};

/// Writes the chunks of a stream.
#[derive(Debug)]
pub(crate) struct Writer {
    view: View,
    /// `data: ` and the chunk up to its choices.
    head: Vec<u8>,
    /// The first chunk, which says the role, has been written.
    begun: bool,
    open: Vec<Opened>,
    /// How many calls and blocks there were.
    calls: u32,
    blocks: usize,
    usage: Option<Usage>,
    failed: bool,
}

/// A block that is open.
#[derive(Debug)]
struct Opened {
    filled: Filled,
    /// The place of a call among the calls.
    call: u32,
    /// The block's place in the answer.
    place: usize,
    /// The tool takes one text, which is shown once it is whole.
    custom: bool,
}

impl Writer {
    pub(crate) fn new(view: &View) -> Self {
        Self {
            view: view.clone(),
            head: Vec::new(),
            begun: false,
            open: Vec::new(),
            calls: 0,
            blocks: 0,
            usage: None,
            failed: false,
        }
    }

    /// Appends what the client gets for an event.
    pub(crate) fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Begin { id, created, .. } => {
                self.head.extend_from_slice(b"data: ");
                let id = id.as_deref();
                push_head(&mut self.head, id, *created, &self.view, "chat.completion.chunk");
            }
            Event::Open(number, block) => self.open(*number, block, out),
            Event::Delta(number, text) => self.delta(*number, text, out),
            Event::Proof(number, proof) => {
                if let Some(opened) = self.opened(*number) {
                    opened.filled.proof = Some(proof.clone());
                }
            }
            Event::Close(number) => self.close(*number, out),
            Event::Stop(stop) => self.stop(stop, out),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Error(error) => {
                self.failed = true;
                provider_event(out, Dialect::Openai, error, None);
            }
            Event::End => self.end(out),
        }
    }

    fn opened(&mut self, number: u32) -> Option<&mut Opened> {
        self.open.iter_mut().find(|opened| opened.filled.number == number)
    }

    fn open(&mut self, number: u32, block: &Block, out: &mut Vec<u8>) {
        self.role(matches!(block, Block::Text), out);
        let (mut call, mut custom) = (0, false);
        if let Block::Call { id, name } = block {
            call = self.calls;
            self.calls += 1;
            custom = self.view.custom_tools.contains(name);
            self.begin(out);
            push_fmt(out, format_args!("\"tool_calls\":[{{\"index\":{call},"));
            push_call(out, id, name, if custom { Said::Input("") } else { Said::Arguments("") });
            out.extend_from_slice(b"}]");
            self.finish(None, out);
        }
        let filled = Filled { number, block: block.clone(), text: String::new(), proof: None };
        self.open.push(Opened { filled, call, place: self.blocks, custom });
        self.blocks += 1;
    }

    fn delta(&mut self, number: u32, text: &str, out: &mut Vec<u8>) {
        let Some(opened) = self.opened(number) else { return };
        let (call, custom) = (opened.call, opened.custom);
        let member = match &opened.filled.block {
            Block::Text => "content",
            Block::Refusal => "refusal",
            Block::Thought => {
                opened.filled.text.push_str(text);
                "reasoning_content"
            }
            Block::SealedThought => return,
            Block::Call { .. } if custom => {
                opened.filled.text.push_str(text);
                return;
            }
            Block::Call { .. } => return self.said(call, ["function", "arguments"], text, out),
        };
        self.begin(out);
        push_fmt(out, format_args!("\"{member}\":"));
        push_string(out, text);
        self.finish(None, out);
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(at) = self.open.iter().position(|opened| opened.filled.number == number) else {
            return;
        };
        let opened = self.open.swap_remove(at);
        if opened.custom {
            let text = custom::unwrapped(&opened.filled.text);
            self.said(opened.call, ["custom", "input"], &text, out);
        } else if let Some(detail) = proven(opened.place, &opened.filled) {
            self.begin(out);
            push_fmt(out, format_args!("\"reasoning_details\":[{detail}]"));
            self.finish(None, out);
        }
    }

    /// A piece of what a call says.
    fn said(&self, call: u32, [kind, member]: [&str; 2], text: &str, out: &mut Vec<u8>) {
        self.begin(out);
        push_fmt(
            out,
            format_args!("\"tool_calls\":[{{\"index\":{call},\"{kind}\":{{\"{member}\":"),
        );
        push_string(out, text);
        out.extend_from_slice(b"}}]");
        self.finish(None, out);
    }

    fn stop(&mut self, stop: &Stop, out: &mut Vec<u8>) {
        self.role(true, out);
        self.begin(out);
        self.finish(Some(stop), out);
    }

    fn end(&self, out: &mut Vec<u8>) {
        if self.failed {
            return;
        }
        if let Some(usage) = self.usage.filter(|_| self.view.include_usage) {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b"],\"usage\":");
            push_usage(out, &usage);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// The first chunk, which says who speaks.
    fn role(&mut self, is_text: bool, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        self.begin(out);
        let content = if is_text { "\"\"" } else { "null" };
        push_fmt(
            out,
            format_args!("\"role\":\"assistant\",\"content\":{content},\"refusal\":null"),
        );
        self.finish(None, out);
    }

    fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":0,\"delta\":{");
    }

    fn finish(&self, stop: Option<&Stop>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"},\"logprobs\":null");
        match stop {
            Some(_) => push_finish(out, stop),
            None => out.extend_from_slice(b",\"finish_reason\":null"),
        }
        let usage: &[u8] = if self.view.include_usage { b"}],\"usage\":null}" } else { b"}]}" };
        out.extend_from_slice(usage);
        out.extend_from_slice(b"\n\n");
    }
}
