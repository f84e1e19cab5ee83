//! The OpenAI dialect, which most other providers speak too.
//!
//! What differs between vendors is data ([`vendor::VENDORS`]), never a second copy of this code.
//! Sources: the provider's API reference and SDK types, and the recorded exchanges of the tests.

mod answer;
mod cut;
mod error;
mod request;
mod rewrite;
mod stream;
mod text;
mod usage;
pub mod vendor;

pub use answer::read_answer;
pub use cut::{Cut, cut_events};
pub(crate) use cut::{push_responses_usage, push_usage};
pub use error::read_error;
pub use request::peek;
pub use rewrite::{Rewrite, rewrite};
pub use stream::{Flow, OpenAiStream, StreamError};
pub use text::answer_text;
pub use vendor::{UsageRules, Vendor};

use bytes::Bytes;

use crate::json::{push_fmt, push_string};

/// A path that takes a body and calls a model (or counts for one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/responses`
    Responses,
    /// `/v1/responses/compact`
    ResponsesCompact,
    /// `/v1/responses/input_tokens`: counts, free of charge.
    ResponsesInputTokens,
    /// `/v1/moderations`: free of charge.
    Moderations,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 7] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::ResponsesCompact,
        Self::ResponsesInputTokens,
        Self::Moderations,
    ];

    /// The path, as metrics and the ledger name it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
            Self::ResponsesCompact => "/v1/responses/compact",
            Self::ResponsesInputTokens => "/v1/responses/input_tokens",
            Self::Moderations => "/v1/moderations",
        }
    }

    /// The endpoint at this path (without query), if it is one.
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }

    /// Whether the answer can be a stream.
    pub const fn streams(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Completions | Self::Responses)
    }

    /// Whether the usage of a stream comes only when `stream_options.include_usage` asks for it.
    pub const fn has_usage_switch(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Completions)
    }

    /// Whether the answer follows the responses form (its own events, no `[DONE]`).
    pub const fn is_responses(self) -> bool {
        matches!(self, Self::Responses | Self::ResponsesCompact | Self::ResponsesInputTokens)
    }

    /// Whether output tokens are generated, so that an unstated output is unknown and not zero.
    pub const fn generates(self) -> bool {
        !matches!(self, Self::Embeddings | Self::Moderations | Self::ResponsesInputTokens)
    }

    /// Whether providers charge for it.
    pub const fn is_billed(self) -> bool {
        !matches!(self, Self::Moderations | Self::ResponsesInputTokens)
    }
}

/// What a path of the OpenAI form means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `POST`: an endpoint with a body.
    Call(Endpoint),
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/{id}`; the id may contain slashes.
    Model(&'a str),
    /// `GET` or `DELETE /v1/responses/{id}`
    Response(&'a str),
    /// `POST /v1/responses/{id}/cancel`
    CancelResponse(&'a str),
    /// `GET /v1/responses/{id}/input_items`
    ResponseItems(&'a str),
}

impl<'a> Route<'a> {
    /// What is at this path (without query). The method is the caller's to check.
    pub fn from_path(path: &'a str) -> Option<Self> {
        if let Some(endpoint) = Endpoint::from_path(path) {
            return Some(Self::Call(endpoint));
        }
        let rest = path.strip_prefix("/v1/")?;
        if rest == "models" {
            return Some(Self::Models);
        }
        if let Some(id) = rest.strip_prefix("models/") {
            let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'"' | b'\\');
            return (!id.is_empty() && id.bytes().all(plain)).then_some(Self::Model(id));
        }
        let (id, action) = match rest.strip_prefix("responses/")?.split_once('/') {
            Some((id, action)) => (id, Some(action)),
            None => (rest.strip_prefix("responses/")?, None),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if id.is_empty() || !id.bytes().all(plain) {
            return None;
        }
        match action {
            None => Some(Self::Response(id)),
            Some("cancel") => Some(Self::CancelResponse(id)),
            Some("input_items") => Some(Self::ResponseItems(id)),
            Some(_) => None,
        }
    }
}

/// One model of a list.
#[derive(Clone, Copy, Debug)]
pub struct ModelEntry<'a> {
    /// The public name.
    pub id: &'a str,
    /// The provider.
    pub owned_by: &'a str,
    /// Seconds since the epoch.
    pub created: u64,
}

/// The answer of `GET /v1/models`.
pub fn models_list<'a>(models: impl IntoIterator<Item = ModelEntry<'a>>) -> Bytes {
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (index, model) in models.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_model(&mut out, &model);
    }
    out.extend_from_slice(b"]}");
    out.into()
}

/// The answer of `GET /v1/models/{id}`.
pub fn model_body(model: &ModelEntry<'_>) -> Bytes {
    let mut out = Vec::with_capacity(128);
    push_model(&mut out, model);
    out.into()
}

fn push_model(out: &mut Vec<u8>, model: &ModelEntry<'_>) {
    out.extend_from_slice(b"{\"id\":");
    push_string(out, model.id);
    push_fmt(
        out,
        format_args!(",\"object\":\"model\",\"created\":{},\"owned_by\":", model.created),
    );
    push_string(out, model.owned_by);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_the_reference_says() {
        for endpoint in Endpoint::ALL {
            assert_eq!(Route::from_path(endpoint.path()), Some(Route::Call(endpoint)));
        }
        for (path, route) in [
            ("/v1/models", Some(Route::Models)),
            ("/v1/models/meta-llama/llama-3.1", Some(Route::Model("meta-llama/llama-3.1"))),
            ("/v1/models/", None),
            ("/v1/models/a b", None),
            ("/v1/responses/resp_1", Some(Route::Response("resp_1"))),
            ("/v1/responses/resp_1/cancel", Some(Route::CancelResponse("resp_1"))),
            ("/v1/responses/resp_1/input_items", Some(Route::ResponseItems("resp_1"))),
            ("/v1/responses/resp_1/other", None),
            ("/v1/responses/../models", None),
            ("/v1/responses/", None),
            ("/v1/chat/completions/", None),
            ("/v2/chat/completions", None),
            ("", None),
        ] {
            assert_eq!(Route::from_path(path), route, "{path}");
        }
    }

    #[test]
    fn model_names_are_escaped_in_the_list() {
        let entry = ModelEntry { id: "a\"b", owned_by: "sim", created: 7 };
        let list: serde_json::Value = serde_json::from_slice(&models_list([entry, entry])).unwrap();
        assert_eq!(list["data"].as_array().unwrap().len(), 2);
        assert_eq!(list["data"][1]["id"], "a\"b");
        assert_eq!(list["data"][0]["object"], "model");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&models_list([])).unwrap()["data"],
            serde_json::json!([])
        );
        let one: serde_json::Value = serde_json::from_slice(&model_body(&entry)).unwrap();
        assert_eq!(one, list["data"][0]);
    }
}
