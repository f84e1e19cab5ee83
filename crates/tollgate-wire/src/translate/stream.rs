//! Translates a stream as it arrives, however it is cut.
//!
//! Each event is read once, brought into order and written. Nothing of the answer is kept beyond
//! what the client's form repeats at its end.

use bytes::Bytes;
use tollgate_domain::usage::Usage;

use crate::endpoint::Endpoint;
use crate::facts::InbandError;
use crate::framing::{Scanner, Step};

use super::dispatch::{AnyReader, AnyWriter};
use super::flow::Flow;
use super::reply::Event;
use super::{Form, View};

/// One stream on its way through.
#[derive(Debug)]
pub struct Translator {
    scanner: Scanner,
    reader: AnyReader,
    flow: Flow,
    writer: AnyWriter,
    /// Space for events between the three, kept for its capacity.
    read: Vec<Event>,
    ordered: Vec<Event>,
}

impl Translator {
    /// A stream that starts; `None` where one of the endpoints is not translated.
    pub fn new(upstream: Endpoint, client: Endpoint, view: &View) -> Option<Self> {
        let (from, to) = (Form::of(upstream)?, Form::of(client)?);
        Some(Self {
            scanner: Scanner::of(upstream),
            reader: AnyReader::new(from, view),
            flow: Flow::new(from, to),
            writer: AnyWriter::new(to, view)?,
            read: Vec::new(),
            ordered: Vec::new(),
        })
    }

    /// Takes bytes from the provider and appends to `out` what the client gets for them.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Bytes>) {
        let mut from = 0;
        while from < bytes.len() && !self.flow.has_ended() {
            match self.scanner.step(bytes, from) {
                Ok(Step::Event { end }) => {
                    let part = bytes.get(from..end).unwrap_or_default();
                    if self.scanner.has_kept() {
                        let mut whole = self.scanner.take_kept();
                        whole.extend_from_slice(part);
                        self.event(&whole);
                    } else {
                        self.event(part);
                    }
                    from = end;
                }
                Ok(Step::Tail { end }) => from = end,
                Ok(Step::More) => break,
                Err(error) => {
                    let message = error.to_string().into();
                    self.read.push(Event::Error(InbandError { message, ..InbandError::default() }));
                    break;
                }
            }
        }
        self.write(out);
    }

    /// The provider's stream has ended. Where it ended too early the client's does not end well
    /// either: see [`Translator::is_whole`].
    pub fn finish(&mut self, out: &mut Vec<Bytes>) {
        if self.scanner.has_kept() {
            let event = self.scanner.take_kept();
            self.event(&event);
        }
        self.reader.finish(&mut self.read);
        self.order();
        self.flow.finish(&mut self.ordered);
        self.write(out);
    }

    /// Whether the client has been given the end of its stream, or an error.
    pub fn is_whole(&self) -> bool {
        self.flow.has_ended()
    }

    /// Ends the stream with an error.
    pub fn fail(&mut self, error: InbandError, out: &mut Vec<Bytes>) {
        self.read.push(Event::Error(error));
        self.write(out);
    }

    /// Ends the stream as if the answer had come to the client's maximum.
    pub fn cut(&mut self, usage: Option<&Usage>, out: &mut Vec<Bytes>) {
        self.read.extend(usage.map(|usage| Event::Usage(*usage)));
        self.order();
        self.flow.cut(&mut self.ordered);
        self.write(out);
    }

    fn event(&mut self, bytes: &[u8]) {
        let event = self.scanner.read(bytes);
        if let Some(data) = event.data {
            self.reader.event(event.name, &data, &mut self.read);
        }
    }

    fn order(&mut self) {
        for event in self.read.drain(..) {
            self.flow.push(event, &mut self.ordered);
        }
    }

    fn write(&mut self, out: &mut Vec<Bytes>) {
        self.order();
        let mut bytes = Vec::new();
        for event in self.ordered.drain(..) {
            self.writer.push(&event, &mut bytes);
        }
        if !bytes.is_empty() {
            out.push(bytes.into());
        }
    }
}
