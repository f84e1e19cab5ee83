//! What a request below `/providers/{provider}` is, told by how its path ends.
//!
//! Providers put the same operations under different roots (`/v1`, `/openai/v1`,
//! `/openai/deployments/{name}`, `/v1/projects/{project}/locations/{place}/publishers/{who}`), so
//! the end decides. What is not known is no free pass: a `POST` at an unknown path is a call whose
//! usage is looked for in the usual places.

use std::borrow::Cow;

use crate::endpoint::{Endpoint, unescaped};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// It calls a model, and what it costs is told by the answer.
    Call,
    /// It only reads, counts or stores: free of charge.
    Read,
    /// It orders work that is billed later and that this answer cannot tell (batches, training,
    /// videos, background jobs).
    Later,
}

/// Ends of paths behind which a `POST` costs nothing.
const FREE: [&str; 9] = [
    // Kept by the hour, which no answer tells.
    "/cachedContents",
    "/files",
    "/uploads",
    "/cancel",
    "/tokenize",
    "/detokenize",
    "/api/show",
    "/api/pull",
    "/count-tokens",
];
/// Ends of paths behind which the same holds of an upload. Elsewhere `/complete` calls a model.
const OF_UPLOAD: [&str; 2] = ["/parts", "/complete"];
/// Parts of paths behind which a `POST` orders work for later, or a credential with which somebody
/// else calls the provider.
const LATER: [&str; 16] = [
    "/threads/",
    "/batches",
    ":batchGenerateContent",
    ":asyncBatchEmbedContent",
    "/batchPredictionJobs",
    "/fine_tuning/",
    "/fine-tunes",
    "/finetuning/",
    "/tuningJobs",
    "/async-invoke",
    "/model-invocation-job",
    "/videos",
    ":predictLongRunning",
    "/embed-jobs",
    "/realtime/",
    "/auth_tokens",
];

/// What a request does, by its method (in capitals) and its path without query.
///
/// Only `GET`, `HEAD`, `OPTIONS` and `DELETE` read; a `GET` that opens a socket (realtime) calls.
pub fn purpose(method: &str, path: &str) -> Purpose {
    let path = path.trim_end_matches('/');
    let reads = matches!(method, "GET" | "HEAD" | "OPTIONS" | "DELETE");
    if reads {
        let socket = path.ends_with("/realtime") || path.contains("BidiGenerateContent");
        return if socket { Purpose::Call } else { Purpose::Read };
    }
    let (endpoint, _) = endpoint(path);
    if endpoint != Endpoint::Other {
        return if endpoint.is_billed() { Purpose::Call } else { Purpose::Read };
    }
    if LATER.iter().any(|part| path.contains(part)) {
        // A cancelled batch is no new order.
        return if path.ends_with("/cancel") { Purpose::Read } else { Purpose::Later };
    }
    let uploads = path.contains("/uploads/") && OF_UPLOAD.iter().any(|end| path.ends_with(end));
    let free = uploads || FREE.iter().any(|end| path.ends_with(end));
    if free { Purpose::Read } else { Purpose::Call }
}

/// The operation at a path (without query) below a provider, and the model where the path names
/// one. An Azure deployment counts as a model: it stands where others have the model, though the
/// price goes by what the answer names.
pub fn endpoint(path: &str) -> (Endpoint, Option<Cow<'_, str>>) {
    let path = path.trim_end_matches('/');
    if let Some(found) = bedrock(path).or_else(|| with_method(path)) {
        return found;
    }
    let endpoint = PLAIN
        .iter()
        .find(|(end, _)| path.ends_with(end))
        .map_or_else(|| Endpoint::Other, |(_, endpoint)| *endpoint);
    (endpoint, deployment(path))
}

/// Ends of paths, longer ones before those that they end with.
const PLAIN: [(&str, Endpoint); 21] = [
    ("/chat/completions", Endpoint::ChatCompletions),
    ("/completions", Endpoint::Completions),
    ("/v2/embed", Endpoint::CohereEmbed),
    ("/v1/embed", Endpoint::CohereEmbed),
    ("/embeddings", Endpoint::Embeddings),
    ("/responses/compact", Endpoint::ResponsesCompact),
    ("/responses/input_tokens", Endpoint::ResponsesInputTokens),
    ("/responses", Endpoint::Responses),
    ("/moderations", Endpoint::Moderations),
    ("/images/generations", Endpoint::Images),
    ("/images/edits", Endpoint::Images),
    ("/images/variations", Endpoint::Images),
    ("/audio/speech", Endpoint::Speech),
    ("/audio/transcriptions", Endpoint::Transcriptions),
    ("/audio/translations", Endpoint::Transcriptions),
    ("/messages/count_tokens", Endpoint::MessageTokens),
    ("/messages", Endpoint::Messages),
    ("/v2/chat", Endpoint::CohereChat),
    ("/v1/chat", Endpoint::CohereChat),
    ("/api/chat", Endpoint::OllamaChat),
    ("/api/generate", Endpoint::OllamaChat),
];

type Found<'a> = (Endpoint, Option<Cow<'a, str>>);

/// `/model/{model}/{operation}`
fn bedrock(path: &str) -> Option<Found<'_>> {
    let (rest, operation) = path.rsplit_once('/')?;
    let endpoint = match operation {
        "converse" => Endpoint::Converse,
        "converse-stream" => Endpoint::ConverseStream,
        "invoke" => Endpoint::Invoke,
        "invoke-with-response-stream" => Endpoint::InvokeStream,
        "count-tokens" => Endpoint::Other,
        _ => return None,
    };
    // An ARN has a slash of its own, which not every client escapes.
    let (_, model) = rest.split_once("/model/").filter(|(_, model)| !model.is_empty())?;
    Some((endpoint, Some(unescaped(model))))
}

/// `…/models/{model}:{method}`, of Gemini and of Vertex.
fn with_method(path: &str) -> Option<Found<'_>> {
    let (rest, method) = path.rsplit_once(':')?;
    let (owner, model) = rest.rsplit_once('/')?;
    if model.is_empty() {
        return None;
    }
    let anthropic = owner.ends_with("/publishers/anthropic/models");
    let named = |endpoint| Some((endpoint, Some(unescaped(model))));
    if let Some(endpoint) =
        Endpoint::all().find(|endpoint| endpoint.gemini_method() == Some(method))
    {
        return named(endpoint);
    }
    match method {
        "rawPredict" | "streamRawPredict" if anthropic && model == "count-tokens" => {
            Some((Endpoint::MessageTokens, None))
        }
        "rawPredict" | "streamRawPredict" if anthropic => named(Endpoint::Messages),
        "rawPredict" | "streamRawPredict" if owner.ends_with("/publishers/mistralai/models") => {
            named(Endpoint::ChatCompletions)
        }
        "rawPredict" | "streamRawPredict" | "predict" => named(Endpoint::Other),
        _ => None,
    }
}

/// `/openai/deployments/{deployment}/…`
fn deployment(path: &str) -> Option<Cow<'_, str>> {
    let (_, rest) = path.split_once("/deployments/")?;
    let (name, _) = rest.split_once('/')?;
    (!name.is_empty()).then(|| unescaped(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Endpoint as E;

    /// Paths, their operations, and the models that they name.
    const PATHS: &[(&str, Endpoint, Option<&str>)] = &[
        ("/v1/chat/completions", E::ChatCompletions, None),
        ("/api/v1/chat/completions/", E::ChatCompletions, None),
        ("/openai/v1/responses", E::Responses, None),
        ("/openai/deployments/my%20gpt/chat/completions", E::ChatCompletions, Some("my gpt")),
        ("/openai/deployments/emb/embeddings", E::Embeddings, Some("emb")),
        ("/openai/deployments/w/audio/transcriptions", E::Transcriptions, Some("w")),
        ("/v1/responses/compact", E::ResponsesCompact, None),
        ("/v1/responses/input_tokens", E::ResponsesInputTokens, None),
        ("/v1/messages", E::Messages, None),
        ("/anthropic/v1/messages/count_tokens", E::MessageTokens, None),
        ("/v1beta/models/gemini-3:generateContent", E::GenerateContent, Some("gemini-3")),
        (
            "/v1/projects/p/locations/global/publishers/google/models/g:streamGenerateContent",
            E::StreamGenerateContent,
            Some("g"),
        ),
        (
            "/v1/projects/p/locations/us/publishers/anthropic/models/claude-5%4020260101:\
                 streamRawPredict",
            E::Messages,
            Some("claude-5@20260101"),
        ),
        (
            "/v1/projects/p/locations/us/publishers/anthropic/models/count-tokens:rawPredict",
            E::MessageTokens,
            None,
        ),
        (
            "/v1/projects/p/locations/us/publishers/mistralai/models/m:rawPredict",
            E::ChatCompletions,
            Some("m"),
        ),
        (
            "/v1/projects/p/locations/us/publishers/google/models/text-embedding-005:predict",
            E::Other,
            Some("text-embedding-005"),
        ),
        (
            "/model/us.amazon.nova-micro-v1%3A0/converse",
            E::Converse,
            Some("us.amazon.nova-micro-v1:0"),
        ),
        ("/model/m/converse-stream", E::ConverseStream, Some("m")),
        (
            "/model/arn:aws:bedrock:us-east-1:1:inference-profile/us.m-v1:0/invoke",
            E::Invoke,
            Some("arn:aws:bedrock:us-east-1:1:inference-profile/us.m-v1:0"),
        ),
        ("/model/m/invoke-with-response-stream", E::InvokeStream, Some("m")),
        ("/model/m/count-tokens", E::Other, Some("m")),
        ("/v2/chat", E::CohereChat, None),
        ("/v2/embed", E::CohereEmbed, None),
        ("/api/chat", E::OllamaChat, None),
        ("/v1/images/generations", E::Images, None),
        ("/v2/rerank", E::Other, None),
        ("/v1/models/:generateContent", E::Other, None),
        ("/", E::Other, None),
        ("", E::Other, None),
    ];

    #[test]
    fn the_end_of_a_path_says_which_operation_it_is_and_where_its_model_stands() {
        for (path, expected, model) in PATHS {
            assert_eq!(endpoint(path), (*expected, model.map(Cow::Borrowed)), "{path}");
        }
    }

    #[test]
    fn reading_is_free_ordering_is_not_and_the_unknown_is_a_call() {
        use Purpose::{Call, Later, Read};
        for (method, path, expected) in [
            ("GET", "/v1/models", Read),
            ("GET", "/v1/files/file-1/content", Read),
            ("DELETE", "/v1/files/file-1", Read),
            ("GET", "/v1/responses/resp_1", Read),
            ("GET", "/v1/realtime", Call),
            ("POST", "/v1/files", Read),
            ("POST", "/v1/uploads/u/parts", Read),
            ("POST", "/v1/uploads/u/complete", Read),
            ("POST", "/v1/complete", Call),
            ("POST", "/v1/realtime/client_secrets", Later),
            ("POST", "/v1alpha/auth_tokens", Later),
            ("POST", "/v1/responses/resp_1/cancel", Read),
            ("POST", "/v1/messages/count_tokens", Read),
            ("POST", "/v1/moderations", Read),
            ("POST", "/model/m/count-tokens", Read),
            ("POST", "/v1/batches", Later),
            ("POST", "/v1/messages/batches", Later),
            ("POST", "/v1/batches/b/cancel", Read),
            ("POST", "/v1beta/models/m:batchGenerateContent", Later),
            ("POST", "/v1/fine_tuning/jobs", Later),
            ("POST", "/v1/videos", Later),
            ("POST", "/v1/chat/completions", Call),
            ("POST", "/v2/rerank", Call),
            ("PUT", "/v1/anything", Call),
        ] {
            assert_eq!(purpose(method, path), expected, "{method} {path}");
        }
    }
}
