//! Claude on Bedrock for clients of the messages form: near to byte for byte, without translation.
//!
//! Bedrock takes the body of a messages request, with the model in the path, a version in the body
//! instead of in a header, and no word about streaming; the betas of the header go into the body.
//! Its stream is frames that hold the events; here they become the events again. Source: what
//! Anthropic's own SDK does for Bedrock.

use bytes::Bytes;

use super::error::exception;
use super::frame::{self, FrameError, Frames};
use super::invoke::chunk_document;
use crate::facts::InbandError;
use crate::framing::Step;
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::json::push_string;
use crate::json::strict::Strict;
use crate::peek::BodyError;

/// Who runs Claude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Amazon Bedrock.
    Bedrock,
    /// Vertex AI, which keeps the word about streaming, and the betas in their header.
    Vertex,
}

impl Host {
    /// The version that it asks for.
    const fn version(self) -> &'static str {
        match self {
            Self::Bedrock => "bedrock-2023-05-31",
            Self::Vertex => "vertex-2023-10-16",
        }
    }
}

/// Makes the body of an invocation from the body of a messages request. `betas` are the values of
/// its `anthropic-beta` headers, each a list with commas.
///
/// The members that stay are not touched, except for the space between them. Fails where the body
/// is no JSON object.
pub fn invoke_body<'b>(
    host: Host,
    body: &[u8],
    betas: impl IntoIterator<Item = &'b str>,
) -> Result<Bytes, BodyError> {
    let mut cursor = Strict::new(body)?;
    cursor.space();
    let mut kept: Vec<&[u8]> = Vec::new();
    let (mut from, mut versioned, mut own_betas) = (cursor.offset() + 1, false, false);
    cursor.object(|cursor, key| {
        let name = key.decode_lossy();
        cursor.value(&mut ())?;
        let member = body.get(from..cursor.offset()).unwrap_or_default();
        from = cursor.offset();
        if name != "model" && (name != "stream" || host == Host::Vertex) {
            kept.push(bare_member(member));
        }
        versioned |= name == "anthropic_version";
        own_betas |= name == "anthropic_beta";
        Ok::<(), BodyError>(())
    })?;
    cursor.end()?;
    let mut out = Vec::with_capacity(body.len() + 64);
    out.push(b'{');
    if !versioned {
        push_member(&mut out, "anthropic_version", |out| push_string(out, host.version()));
    }
    let betas: Vec<&str> = betas.into_iter().flat_map(|list| list.split(',')).collect();
    let betas = betas.iter().map(|beta| beta.trim()).filter(|beta| !beta.is_empty());
    if host == Host::Bedrock && !own_betas && betas.clone().next().is_some() {
        push_member(&mut out, "anthropic_beta", |out| push_list(out, betas));
    }
    for member in kept {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(member);
    }
    out.push(b'}');
    Ok(out.into())
}

/// A member without the comma and the space around it.
fn bare_member(member: &[u8]) -> &[u8] {
    let member = member.trim_ascii();
    member.strip_prefix(b",").unwrap_or(member).trim_ascii_start()
}

fn push_member(out: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
    if out.len() > 1 {
        out.push(b',');
    }
    push_string(out, name);
    out.push(b':');
    value(out);
}

fn push_list<'b>(out: &mut Vec<u8>, items: impl Iterator<Item = &'b str>) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(out, item);
    }
    out.push(b']');
}

/// Turns the frames of an invocation of Claude into the events of the messages form.
#[derive(Debug, Default)]
pub struct MessagesStream {
    frames: Frames,
}

impl MessagesStream {
    /// Takes bytes from the provider and appends to `out` the events of every frame that is whole.
    ///
    /// What Bedrock adds to the last event (its own metrics) stays in it: clients pass over it.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        let mut from = 0;
        while from < chunk.len() {
            let Step::Event { end } = self.frames.step(chunk, from)? else { break };
            let part = chunk.get(from..end).unwrap_or_default();
            if self.frames.has_kept() {
                let mut whole = self.frames.take_kept();
                whole.extend_from_slice(part);
                push_event(out, &whole);
            } else {
                push_event(out, part);
            }
            from = end;
        }
        Ok(())
    }
}

fn push_event(out: &mut Vec<u8>, bytes: &[u8]) {
    let event = frame::event(bytes);
    let data = event.data.as_deref().unwrap_or_default();
    match event.name {
        b"chunk" => {
            let Some(document) = chunk_document(data) else { return };
            let kind = kind(&document);
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(b"\ndata: ");
            // A line end within the document would end the line of the event.
            out.extend(document.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
            out.extend_from_slice(b"\n\n");
        }
        name if name == b"error" || name.ends_with(b"Exception") => {
            push_error(out, &exception(name, data));
        }
        _ => {}
    }
}

/// The error event of the messages form. Its type is the one that the status has there.
fn push_error(out: &mut Vec<u8>, error: &InbandError) {
    let kind = match error.status {
        Some(400) => "invalid_request_error",
        Some(429) => "rate_limit_error",
        Some(503) => "overloaded_error",
        Some(408) => "timeout_error",
        _ => "api_error",
    };
    out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":");
    push_string(out, kind);
    out.extend_from_slice(b",\"message\":");
    push_string(out, &error.message);
    out.extend_from_slice(b"}}\n\n");
}

/// The name of an event, as letters only: it is written into a line.
fn kind(document: &[u8]) -> String {
    let mut kind = String::new();
    let mut pull = Pull::new(document);
    if pull.enter_object() {
        while let Some(key) = pull.next_key() {
            let value = pull.string_or_skip();
            if key == b"type" {
                kind = value.map(Text::decode_lossy).unwrap_or_default();
            }
        }
    }
    kind.retain(|c| c.is_ascii_alphanumeric() || c == '_');
    kind
}

#[cfg(test)]
mod tests {
    use super::super::frame::push_frame;
    use super::super::invoke::push_chunk;
    use super::*;
    use serde_json::{Value, json};

    fn made(body: &str, betas: &[&str]) -> String {
        let out = invoke_body(Host::Bedrock, body.as_bytes(), betas.iter().copied()).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn model_and_stream_leave_version_and_betas_come_and_the_rest_stays() {
        for (body, betas, expected) in [
            (
                r#"{"model":"claude","max_tokens":5, "messages" : [{"role":"user"}],"stream":true}"#,
                &["a,b", " c "][..],
                r#"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a","b","c"],"max_tokens":5,"messages" : [{"role":"user"}]}"#,
            ),
            (
                r#" { "max_tokens":1.50e1 , "model":"x" } "#,
                &[],
                r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":1.50e1}"#,
            ),
            (
                r#"{"anthropic_version":"v","anthropic_beta":["own"],"model":"x"}"#,
                &["a"],
                r#"{"anthropic_version":"v","anthropic_beta":["own"]}"#,
            ),
            (r#"{"model":"x"}"#, &[","], r#"{"anthropic_version":"bedrock-2023-05-31"}"#),
            (
                r#"{"mod\u0065l":"x","a":1}"#,
                &[],
                r#"{"anthropic_version":"bedrock-2023-05-31","a":1}"#,
            ),
        ] {
            assert_eq!(made(body, betas), expected);
        }
        for body in ["[]", "{", "{} x", ""] {
            assert!(invoke_body(Host::Bedrock, body.as_bytes(), []).is_err(), "{body}");
        }
    }

    #[test]
    fn frames_become_the_events_that_they_hold_however_they_are_cut() {
        let mut bytes = Vec::new();
        let mut expected = String::new();
        for event in [
            json!({"type":"message_start","message":{"usage":{"input_tokens":1}}}),
            json!({"type":"content_block_delta","delta":{"text":"h\ni \u{1f600}"}}),
            json!({"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":1}}),
        ] {
            push_chunk(&mut bytes, event.to_string().as_bytes());
            let name = event["type"].as_str().unwrap();
            expected.extend(["event: ", name, "\ndata: ", &event.to_string(), "\n\n"]);
        }
        for at in 0..bytes.len() {
            let (mut stream, mut out) = (MessagesStream::default(), Vec::new());
            stream.push(&bytes[..at], &mut out).unwrap();
            stream.push(&bytes[at..], &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "cut at {at}");
        }
    }

    #[test]
    fn an_exception_becomes_the_error_event_and_no_name_breaks_out_of_its_line() {
        let mut bytes = Vec::new();
        let headers = [(":message-type", "exception"), (":exception-type", "throttlingException")];
        push_frame(&mut bytes, &headers, br#"{"message":"too \"many\""}"#);
        push_chunk(&mut bytes, br#"{"type":"a\n\ndata: x"}"#);
        let mut out = Vec::new();
        MessagesStream::default().push(&bytes, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (error, rest) = text.split_once("\n\n").unwrap();
        let data = error.strip_prefix("event: error\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["error"]["type"], "rate_limit_error");
        assert_eq!(data["error"]["message"], "too \"many\"");
        assert_eq!(rest, "event: adatax\ndata: {\"type\":\"a\\n\\ndata: x\"}\n\n");
        assert!(MessagesStream::default().push(b"<html>no frames", &mut Vec::new()).is_err());
    }
}
