//! The operations of providers' APIs, and the paths at which clients find them here.
//!
//! An endpoint names a form: of the request, of the answer and of its stream. The endpoint that a
//! client calls and the one that is called at the provider differ where a call is translated;
//! metering always goes by the provider's.

use std::borrow::Cow;

use tollgate_domain::call::Dialect;

/// An operation that takes a body and calls a model (or counts for one).
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
    /// `/v1/images/generations`
    Images,
    /// `/v1/audio/speech`: the answer is sound, not JSON.
    Speech,
    /// `/v1/audio/transcriptions`: the request is a form with a file.
    Transcriptions,
    /// `/v1/messages`
    Messages,
    /// `/v1/messages/count_tokens`: counts, free of charge.
    MessageTokens,
    /// `/v1beta/models/{model}:generateContent`
    GenerateContent,
    /// `/v1beta/models/{model}:streamGenerateContent`
    StreamGenerateContent,
    /// `/v1beta/models/{model}:countTokens`: counts, free of charge.
    CountTokens,
    /// `/v1beta/models/{model}:embedContent`
    EmbedContent,
    /// `/v1beta/models/{model}:batchEmbedContents`
    BatchEmbedContents,
    /// Bedrock: `/model/{model}/converse`
    Converse,
    /// Bedrock: `/model/{model}/converse-stream`
    ConverseStream,
    /// Bedrock: `/model/{model}/invoke`; the body is of the model's own form.
    Invoke,
    /// Bedrock: `/model/{model}/invoke-with-response-stream`
    InvokeStream,
    /// Cohere: `/v2/chat`
    CohereChat,
    /// Cohere: `/v2/embed`
    CohereEmbed,
    /// Ollama: `/api/chat` and `/api/generate`, whose stream is a JSON object a line.
    OllamaChat,
    /// Anything else at a provider: usage is read where it stands in a usual place.
    Other,
    /// What a provider is only asked to show or to delete: lists, files, stored answers. No model
    /// is called.
    Read,
}

/// What an endpoint is like.
struct Row {
    endpoint: Endpoint,
    /// The path, as metrics and the ledger name it.
    path: &'static str,
    dialect: Dialect,
    billing: Billing,
    streaming: Streaming,
}

/// What providers charge for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Billing {
    /// Input and output.
    Generates,
    /// Input only.
    Reads,
    /// Nothing.
    Free,
}

/// Whether answers can be streams.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Streaming {
    Never,
    /// Where the body asks for it.
    Asked,
    /// Always.
    Always,
}

const fn row(
    endpoint: Endpoint,
    path: &'static str,
    dialect: Dialect,
    billing: Billing,
    streaming: Streaming,
) -> Row {
    Row { endpoint, path, dialect, billing, streaming }
}

const ROWS: [Row; 26] = {
    use Billing::{Free, Generates, Reads};
    use Dialect::{Anthropic, Gemini, Openai};
    use Endpoint as E;
    use Streaming::{Always, Asked, Never};
    [
        row(E::ChatCompletions, "/v1/chat/completions", Openai, Generates, Asked),
        row(E::Completions, "/v1/completions", Openai, Generates, Asked),
        row(E::Embeddings, "/v1/embeddings", Openai, Reads, Never),
        row(E::Responses, "/v1/responses", Openai, Generates, Asked),
        row(E::ResponsesCompact, "/v1/responses/compact", Openai, Generates, Never),
        row(E::ResponsesInputTokens, "/v1/responses/input_tokens", Openai, Free, Never),
        row(E::Moderations, "/v1/moderations", Openai, Free, Never),
        row(E::Images, "/v1/images/generations", Openai, Generates, Asked),
        row(E::Speech, "/v1/audio/speech", Openai, Generates, Asked),
        row(E::Transcriptions, "/v1/audio/transcriptions", Openai, Generates, Asked),
        row(E::Messages, "/v1/messages", Anthropic, Generates, Asked),
        row(E::MessageTokens, "/v1/messages/count_tokens", Anthropic, Free, Never),
        row(E::GenerateContent, "/v1beta/models:generateContent", Gemini, Generates, Never),
        row(
            E::StreamGenerateContent,
            "/v1beta/models:streamGenerateContent",
            Gemini,
            Generates,
            Always,
        ),
        row(E::CountTokens, "/v1beta/models:countTokens", Gemini, Free, Never),
        row(E::EmbedContent, "/v1beta/models:embedContent", Gemini, Reads, Never),
        row(E::BatchEmbedContents, "/v1beta/models:batchEmbedContents", Gemini, Reads, Never),
        row(E::Converse, "/providers/converse", Openai, Generates, Never),
        row(E::ConverseStream, "/providers/converse-stream", Openai, Generates, Always),
        row(E::Invoke, "/providers/invoke", Openai, Generates, Never),
        row(E::InvokeStream, "/providers/invoke-stream", Openai, Generates, Always),
        row(E::CohereChat, "/providers/chat", Openai, Generates, Asked),
        row(E::CohereEmbed, "/providers/embed", Openai, Reads, Never),
        row(E::OllamaChat, "/providers/ollama", Openai, Generates, Asked),
        row(E::Other, "/providers", Openai, Generates, Asked),
        row(E::Read, "/providers/read", Openai, Free, Asked),
    ]
};

impl Endpoint {
    /// Every endpoint.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.endpoint)
    }

    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.endpoint == self)
    }

    /// The path, as metrics and the ledger name it: without the model that Gemini's paths hold.
    pub fn path(self) -> &'static str {
        self.row().map_or("", |row| row.path)
    }

    /// The dialect in which its clients are answered.
    pub fn dialect(self) -> Dialect {
        self.row().map_or(Dialect::Openai, |row| row.dialect)
    }

    /// Whether the answer can be a stream.
    pub fn streams(self) -> bool {
        self.row().is_some_and(|row| row.streaming != Streaming::Never)
    }

    /// Whether the answer is a stream whatever the body says.
    pub fn always_streams(self) -> bool {
        self.row().is_some_and(|row| row.streaming == Streaming::Always)
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
    pub fn generates(self) -> bool {
        self.row().is_some_and(|row| row.billing == Billing::Generates)
    }

    /// Whether providers charge for it.
    pub fn is_billed(self) -> bool {
        self.row().is_some_and(|row| row.billing != Billing::Free)
    }

    /// Whether a body can be a whole answer of status 200: a JSON object, but where sound, text or
    /// anything at all may come.
    pub fn answers_with(self, body: &[u8]) -> bool {
        let first = body.trim_ascii_start().first();
        match self {
            Self::Speech | Self::Transcriptions | Self::Other | Self::Read => true,
            Self::StreamGenerateContent => matches!(first, Some(b'{' | b'[')),
            _ => first == Some(&b'{'),
        }
    }

    /// Whether its request may be a form with files, and not only JSON.
    pub const fn takes_form(self) -> bool {
        matches!(self, Self::Images | Self::Transcriptions)
    }

    /// Whether it is a conversation with a model, which any of the dialects can express.
    pub const fn converses(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions
                | Self::Responses
                | Self::Messages
                | Self::GenerateContent
                | Self::StreamGenerateContent
        )
    }

    /// Whether it only counts tokens.
    pub const fn counts_tokens(self) -> bool {
        matches!(self, Self::ResponsesInputTokens | Self::MessageTokens | Self::CountTokens)
    }

    /// Whether it calls no model, so that no limit counts it.
    pub const fn is_uncounted(self) -> bool {
        self.counts_tokens() || matches!(self, Self::Read)
    }

    /// Whether the model stands in the path and not in the body.
    pub const fn names_model_in_path(self) -> bool {
        matches!(
            self,
            Self::GenerateContent
                | Self::StreamGenerateContent
                | Self::CountTokens
                | Self::EmbedContent
                | Self::BatchEmbedContents
                | Self::Converse
                | Self::ConverseStream
                | Self::Invoke
                | Self::InvokeStream
        )
    }

    /// The method behind the colon of Gemini's paths.
    pub const fn gemini_method(self) -> Option<&'static str> {
        match self {
            Self::GenerateContent => Some("generateContent"),
            Self::StreamGenerateContent => Some("streamGenerateContent"),
            Self::CountTokens => Some("countTokens"),
            Self::EmbedContent => Some("embedContent"),
            Self::BatchEmbedContents => Some("batchEmbedContents"),
            _ => None,
        }
    }
}

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `POST`: an endpoint with a body, and the model where the path names it.
    Call(Endpoint, Option<Cow<'a, str>>),
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/{id}`; the id may contain slashes.
    Model(&'a str),
    /// `GET /v1beta/models`
    GeminiModels,
    /// `GET /v1beta/models/{id}`
    GeminiModel(&'a str),
    /// `GET` or `DELETE /v1/responses/{id}`
    Response(&'a str),
    /// `POST /v1/responses/{id}/cancel`
    CancelResponse(&'a str),
    /// `GET /v1/responses/{id}/input_items`
    ResponseItems(&'a str),
    /// `/providers/{provider}/…`: the provider's name, and the path behind it with its slash.
    PassThrough(&'a str, &'a str),
}

impl<'a> Route<'a> {
    /// What is at this path (without query). The method is the caller's to check.
    pub fn from_path(path: &'a str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/providers/") {
            let (provider, _) = rest.split_once('/')?;
            let below = rest.get(provider.len()..)?;
            return (!provider.is_empty()).then_some(Self::PassThrough(provider, below));
        }
        if let Some(rest) =
            path.strip_prefix("/v1beta/models").or_else(|| path.strip_prefix("/v1/models"))
            && let Some((model, method)) =
                rest.strip_prefix('/').and_then(|rest| rest.rsplit_once(':'))
            && let Some(endpoint) =
                Endpoint::all().find(|endpoint| endpoint.gemini_method() == Some(method))
        {
            return plain_id(model).then(|| Self::Call(endpoint, Some(unescaped(model))));
        }
        if let Some(rest) = path.strip_prefix("/v1beta/models") {
            let id = rest.strip_prefix('/');
            return match id {
                None => rest.is_empty().then_some(Self::GeminiModels),
                Some(id) => plain_id(id).then_some(Self::GeminiModel(id)),
            };
        }
        if let Some(row) = ROWS.iter().find(|row| row.path == path && path.starts_with("/v1/")) {
            return Some(Self::Call(row.endpoint, None));
        }
        let rest = path.strip_prefix("/v1/")?;
        if rest == "models" {
            return Some(Self::Models);
        }
        if let Some(id) = rest.strip_prefix("models/") {
            return plain_id(id).then_some(Self::Model(id));
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

/// Whether a model's name is one that a path may hold.
fn plain_id(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'"' | b'\\');
    !id.is_empty() && id.bytes().all(plain)
}

/// A part of a path with its percent escapes resolved, where they make sense.
pub fn unescaped(part: &str) -> Cow<'_, str> {
    if !part.contains('%') {
        return Cow::Borrowed(part);
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some((plain, after)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        let digits = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (digits, after.get(2..)) {
            (Some(byte), Some(behind)) => {
                bytes.push(byte);
                rest = behind;
            }
            _ => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_or(Cow::Borrowed(part), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use tollgate_domain::call::UNCOUNTED;

    use super::*;

    #[test]
    fn the_ledger_knows_the_endpoints_that_no_limit_counts() {
        let uncounted = Endpoint::all().filter(|endpoint| endpoint.is_uncounted());
        let names: Vec<&str> = uncounted.map(Endpoint::path).collect();
        assert_eq!(names, UNCOUNTED);
    }

    #[test]
    fn every_endpoint_has_one_row() {
        for endpoint in Endpoint::all() {
            assert_eq!(ROWS.iter().filter(|row| row.endpoint == endpoint).count(), 1);
            assert!(!endpoint.path().is_empty());
        }
    }

    #[test]
    fn paths_lead_where_the_references_say() {
        for endpoint in Endpoint::all().filter(|endpoint| endpoint.path().starts_with("/v1/")) {
            assert_eq!(Route::from_path(endpoint.path()), Some(Route::Call(endpoint, None)));
        }
        let gemini =
            |endpoint, model: &'static str| Some(Route::Call(endpoint, Some(Cow::Borrowed(model))));
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
            (
                "/v1beta/models/gemini-2.5-flash:generateContent",
                gemini(Endpoint::GenerateContent, "gemini-2.5-flash"),
            ),
            (
                "/v1beta/models/a/b%3A0:streamGenerateContent",
                gemini(Endpoint::StreamGenerateContent, "a/b:0"),
            ),
            ("/v1/models/gemini-3:countTokens", gemini(Endpoint::CountTokens, "gemini-3")),
            ("/v1beta/models/:generateContent", None),
            ("/v1beta/models", Some(Route::GeminiModels)),
            ("/v1beta/models/gemini-3", Some(Route::GeminiModel("gemini-3"))),
            (
                "/providers/aws/model/x%3A0/converse",
                Some(Route::PassThrough("aws", "/model/x%3A0/converse")),
            ),
            ("/providers/aws", None),
            ("/providers//x", None),
        ] {
            assert_eq!(Route::from_path(path), route, "{path}");
        }
    }

    #[test]
    fn an_escape_that_is_none_stays() {
        for (part, plain) in [("a%3Ab", "a:b"), ("100%", "100%"), ("%zz", "%zz"), ("%ff", "%ff")] {
            assert_eq!(unescaped(part), plain);
        }
    }
}
