//! Changes the few bytes of a request that must change; every other byte stays (WIRE-1).
//!
//! Which those are is a matter of the dialect; how they are spliced in is not.

use bytes::Bytes;

use crate::json::push_string;
use crate::peek::{Peek, Span};

/// What is to change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rewrite<'a> {
    /// The name that the target knows the model by.
    pub model: Option<&'a str>,
    /// Whether a stream must state its usage, asked or not.
    pub include_usage: bool,
    /// The most output tokens per choice; a caller's smaller maximum stays.
    pub max_output: Option<u64>,
    /// Whether the target knows `max_tokens` only (see [`crate::openai::Vendor`]).
    pub legacy_max_tokens: bool,
}

/// Changes in the order they were found.
#[derive(Debug)]
pub(crate) struct Edits {
    /// Behind the opening brace.
    at: usize,
    /// Members that go there, each with its comma; never into an empty object, because what is
    /// required of a body stands in it.
    insert: Vec<u8>,
    replace: Vec<(Span, Vec<u8>)>,
}

impl Edits {
    pub(crate) fn new(peek: &Peek) -> Self {
        Self { at: peek.spans.insert_at, insert: Vec::new(), replace: Vec::new() }
    }

    /// Puts `model` in the place of the one that the body names, or in front where it names none.
    pub(crate) fn model(&mut self, peek: &Peek, change: &Rewrite<'_>) {
        let Some(model) = change.model.filter(|model| **model != *peek.model) else {
            return;
        };
        let mut quoted = Vec::with_capacity(model.len() + 2);
        push_string(&mut quoted, model);
        match peek.spans.model {
            Some(span) => self.replace(span, quoted),
            None => self.member("model", &quoted),
        }
    }

    /// Lowers the keys that bound the output to `max`. A key that says null bounds nothing: one of
    /// them is filled in where no key bounds, and where there is none, `name` is put in front.
    pub(crate) fn clamp(&mut self, name: &str, keys: &[Option<(Span, Option<u64>)>], max: u64) {
        let digits = max.to_string().into_bytes();
        let mut bounded = keys.iter().flatten().any(|(_, value)| value.is_some());
        for (span, value) in keys.iter().flatten() {
            if value.map_or(!bounded, |value| value > max) {
                self.replace(*span, digits.clone());
                bounded = true;
            }
        }
        if !bounded {
            self.member(name, &digits);
        }
    }

    /// Puts a member in front.
    pub(crate) fn member(&mut self, name: &str, value: &[u8]) {
        push_string(&mut self.insert, name);
        self.insert.push(b':');
        self.insert.extend_from_slice(value);
        self.insert.push(b',');
    }

    /// Puts `text` in the place of `span`.
    pub(crate) fn replace(&mut self, span: Span, text: Vec<u8>) {
        self.replace.push((span, text));
    }

    /// The body with the changes; `body` itself, not copied, where there are none.
    pub(crate) fn apply(mut self, body: &Bytes) -> Bytes {
        if self.insert.is_empty() && self.replace.is_empty() {
            return body.clone();
        }
        let start = Span { start: self.at, end: self.at };
        self.replace.push((start, self.insert));
        self.replace.sort_by_key(|(span, _)| span.start);
        let added: usize = self.replace.iter().map(|(_, text)| text.len()).sum();
        let mut out = Vec::with_capacity(body.len() + added);
        let mut from = 0;
        for (span, text) in &self.replace {
            out.extend_from_slice(body.get(from..span.start).unwrap_or_default());
            out.extend_from_slice(text);
            from = span.end;
        }
        out.extend_from_slice(body.get(from..).unwrap_or_default());
        out.into()
    }
}
