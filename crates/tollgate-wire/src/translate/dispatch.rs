//! Which spoke serves which form. A form has one line in each table here and nothing elsewhere.

use crate::peek::BodyError;

use super::prompt::Prompt;
use super::reply::Event;
use super::{Form, Target, View, Written};
use super::{chat, converse, gemini, messages, responses};

/// Reads a client's request.
pub(super) fn read(
    form: Form,
    model_in_path: Option<&str>,
    body: &[u8],
) -> Result<Prompt, BodyError> {
    match form {
        Form::Chat => chat::read(model_in_path, body),
        Form::Responses => responses::read(model_in_path, body),
        Form::Messages => messages::read(model_in_path, body),
        Form::Gemini => gemini::read(model_in_path, body),
        Form::Converse => Err(not_served()),
    }
}

/// Writes the request to a provider.
pub(super) fn write(
    form: Form,
    prompt: &Prompt,
    target: &Target<'_>,
) -> Result<Written, BodyError> {
    match form {
        Form::Chat => chat::write(prompt, target),
        Form::Responses => responses::write(prompt, target),
        Form::Messages => messages::write(prompt, target),
        Form::Gemini => gemini::write(prompt, target),
        Form::Converse => converse::write(prompt, target),
    }
}

/// Reads a provider's whole answer.
pub(super) fn read_whole(form: Form, body: &[u8], view: &View) -> Vec<Event> {
    match form {
        Form::Chat => chat::read_whole(body, view.rules),
        Form::Responses => responses::read_whole(body, view.rules),
        Form::Messages => messages::read_whole(body),
        Form::Gemini => gemini::read_whole(body),
        Form::Converse => converse::read_whole(body),
    }
}

/// Writes a whole answer for a client.
pub(super) fn write_whole(form: Form, events: &[Event], view: &View) -> Vec<u8> {
    match form {
        Form::Chat => chat::write_whole(events, view),
        Form::Responses => responses::write_whole(events, view),
        Form::Messages => messages::write_whole(events, view),
        Form::Gemini => gemini::write_whole(events, view),
        Form::Converse => Vec::new(),
    }
}

fn not_served() -> BodyError {
    let message = "requests in the form of Bedrock are served to its own models only".to_owned();
    BodyError { message, param: None }
}

/// The reader of a provider's stream.
#[derive(Debug)]
pub(super) enum AnyReader {
    Chat(chat::Reader),
    Responses(responses::Reader),
    Messages(messages::Reader),
    Gemini(gemini::Reader),
    Converse(converse::Reader),
}

impl AnyReader {
    pub(super) fn new(form: Form, view: &View) -> Self {
        match form {
            Form::Chat => Self::Chat(chat::Reader::new(view.rules)),
            Form::Responses => Self::Responses(responses::Reader::new(view.rules)),
            Form::Messages => Self::Messages(messages::Reader::default()),
            Form::Gemini => Self::Gemini(gemini::Reader::default()),
            Form::Converse => Self::Converse(converse::Reader::default()),
        }
    }

    pub(super) fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Event>) {
        match self {
            Self::Chat(reader) => reader.event(name, data, out),
            Self::Responses(reader) => reader.event(name, data, out),
            Self::Messages(reader) => reader.event(name, data, out),
            Self::Gemini(reader) => reader.event(name, data, out),
            Self::Converse(reader) => reader.event(name, data, out),
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Event>) {
        match self {
            Self::Chat(reader) => reader.finish(out),
            Self::Responses(reader) => reader.finish(out),
            // A stream of this form says itself where it ends.
            Self::Messages(_) => {}
            Self::Gemini(reader) => reader.finish(out),
            Self::Converse(reader) => reader.finish(out),
        }
    }
}

/// The writer of a client's stream.
#[derive(Debug)]
pub(super) enum AnyWriter {
    Chat(chat::Writer),
    Responses(responses::Writer),
    Messages(messages::Writer),
    Gemini(gemini::Writer),
}

impl AnyWriter {
    pub(super) fn new(form: Form, view: &View) -> Option<Self> {
        match form {
            Form::Chat => Some(Self::Chat(chat::Writer::new(view))),
            Form::Responses => Some(Self::Responses(responses::Writer::new(view))),
            Form::Messages => Some(Self::Messages(messages::Writer::new(view))),
            Form::Gemini => Some(Self::Gemini(gemini::Writer::new(view))),
            Form::Converse => None,
        }
    }

    pub(super) fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Self::Chat(writer) => writer.push(event, out),
            Self::Responses(writer) => writer.push(event, out),
            Self::Messages(writer) => writer.push(event, out),
            Self::Gemini(writer) => writer.push(event, out),
        }
    }
}
