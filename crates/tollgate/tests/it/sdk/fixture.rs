//! Answers of providers that the scripted ones give, read from `tests/sdk/fixtures`.
//!
//! Each file is a recorded exchange, or says what was changed of one, beside what a client must make
//! of it: text, calls, finish and usage on one scale. `<form>/<scene>.json`.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use tollgate_domain::usage::Usage;
use tollgate_testkit::upstream::{Piece, Reply};

use super::received::Form;

/// The folder of what the clients of every language share.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sdk")
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Fixture {
    status: u16,
    content_type: String,
    body: Bytes,
    /// What a client must make of it.
    pub(super) expected: Value,
    /// Tools that the answer calls, as name, description and parameters; null where it calls none.
    pub(super) tools: Value,
}

impl Fixture {
    /// The answer of a form in a scene; panics where there is none.
    pub(super) fn load(form: Form, scene: &str) -> Self {
        let path = folder().join(format!("fixtures/{}/{scene}.json", form.name()));
        let text =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file: Value = serde_json::from_slice(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let response = &file["response"];
        let body = match response["text"].as_str() {
            Some(text) => Bytes::copy_from_slice(text.as_bytes()),
            None => serde_json::to_vec(&response["json"]).unwrap().into(),
        };
        Self {
            status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
            content_type: response["content_type"].as_str().unwrap().to_owned(),
            body,
            expected: file["expected"].clone(),
            tools: file["tools"].clone(),
        }
    }

    /// The answer on the wire; a stream in pieces that respect neither events nor characters.
    pub(super) fn reply(&self) -> Reply {
        let reply = Reply::status(self.status).header("content-type", &self.content_type);
        if !self.content_type.starts_with("text/event-stream") {
            return reply.whole(self.body.clone());
        }
        let pieces = self.body.chunks(211).map(|piece| Piece::Send(Bytes::copy_from_slice(piece)));
        reply.pieces(pieces)
    }

    /// What the provider states that it used; `None` for an error.
    pub(super) fn usage(&self) -> Option<Usage> {
        let stated = self.expected["usage"].as_object()?;
        let count = |name: &str| stated[name].as_u64().unwrap();
        Some(Usage {
            input: count("input"),
            cache_read: count("cache_read"),
            cache_write: count("cache_write"),
            output: count("output"),
            reasoning: count("reasoning"),
            ..Usage::default()
        })
    }
}
