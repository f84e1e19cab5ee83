//! Reads responses of a provider, whole and as events.

use serde_json::Value;

use crate::facts::{AnswerFacts, InbandError, ResponseStatus};
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::openai::{UsageRules, read_error, response};
use crate::translate::reply::{Block, Event, Reason, Stop};

use super::blocks::{Blocks, Place};

/// Reads a whole answer.
pub(crate) fn read_whole(body: &[u8], rules: UsageRules) -> Vec<Event> {
    let mut events = Vec::new();
    let mut reader = Reader::new(rules);
    reader.response(body, true, &mut events);
    let mut pull = Pull::new(body);
    if pull.enter_object() {
        while let Some(key) = pull.next_key() {
            let value = pull.skip().unwrap_or_default();
            if key == b"output" {
                reader.output(value, &mut events);
            }
        }
    }
    reader.ended(&mut events);
    events
}

/// Reads a stream.
#[derive(Debug)]
pub(crate) struct Reader {
    rules: UsageRules,
    facts: AnswerFacts,
    blocks: Blocks,
    begun: bool,
}

/// The members of an event that are asked for.
#[derive(Default)]
struct Told<'a> {
    kind: Option<Text<'a>>,
    place: Option<Place>,
    summary: u64,
    delta: Option<Text<'a>>,
    item: Option<&'a [u8]>,
    response: Option<&'a [u8]>,
}

impl Reader {
    pub(crate) fn new(rules: UsageRules) -> Self {
        Self { rules, facts: AnswerFacts::default(), blocks: Blocks::default(), begun: false }
    }

    /// Reads one event. The name repeats the member `type`.
    pub(crate) fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Event>) {
        let told = told(data);
        let kind = told.kind.map_or(name, |kind| kind.raw);
        let place = told.place.unwrap_or(Place { item: 0, part: 0 });
        let delta = || told.delta.map(Text::decode_lossy).unwrap_or_default();
        match kind {
            b"response.created" | b"response.in_progress" | b"response.queued" => {
                self.response(told.response.unwrap_or_default(), true, out);
            }
            b"response.output_text.delta" => {
                self.blocks.delta(place, Block::Text, delta(), out);
            }
            b"response.refusal.delta" => self.blocks.delta(place, Block::Refusal, delta(), out),
            b"response.reasoning_text.delta" => {
                self.blocks.delta(Place { part: 0, ..place }, Block::Thought, delta(), out);
            }
            b"response.reasoning_summary_text.delta" => {
                self.blocks.summary(place.item, told.summary, delta(), out);
            }
            b"response.function_call_arguments.delta" => {
                self.blocks.arguments(place.item, delta(), out);
            }
            b"response.content_part.done" => self.blocks.part_done(place, out),
            b"response.output_item.added" => self.blocks.begin(place.item, &item(&told), out),
            b"response.output_item.done" => self.blocks.end(place.item, &item(&told), out),
            b"response.completed"
            | b"response.incomplete"
            | b"response.failed"
            | b"response.cancelled" => {
                self.response(told.response.unwrap_or_default(), false, out);
                self.ended(out);
            }
            b"error" => out.push(Event::Error(error_event(data))),
            _ => {}
        }
    }

    /// The provider's stream has ended; its last event, if it came, has said all.
    #[expect(clippy::unused_self, reason = "every reader has this end")]
    #[expect(clippy::needless_pass_by_ref_mut, reason = "every reader has this end")]
    pub(crate) fn finish(&mut self, _out: &mut Vec<Event>) {}

    /// Takes the facts of a response object, and begins where nothing has.
    fn response(&mut self, object: &[u8], begins: bool, out: &mut Vec<Event>) {
        response(&mut Pull::new(object), self.rules, &mut self.facts);
        if begins && !std::mem::replace(&mut self.begun, true) {
            let text = |kept: &Option<Box<str>>| kept.as_deref().map(str::to_owned);
            out.push(Event::Begin {
                id: text(&self.facts.id),
                model: text(&self.facts.model),
                created: self.facts.created,
            });
        }
    }

    /// The items of a whole answer.
    fn output(&mut self, raw: &[u8], out: &mut Vec<Event>) {
        let mut pull = Pull::new(raw);
        if !pull.enter_array() {
            return;
        }
        let mut place = 0;
        while pull.next_item() {
            let item = serde_json::from_slice(pull.skip().unwrap_or_default());
            self.blocks.end(place, &item.unwrap_or_default(), out);
            place += 1;
        }
    }

    /// The response is over, in whatever state.
    fn ended(&mut self, out: &mut Vec<Event>) {
        out.extend(self.facts.usage.take().map(Event::Usage));
        let error = self.facts.error.take();
        let failed =
            matches!(self.facts.status, Some(ResponseStatus::Failed | ResponseStatus::Cancelled));
        if failed || error.is_some() {
            let unsaid = || InbandError {
                kind: Some("server_error".into()),
                message: "the response failed".into(),
                ..InbandError::default()
            };
            out.push(Event::Error(error.unwrap_or_else(unsaid)));
            return;
        }
        let native = self.facts.finish_reason.take().unwrap_or_default().into_string();
        let reason = match &*native {
            "max_output_tokens" | "max_messages" => Reason::Length,
            "content_filter" => Reason::Filtered,
            _ if self.blocks.any_call() => Reason::Calls,
            _ => Reason::End,
        };
        out.push(Event::Stop(Stop { reason, native, sequence: None }));
        out.push(Event::End);
    }
}

fn told(data: &[u8]) -> Told<'_> {
    let mut told = Told::default();
    let mut place = Place { item: 0, part: 0 };
    let mut pull = Pull::new(data);
    if !pull.enter_object() {
        return told;
    }
    while let Some(key) = pull.next_key() {
        match key {
            b"type" => told.kind = pull.string_or_skip(),
            b"delta" => told.delta = pull.string_or_skip(),
            b"output_index" => place.item = count(pull.skip()),
            b"content_index" => place.part = count(pull.skip()),
            b"summary_index" => told.summary = count(pull.skip()),
            b"item" => told.item = pull.skip(),
            b"response" => told.response = pull.skip(),
            _ => {
                pull.skip();
            }
        }
    }
    told.place = Some(place);
    told
}

fn item(told: &Told<'_>) -> Value {
    told.item.and_then(|item| serde_json::from_slice(item).ok()).unwrap_or_default()
}

fn count(raw: Option<&[u8]>) -> u64 {
    raw.and_then(|raw| str::from_utf8(raw).ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// `{"type":"error","code":…,"message":…}`, or with the error in a member of its own.
fn error_event(data: &[u8]) -> InbandError {
    let mut error = read_error(data).unwrap_or_default();
    error.kind.take_if(|kind| **kind == *"error");
    error
}
