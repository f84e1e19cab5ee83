//! Recorded exchanges with real providers, read from `../shared/cases` beside the workspace.
//!
//! A case is data: request, answer and the usage that the provider stated, on one scale. Where the
//! folder is absent (a checkout elsewhere) loading gives nothing and tests skip with a message.

use std::path::PathBuf;

use base64::Engine as _;
use bytes::Bytes;
use serde_json::Value;
use tollgate_domain::usage::Usage;

use crate::upstream::{Piece, Reply};

/// One recorded exchange.
#[derive(Clone, Debug)]
pub struct Case {
    /// File name without `.json`.
    pub name: String,
    /// Provider as the recording names it: `openai`, `groq`, ….
    pub provider: String,
    /// Format: `openai-chat`, `openai-responses`, `anthropic`, `gemini`, ….
    pub api: String,
    /// `http`, `websocket` or `grpc`.
    pub transport: String,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// Request method.
    pub method: String,
    /// Request URL, as recorded.
    pub url: String,
    /// Request body, where there was one.
    pub request: Option<Value>,
    /// Answer status.
    pub status: u16,
    /// Answer headers that describe the content; framing headers are left out.
    pub headers: Vec<(String, String)>,
    /// Answer body: JSON serialised anew, event streams and binary as recorded.
    pub body: Bytes,
    /// What a reader must find.
    pub expected: Expected,
}

/// What the recording says that a reader must find.
#[derive(Clone, Debug)]
pub struct Expected {
    /// `ok`, `http_error`, `inband_error` or `no_usage`.
    pub outcome: String,
    /// The model that the answer names.
    pub model: Option<String>,
    /// The service tier that the answer states.
    pub service_tier: Option<String>,
    /// The provider's figures on the scale of [`Usage`]; `None` where it states none.
    pub usage: Option<Usage>,
    /// The model and the figures of each part, where several worked on one answer.
    pub parts: Vec<(String, Usage)>,
}

/// The folder of recordings, relative to this crate: beside the workspace.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases")
}

impl Case {
    /// The case of that name; `None` where the recordings are not on this machine.
    pub fn load(name: &str) -> Option<Self> {
        let path = folder().join(format!("{name}.json"));
        let text = std::fs::read(&path).ok()?;
        let case: Value = serde_json::from_slice(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Some(Self::from_json(name, &case))
    }

    /// Every case that is an HTTP exchange, by name; empty where the recordings are absent.
    pub fn all() -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(folder()) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .filter(|name| name != "index" && name != "prices")
            .collect();
        names.sort();
        names
            .iter()
            .filter_map(|name| Self::load(name))
            .filter(|case| case.transport == "http")
            .collect()
    }

    fn from_json(name: &str, case: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (request, response) = (&case["request"], &case["response"]);
        let expected = &case["expected"];
        Self {
            name: name.to_owned(),
            provider: text(&case["provider"]),
            api: text(&case["api"]),
            transport: text(&case["transport"]),
            stream: case["stream"].as_bool().unwrap_or_default(),
            method: text(&request["method"]),
            url: text(&request["url"]),
            request: Some(&request["body"]).filter(|body| !body.is_null()).cloned(),
            status: response["status"].as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
            headers: content_headers(&response["headers"]),
            body: body(response),
            expected: Expected {
                outcome: text(&expected["outcome"]),
                model: expected["model"].as_str().map(str::to_owned),
                service_tier: expected["service_tier"].as_str().map(str::to_owned),
                usage: expected["usage"].as_object().map(|_| usage(&expected["usage"])),
                parts: expected["parts"]
                    .as_array()
                    .map(|parts| {
                        parts
                            .iter()
                            .map(|part| (text(&part["model"]), usage(&part["usage"])))
                            .collect()
                    })
                    .unwrap_or_default(),
            },
        }
    }

    /// The answer as a scripted reply, its body cut before each of the ascending offsets `cuts`.
    pub fn reply(&self, cuts: &[usize]) -> Reply {
        let mut reply = Reply::status(self.status);
        for (name, value) in &self.headers {
            reply = reply.header(name, value);
        }
        let mut pieces = Vec::with_capacity(cuts.len() + 1);
        let mut from = 0;
        for cut in cuts.iter().copied().filter(|cut| *cut > 0 && *cut < self.body.len()) {
            pieces.push(Piece::Send(self.body.slice(from..cut)));
            from = cut;
        }
        pieces.push(Piece::Send(self.body.slice(from..)));
        if cuts.is_empty() && !self.stream {
            return reply.whole(self.body.clone());
        }
        reply.pieces(pieces)
    }
}

fn body(response: &Value) -> Bytes {
    if let Some(text) = response["body_text"].as_str() {
        return Bytes::copy_from_slice(text.as_bytes());
    }
    if let Some(text) = response["body_base64"].as_str() {
        return base64::engine::general_purpose::STANDARD.decode(text).unwrap().into();
    }
    match &response["body"] {
        Value::Null => Bytes::new(),
        value => serde_json::to_vec(value).unwrap().into(),
    }
}

fn content_headers(headers: &Value) -> Vec<(String, String)> {
    let framing = ["transfer-encoding", "content-length", "content-encoding", "connection"];
    let Some(headers) = headers.as_object() else {
        return Vec::new();
    };
    headers
        .iter()
        .filter(|(name, _)| !framing.contains(&name.to_lowercase().as_str()))
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn usage(stated: &Value) -> Usage {
    let count = |name: &str| stated[name].as_u64().unwrap_or_default();
    let mut usage = Usage {
        input: count("input_total"),
        cache_read: count("cache_read"),
        cache_write: count("cache_write"),
        cache_write_5m: count("cache_write_5m"),
        cache_write_1h: count("cache_write_1h"),
        tool_input: count("tool_input"),
        input_audio: count("input_audio"),
        input_image: count("input_image"),
        input_video: count("input_video"),
        output: count("output_total"),
        reasoning: count("reasoning"),
        output_audio: count("output_audio"),
        output_image: count("output_image"),
        web_searches: count("web_search"),
        ..Usage::default()
    };
    usage.clamp_parts();
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_exchange_loads_and_keeps_its_figures() {
        let cases = Case::all();
        if cases.is_empty() {
            println!("skipped: no recordings at {}", folder().display());
            return;
        }
        assert!(cases.len() > 60, "only {} exchanges", cases.len());
        let plain = Case::load("openai-chat-plain").unwrap();
        assert_eq!(plain.expected.usage, Some(Usage::tokens(8, 9)));
        assert!(cases.iter().all(|case| case.status >= 200 && !case.body.is_empty()));
    }
}
