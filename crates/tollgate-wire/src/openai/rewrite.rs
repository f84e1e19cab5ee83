//! Changes the few bytes of a request that must change; every other byte stays (WIRE-1).

use bytes::Bytes;

use crate::json::push_string;
use crate::peek::{Peek, Span, StreamOptions};

use crate::endpoint::Endpoint;

/// What is to change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rewrite<'a> {
    /// The name that the target knows the model by.
    pub model: Option<&'a str>,
    /// Whether a stream must state its usage, asked or not.
    pub include_usage: bool,
    /// The most output tokens per choice; a caller's smaller maximum stays.
    pub max_output: Option<u64>,
    /// Whether the target knows `max_tokens` only (see [`super::Vendor::legacy_max_tokens`]).
    pub legacy_max_tokens: bool,
}

/// The body as it is sent: `body` itself, not copied, where nothing changes.
///
/// `peek` must come from this very body and endpoint.
pub fn rewrite(endpoint: Endpoint, body: &Bytes, peek: &Peek, change: &Rewrite<'_>) -> Bytes {
    let mut edits = Edits { at: peek.spans.insert_at, insert: Vec::new(), replace: Vec::new() };
    edits.model(peek, change);
    if change.include_usage && peek.stream && endpoint.has_usage_switch() && !peek.usage_asked {
        edits.include_usage(peek);
    }
    if let Some(max) = change.max_output {
        edits.max_output(endpoint, peek, max, change.legacy_max_tokens);
    }
    edits.apply(body)
}

/// Changes in the order they were found.
struct Edits {
    /// Behind the opening brace.
    at: usize,
    /// Members that go there, each with its comma; never into an empty object, because what is
    /// required of a body stands in it.
    insert: Vec<u8>,
    replace: Vec<(Span, Vec<u8>)>,
}

impl Edits {
    fn model(&mut self, peek: &Peek, change: &Rewrite<'_>) {
        let Some(model) = change.model.filter(|model| **model != *peek.model) else {
            return;
        };
        let mut quoted = Vec::with_capacity(model.len() + 2);
        push_string(&mut quoted, model);
        match peek.spans.model {
            Some(span) => self.replace.push((span, quoted)),
            None => self.member("model", &quoted),
        }
    }

    fn include_usage(&mut self, peek: &Peek) {
        match peek.spans.stream_options {
            StreamOptions::Absent => self.member("stream_options", b"{\"include_usage\":true}"),
            StreamOptions::Null(span) => {
                self.replace.push((span, b"{\"include_usage\":true}".to_vec()));
            }
            StreamOptions::Object { include_usage: Some(span), .. } => {
                self.replace.push((span, b"true".to_vec()));
            }
            StreamOptions::Object { insert_at, empty, include_usage: None } => {
                let comma: &[u8] = if empty { b"" } else { b"," };
                let member = [b"\"include_usage\":true", comma].concat();
                self.replace.push((Span { start: insert_at, end: insert_at }, member));
            }
        }
    }

    fn max_output(&mut self, endpoint: Endpoint, peek: &Peek, max: u64, legacy: bool) {
        let spans = &peek.spans;
        let (name, keys) = match endpoint {
            Endpoint::ChatCompletions => {
                let name = if legacy { "max_tokens" } else { "max_completion_tokens" };
                (name, [spans.max_completion_tokens, spans.max_tokens])
            }
            Endpoint::Completions => ("max_tokens", [spans.max_tokens, None]),
            Endpoint::Responses => ("max_output_tokens", [spans.max_output_tokens, None]),
            _ => return,
        };
        let digits = max.to_string().into_bytes();
        let stated = keys.iter().flatten().any(|(_, value)| value.is_some());
        // A key that says null bounds nothing. One of them is filled in where no key bounds.
        let mut bounded = stated;
        for (span, value) in keys.iter().flatten() {
            if value.map_or(!bounded, |value| value > max) {
                self.replace.push((*span, digits.clone()));
                bounded = true;
            }
        }
        if !bounded {
            self.member(name, &digits);
        }
    }

    fn member(&mut self, name: &str, value: &[u8]) {
        push_string(&mut self.insert, name);
        self.insert.push(b':');
        self.insert.extend_from_slice(value);
        self.insert.push(b',');
    }

    fn apply(mut self, body: &Bytes) -> Bytes {
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
