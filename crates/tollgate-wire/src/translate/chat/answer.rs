//! Reads chat completions of a provider, whole and as chunks: both are the same object, with what
//! was said in `message` or in `delta`.
//!
//! Only the first choice is read, as only one is ever asked for.

use crate::facts::AnswerFacts;
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::openai::{UsageRules, member};
use crate::translate::reply::{Block, Event, Reason, Stop};

use super::calls::{Calls, Piece};

/// Reads a whole answer.
pub(crate) fn read_whole(body: &[u8], rules: UsageRules) -> Vec<Event> {
    let mut events = Vec::new();
    let mut reader = Reader::new(rules);
    reader.event(b"", body, &mut events);
    reader.end(&mut events);
    events
}

/// Reads a stream.
#[derive(Debug)]
pub(crate) struct Reader {
    rules: UsageRules,
    facts: AnswerFacts,
    begun: bool,
    /// The block of text that is open.
    open: Option<(u32, Block)>,
    /// The number of the next block.
    next: u32,
    calls: Calls,
    stopped: bool,
}

/// What a message or a delta holds.
#[derive(Default)]
struct Said<'a> {
    thought: Option<&'a [u8]>,
    content: Option<&'a [u8]>,
    refusal: Option<&'a [u8]>,
    calls: Option<&'a [u8]>,
}

impl Reader {
    pub(crate) fn new(rules: UsageRules) -> Self {
        Self {
            rules,
            facts: AnswerFacts::default(),
            begun: false,
            open: None,
            next: 0,
            calls: Calls::default(),
            stopped: false,
        }
    }

    /// Reads one event; this form does not name them.
    pub(crate) fn event(&mut self, _name: &[u8], data: &[u8], out: &mut Vec<Event>) {
        if data.trim_ascii() == b"[DONE]" {
            self.end(out);
        } else {
            self.object(data, out);
        }
    }

    /// The provider's stream has ended, with its last event or without.
    pub(crate) fn finish(&mut self, out: &mut Vec<Event>) {
        if self.stopped {
            self.end(out);
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        self.close(out);
        self.calls.finish(&mut self.next, out);
        out.push(Event::End);
    }

    fn object(&mut self, data: &[u8], out: &mut Vec<Event>) {
        let from = out.len();
        let mut pull = Pull::new(data);
        if !pull.enter_object() {
            return;
        }
        let mut choice = None;
        while let Some(key) = pull.next_key() {
            match key {
                b"choices" => choice = first(&mut pull).or(choice),
                b"object" => self.error_object(&mut pull, data),
                _ => member(key, &mut pull, self.rules, true, &mut self.facts),
            }
        }
        if let Some(choice) = choice {
            self.choice(choice, out);
            if !self.begun {
                self.begun = true;
                out.insert(from, self.begin());
            }
        }
        out.extend(self.facts.usage.take().map(Event::Usage));
        out.extend(self.facts.error.take().map(Event::Error));
    }

    fn begin(&self) -> Event {
        let text = |kept: &Option<Box<str>>| kept.as_deref().map(str::to_owned);
        Event::Begin {
            id: text(&self.facts.id),
            model: text(&self.facts.model),
            created: self.facts.created,
        }
    }

    /// `"object":"error"` marks an event that is an error as a whole (Mistral).
    fn error_object(&mut self, pull: &mut Pull<'_>, data: &[u8]) {
        if pull.string_or_skip().is_some_and(|object| object.raw == b"error") {
            self.facts.error = crate::openai::read_error(data);
        }
    }

    fn choice(&mut self, choice: &[u8], out: &mut Vec<Event>) {
        let mut pull = Pull::new(choice);
        let (mut said, mut reason) = (None, None);
        if !pull.enter_object() {
            return;
        }
        while let Some(key) = pull.next_key() {
            match key {
                b"message" | b"delta" => said = pull.skip(),
                b"finish_reason" => reason = pull.string_or_skip().map(Text::decode_lossy),
                _ => {
                    pull.skip();
                }
            }
        }
        if let Some(said) = said {
            self.said(&parts(said), out);
        }
        if let Some(native) = reason.filter(|reason| !reason.is_empty()) {
            self.stop(native, out);
        }
    }

    fn said(&mut self, said: &Said<'_>, out: &mut Vec<Event>) {
        if let Some(raw) = said.thought {
            self.text(Block::Thought, &decoded(raw), out);
        }
        match said.content {
            Some(raw) if raw.starts_with(b"[") => self.pieces(raw, out),
            Some(raw) => self.text(Block::Text, &decoded(raw), out),
            None => {}
        }
        if let Some(raw) = said.refusal {
            self.text(Block::Refusal, &decoded(raw), out);
        }
        if let Some(raw) = said.calls {
            self.pieces_of_calls(raw, out);
        }
    }

    fn pieces_of_calls(&mut self, raw: &[u8], out: &mut Vec<Event>) {
        let mut pull = Pull::new(raw);
        if !pull.enter_array() {
            return;
        }
        self.close(out);
        let answer = self.facts.id.as_deref().unwrap_or("0");
        let mut place = 0;
        while pull.next_item() {
            let piece = Piece::read(pull.skip().unwrap_or_default(), place);
            self.calls.piece(piece, answer, &mut self.next, out);
            place += 1;
        }
    }

    /// Content as a list of parts, among them thoughts (Mistral).
    fn pieces(&mut self, raw: &[u8], out: &mut Vec<Event>) {
        let mut pull = Pull::new(raw);
        pull.enter_array();
        while pull.next_item() {
            if !pull.enter_object() {
                pull.skip();
                continue;
            }
            while let Some(key) = pull.next_key() {
                let value = pull.skip().unwrap_or_default();
                match key {
                    b"text" => self.text(Block::Text, &decoded(value), out),
                    b"thinking" => self.text(Block::Thought, &texts(value).concat(), out),
                    _ => {}
                }
            }
        }
    }

    fn text(&mut self, block: Block, text: &str, out: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        let number = match &self.open {
            Some((number, open)) if *open == block => *number,
            _ => {
                self.close(out);
                self.calls.finish(&mut self.next, out);
                let number = self.next;
                self.next += 1;
                out.push(Event::Open(number, block.clone()));
                self.open = Some((number, block));
                number
            }
        };
        out.push(Event::Delta(number, text.to_owned()));
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        out.extend(self.open.take().map(|(number, _)| Event::Close(number)));
    }

    fn stop(&mut self, native: String, out: &mut Vec<Event>) {
        self.close(out);
        self.calls.finish(&mut self.next, out);
        self.stopped = true;
        let reason = match &*native {
            "length" | "model_length" => Reason::Length,
            "content_filter" => Reason::Filtered,
            _ if self.calls.any() => Reason::Calls,
            _ => Reason::End,
        };
        out.push(Event::Stop(Stop { reason, native, sequence: None }));
    }
}

/// The choice whose index is zero, or unsaid.
fn first<'a>(pull: &mut Pull<'a>) -> Option<&'a [u8]> {
    if !pull.enter_array() {
        pull.skip();
        return None;
    }
    let mut found = None;
    while pull.next_item() {
        let choice = pull.skip();
        if found.is_none() && choice.is_some_and(is_first) {
            found = choice;
        }
    }
    found
}

fn is_first(choice: &[u8]) -> bool {
    let mut pull = Pull::new(choice);
    if !pull.enter_object() {
        return false;
    }
    while let Some(key) = pull.next_key() {
        let value = pull.skip();
        if key == b"index" {
            return value == Some(b"0");
        }
    }
    true
}

fn parts(said: &[u8]) -> Said<'_> {
    let mut parts = Said::default();
    let mut pull = Pull::new(said);
    if !pull.enter_object() {
        return parts;
    }
    while let Some(key) = pull.next_key() {
        let value = pull.skip().filter(|raw| *raw != b"null" && *raw != b"\"\"");
        match key {
            b"reasoning_content" => parts.thought = value.or(parts.thought),
            b"reasoning" => parts.thought = parts.thought.or(value),
            b"content" => parts.content = value,
            b"refusal" => parts.refusal = value,
            b"tool_calls" => parts.calls = value,
            _ => {}
        }
    }
    parts
}

/// The text of a string as it stands in the document; empty where it is none.
pub(super) fn decoded(raw: &[u8]) -> String {
    Pull::new(raw).string().map(Text::decode_lossy).unwrap_or_default()
}

/// A text, or the texts of a list of parts.
fn texts(raw: &[u8]) -> Vec<String> {
    let mut pull = Pull::new(raw);
    if !pull.enter_array() {
        return vec![decoded(raw)];
    }
    let mut texts = Vec::new();
    while pull.next_item() {
        if !pull.enter_object() {
            pull.skip();
            continue;
        }
        while let Some(key) = pull.next_key() {
            let value = pull.skip().unwrap_or_default();
            if key == b"text" {
                texts.push(decoded(value));
            }
        }
    }
    texts
}
