//! Recorded exchanges translated to every other form: the requests as they would be sent, and the
//! answers as the client would get them. The files are read by people; `UPDATE_GOLDEN=1` writes
//! them anew. Texts that are long and streams that are long are shortened in them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use bytes::Bytes;
use serde_json::Value;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::openai::vendor::vendor;
use tollgate_wire::translate::{
    Target, Translator, View, translate_error, translate_request, translate_whole,
};

/// How many bytes of a text, and events at both ends of a stream, are shown.
const TEXT: usize = 240;
const HEAD: usize = 14;
const TAIL: usize = 8;

/// A recorded exchange in a form that is translated.
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) value: Value,
    pub(crate) endpoint: Endpoint,
}

impl Exchange {
    /// How the answer is shown.
    pub(crate) fn view(&self) -> View {
        let url = self.value["request"]["url"].as_str().unwrap();
        let host = url.split('/').nth(2).unwrap();
        View {
            model: "asked-model".to_owned(),
            created: 1_700_000_000,
            fallback_id: "0123456789".to_owned(),
            include_usage: true,
            array: false,
            custom_tools: Vec::new(),
            rules: vendor(self.value["provider"].as_str().unwrap(), host).usage,
        }
    }

    /// The bytes of a streamed answer.
    pub(crate) fn stream(&self) -> Option<Vec<u8>> {
        if self.value["stream"] != true {
            return None;
        }
        let response = &self.value["response"];
        match response["body_text"].as_str() {
            Some(text) => Some(text.as_bytes().to_vec()),
            None => base64::prelude::BASE64_STANDARD.decode(response["body_base64"].as_str()?).ok(),
        }
    }

    fn model_in_path(&self) -> Option<&str> {
        let (_, model) = self.value["request"]["url"].as_str()?.rsplit_once("/models/")?;
        model.split(':').next()
    }
}

/// All of them; none where they are absent.
pub(crate) fn exchanges() -> Vec<Exchange> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    let Ok(files) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut found: Vec<Exchange> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .filter_map(|path| {
            let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let endpoint = match (value["api"].as_str()?, value["endpoint"].as_str()?) {
                ("openai-chat", "chat.completions") => Endpoint::ChatCompletions,
                ("openai-responses", "responses") => Endpoint::Responses,
                ("anthropic", "messages") => Endpoint::Messages,
                ("gemini", "generateContent") => Endpoint::GenerateContent,
                ("gemini", "streamGenerateContent") => Endpoint::StreamGenerateContent,
                ("bedrock", "converse") => Endpoint::Converse,
                ("bedrock", "converse-stream") => Endpoint::ConverseStream,
                _ => return None,
            };
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Some(Exchange { name, value, endpoint })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The endpoints of the other forms.
pub(crate) fn others(endpoint: Endpoint, streams: bool) -> Vec<Endpoint> {
    let gemini = if streams { Endpoint::StreamGenerateContent } else { Endpoint::GenerateContent };
    let converse = if streams { Endpoint::ConverseStream } else { Endpoint::Converse };
    [Endpoint::ChatCompletions, Endpoint::Responses, Endpoint::Messages, gemini, converse]
        .into_iter()
        .filter(|other| *other != endpoint)
        .collect()
}

/// A model of the form's provider: some forms are written for the generation of the model.
const fn served(to: Endpoint) -> &'static str {
    match to {
        Endpoint::Messages => "claude-sonnet-4-5",
        Endpoint::GenerateContent | Endpoint::StreamGenerateContent => "gemini-3-flash",
        Endpoint::Converse | Endpoint::ConverseStream => "us.anthropic.claude-opus-5-v1:0",
        _ => "served-model",
    }
}

#[test]
fn requests_are_translated_as_the_files_show() {
    let mut seen = Vec::new();
    for exchange in exchanges() {
        let body = &exchange.value["request"]["body"];
        if !body.is_object() {
            continue;
        }
        let (bytes, streams) = (serde_json::to_vec(body).unwrap(), exchange.stream().is_some());
        let mut shown = String::new();
        for to in others(exchange.endpoint, streams) {
            // An answer comes back the other way.
            if Translator::new(to, exchange.endpoint, &exchange.view()).is_none() {
                continue;
            }
            let target = Target { model: served(to), max_output: Some(8192), ..Target::default() };
            let target = Target { include_usage: streams, ..target };
            let model = exchange.model_in_path();
            writeln!(shown, "=== {to:?}").unwrap();
            match translate_request(exchange.endpoint, to, model, &bytes, &target) {
                Ok((_, written)) => {
                    let body = serde_json::from_slice(&written.body).unwrap();
                    writeln!(shown, "{}", pretty(body)).unwrap();
                    if !written.left_out.is_empty() {
                        writeln!(shown, "left out: {}", written.left_out.join(", ")).unwrap();
                    }
                }
                Err(error) => {
                    let param = error.param.as_deref().unwrap_or("-");
                    writeln!(shown, "refused: {param}: {}", error.message).unwrap();
                }
            }
        }
        check("requests", &exchange.name, &shown, &mut seen);
    }
    nothing_else("requests", &seen);
}

#[test]
fn answers_are_translated_as_the_files_show() {
    let mut seen = Vec::new();
    for exchange in exchanges() {
        let mut shown = String::new();
        let stream = exchange.stream();
        for to in others(exchange.endpoint, stream.is_some()) {
            let view = exchange.view();
            let Some(mut translator) = Translator::new(exchange.endpoint, to, &view) else {
                continue;
            };
            writeln!(shown, "=== {to:?}").unwrap();
            if let Some(stream) = &stream {
                let mut out = Vec::new();
                translator.push(stream, &mut out);
                translator.finish(&mut out);
                assert!(translator.is_whole(), "{} to {to:?}", exchange.name);
                events(&out.concat(), &mut shown);
                continue;
            }
            let body = serde_json::to_vec(&exchange.value["response"]["body"]).unwrap();
            let body: Bytes = if exchange.value["expected"]["outcome"] == "http_error" {
                let status = exchange.value["response"]["status"].as_u64().unwrap();
                let status = u16::try_from(status).unwrap();
                let (status, body) = translate_error(to, status, &body, Some("req_1"));
                writeln!(shown, "status {status}").unwrap();
                body
            } else {
                translate_whole(exchange.endpoint, to, &body, &view)
            };
            writeln!(shown, "{}", pretty(serde_json::from_slice(&body).unwrap())).unwrap();
        }
        check("answers", &exchange.name, &shown, &mut seen);
    }
    nothing_else("answers", &seen);
}

fn pretty(mut value: Value) -> String {
    shorten(&mut value);
    serde_json::to_string_pretty(&value).unwrap()
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > TEXT => {
            let kept = text.floor_char_boundary(TEXT);
            let left = text.len() - kept;
            text.truncate(kept);
            write!(text, "... and {left} bytes").unwrap();
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(members) => members.values_mut().for_each(shorten),
        _ => {}
    }
}

/// The events of a stream, one after the other.
fn events(bytes: &[u8], shown: &mut String) {
    let text = str::from_utf8(bytes).unwrap().replace("\r\n", "\n");
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    for (number, event) in events.iter().enumerate() {
        if (HEAD..events.len().saturating_sub(TAIL)).contains(&number) {
            if number == HEAD {
                writeln!(shown, "... {} events ...", events.len() - HEAD - TAIL).unwrap();
            }
            continue;
        }
        for line in event.lines() {
            match line.strip_prefix("data: ").map(serde_json::from_str::<Value>) {
                Some(Ok(mut data)) => {
                    shorten(&mut data);
                    writeln!(shown, "data: {data}").unwrap();
                }
                _ => writeln!(shown, "{line}").unwrap(),
            }
        }
    }
}

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(kind)
}

fn check(kind: &str, name: &str, shown: &str, seen: &mut Vec<String>) {
    if shown.is_empty() {
        return;
    }
    let file = format!("{name}.txt");
    let path = folder(kind).join(&file);
    seen.push(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(folder(kind)).unwrap();
        std::fs::write(&path, shown).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(shown.lines()).find(|(kept, shown)| kept != shown);
    assert!(
        kept == shown,
        "{} differs, first at {differs:?}; UPDATE_GOLDEN=1 writes it anew",
        path.display()
    );
}

/// A file whose exchange is gone, or is no longer translated, shows nothing.
fn nothing_else(kind: &str, seen: &[String]) {
    if seen.is_empty() {
        return;
    }
    for file in std::fs::read_dir(folder(kind)).unwrap() {
        let name = file.unwrap().file_name().to_string_lossy().into_owned();
        assert!(seen.contains(&name), "{kind}/{name} belongs to no exchange");
    }
}

#[test]
fn recorded_streams_cut_anywhere_are_translated_to_the_same_bytes() {
    for exchange in exchanges() {
        let Some(stream) = exchange.stream() else { continue };
        for to in others(exchange.endpoint, true) {
            let new = || Translator::new(exchange.endpoint, to, &exchange.view());
            let Some(mut whole) = new() else { continue };
            let mut expected = Vec::new();
            whole.push(&stream, &mut expected);
            whole.finish(&mut expected);
            for size in [1, 2, 3, 7, 64, 1000] {
                let (mut cut, mut out) = (new().unwrap(), Vec::new());
                for chunk in stream.chunks(size) {
                    cut.push(chunk, &mut out);
                }
                cut.finish(&mut out);
                assert_eq!(out.concat(), expected.concat(), "{} by {size}", exchange.name);
            }
        }
    }
}
