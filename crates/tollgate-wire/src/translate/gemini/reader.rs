//! Reads Gemini's answers.
//!
//! An answer and each chunk of its stream have the same form. Calls come whole; their ids are made
//! here where Gemini states none.

use serde_json::Value;

use crate::facts::InbandError;
use crate::openai::read_error;
use crate::translate::ids::hash;
use crate::translate::reply::{Block, Event, Reason, Stop};
use crate::translate::tree::Tree as _;

use super::{reason, usage};

/// Reads a whole answer.
pub(crate) fn read_whole(body: &[u8]) -> Vec<Event> {
    let mut out = Vec::new();
    let mut reader = Reader::default();
    reader.event(b"", body, &mut out);
    if out.is_empty() {
        let message = "the provider's answer cannot be read".into();
        out.push(Event::Error(InbandError {
            message,
            status: Some(502),
            ..InbandError::default()
        }));
    }
    reader.finish(&mut out);
    out
}

/// Reads a stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    begun: bool,
    stopped: bool,
    /// The unique part of ids that are made here.
    id: String,
    /// The text or thought that is being told.
    open: Option<(u32, Block)>,
    next: u32,
    calls: u32,
}

impl Reader {
    /// Takes a chunk.
    pub(crate) fn event(&mut self, _name: &[u8], data: &[u8], out: &mut Vec<Event>) {
        let Ok(chunk) = serde_json::from_slice::<Value>(data) else { return };
        // A stream that is no stream of events is a list.
        let chunk = match chunk {
            Value::Array(mut chunks) if chunks.len() == 1 => chunks.swap_remove(0),
            chunk => chunk,
        };
        if !chunk.of("error").is_null() {
            out.extend(read_error(chunk.to_string().as_bytes()).map(Event::Error));
            return;
        }
        if !chunk.is_object() {
            return;
        }
        self.begin(&chunk, out);
        let candidate = chunk.of("candidates").item(0);
        if let Some(parts) = candidate.of("content").of("parts").as_array() {
            for part in parts {
                self.part(part, out);
            }
        }
        out.extend(usage::read(chunk.of("usageMetadata")).map(Event::Usage));
        self.stop(&chunk, candidate, out);
    }

    /// The stream has ended, which is all that says so: it is whole if a reason to stop came.
    pub(crate) fn finish(&mut self, out: &mut Vec<Event>) {
        if std::mem::take(&mut self.stopped) {
            out.push(Event::End);
        }
    }

    fn begin(&mut self, chunk: &Value, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let text = |key: &str| chunk.of(key).as_str().map(str::to_owned);
        let id = text("responseId");
        self.id =
            id.clone().unwrap_or_else(|| format!("{:016x}", hash(chunk.to_string().as_bytes())));
        out.push(Event::Begin { id, model: text("modelVersion"), created: None });
    }

    fn part(&mut self, part: &Value, out: &mut Vec<Event>) {
        if let Some(call) = part.of("functionCall").as_object() {
            self.close(out);
            let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default();
            let stated = text("id");
            let id = if stated.is_empty() {
                format!("call_{}_{}", self.id, self.calls)
            } else {
                stated.to_owned()
            };
            let (number, name) = (self.next, text("name").to_owned());
            self.next += 1;
            self.calls += 1;
            out.push(Event::Open(number, Block::Call { id, name }));
            if let Some(signature) = part.of("thoughtSignature").as_str() {
                out.push(Event::Proof(number, signature.to_owned()));
            }
            let args = call.get("args").filter(|args| args.is_object());
            let args = args.map_or_else(|| "{}".to_owned(), Value::to_string);
            out.extend([Event::Delta(number, args), Event::Close(number)]);
        } else if let Some(text) = part.of("text").as_str().filter(|text| !text.is_empty()) {
            let kind = if part.of("thought") == true { Block::Thought } else { Block::Text };
            let number = self.block(kind, out);
            out.push(Event::Delta(number, text.to_owned()));
        } else if let Some(kind) = part.of("inlineData").of("mimeType").as_str() {
            let message = format!("the model answered with {kind}, which is not translated").into();
            let error = InbandError { message, status: Some(502), ..InbandError::default() };
            out.push(Event::Error(error));
        }
    }

    /// The block of this kind that is open; opens one where none is.
    fn block(&mut self, kind: Block, out: &mut Vec<Event>) -> u32 {
        if let Some((number, open)) = &self.open
            && *open == kind
        {
            return *number;
        }
        self.close(out);
        let number = self.next;
        self.next += 1;
        out.push(Event::Open(number, kind.clone()));
        self.open = Some((number, kind));
        number
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        out.extend(self.open.take().map(|(number, _)| Event::Close(number)));
    }

    fn stop(&mut self, chunk: &Value, candidate: &Value, out: &mut Vec<Event>) {
        let blocked = chunk.of("promptFeedback").of("blockReason").as_str();
        let stop = match (candidate.of("finishReason").as_str(), blocked) {
            (Some(native), _) => {
                let reason = match reason(native) {
                    Reason::End if self.calls > 0 => Reason::Calls,
                    reason => reason,
                };
                Stop { reason, native: native.to_owned(), sequence: None }
            }
            // The prompt was refused: there is no candidate.
            (None, Some(native)) => {
                Stop { reason: Reason::Filtered, native: native.to_owned(), sequence: None }
            }
            (None, None) => return,
        };
        if !std::mem::replace(&mut self.stopped, true) {
            self.close(out);
            out.push(Event::Stop(stop));
        }
    }
}

#[cfg(test)]
mod tests;
