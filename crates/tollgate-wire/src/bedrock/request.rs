//! Reads requests to Bedrock and lowers their output maximum: Converse, and models in their own
//! form (invoke), where each family bounds its output by another key.
//!
//! The model stands in the path. A body is refused where it could be read in two ways, as in the
//! other dialects. Sources: the API reference of Converse, and the parameters of each family in the
//! user guide of Bedrock.

mod media;

use bytes::Bytes;

use super::model::model_id;
use crate::endpoint::Endpoint;
use crate::json::Text;
use crate::json::strict::{Item, Kind, Strict};
use crate::peek::{BodyError, Peek, Span};
use media::Media;

/// Objects that hold a bound, besides the body itself.
const HOLDERS: [&str; 3] =
    ["inferenceConfig", "textGenerationConfig", "additionalModelRequestFields"];
/// Keys that bound the output.
const BOUNDS: [&str; 7] = [
    "maxTokens",
    "max_tokens",
    "max_gen_len",
    "max_new_tokens",
    "max_completion_tokens",
    "max_tokens_to_sample",
    "maxTokenCount",
];
/// Further keys that bear on cost.
const OTHERS: [&str; 4] = ["messages", "texts", "num_generations", "serviceTier"];

/// Reads what a request says about its cost. `model` is the one that the path names.
pub fn peek(endpoint: Endpoint, model: &str, body: &[u8]) -> Result<Peek, BodyError> {
    if model.is_empty() {
        return Err(BodyError::of("modelId", "the path names no model"));
    }
    let scan = Scan::of(body)?;
    let mut peek = scan.peek;
    if matches!(endpoint, Endpoint::Converse | Endpoint::ConverseStream) && !scan.has_messages {
        return Err(BodyError::of("messages", "`messages` is missing"));
    }
    peek.model = model.into();
    peek.stream = endpoint.always_streams();
    peek.usage_asked = true;
    peek.choices = peek.choices.max(1);
    peek.max_output = scan.bounds.iter().map(|bound| bound.value).max();
    peek.spans.insert_at = scan.insert_at;
    peek.input.bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    scan.media.settle(&mut peek.input);
    Ok(peek)
}

/// The body with an output maximum of at most `max`; a caller's smaller one stays. `body` itself,
/// not copied, where nothing changes.
pub fn clamp(endpoint: Endpoint, model: &str, body: &Bytes, max: u64) -> Bytes {
    let Ok(scan) = Scan::of(body) else { return body.clone() };
    let digits = max.to_string();
    let mut edits: Vec<(Span, String)> = scan
        .bounds
        .iter()
        .filter(|bound| bound.value > max)
        .map(|bound| (bound.span, digits.clone()))
        .collect();
    if scan.bounds.is_empty() {
        edits.extend(scan.new_bound(usual_bound(endpoint, model), &digits));
    }
    spliced(body, edits)
}

/// Where a family keeps its bound: the object that holds it, if any, and the key.
fn usual_bound(endpoint: Endpoint, model: &str) -> Option<(Option<&'static str>, &'static str)> {
    if matches!(endpoint, Endpoint::Converse | Endpoint::ConverseStream) {
        return Some((Some("inferenceConfig"), "maxTokens"));
    }
    let id = model_id(model)?;
    let of = |maker: &str| id.split('.').any(|part| part == maker);
    if id.contains("embed") || id.contains("rerank") {
        return None;
    }
    Some(if id.contains("amazon.titan") {
        (Some("textGenerationConfig"), "maxTokenCount")
    } else if id.contains("amazon.nova") {
        (Some("inferenceConfig"), "maxTokens")
    } else if of("meta") {
        (None, "max_gen_len")
    } else if of("openai") {
        (None, "max_completion_tokens")
    } else {
        (None, "max_tokens")
    })
}

/// A bound that a body states.
#[derive(Clone, Copy, Debug)]
struct Bound {
    span: Span,
    value: u64,
}

/// An object that can hold a bound, as it stands in the body.
#[derive(Clone, Copy, Debug)]
struct Holder {
    name: &'static str,
    /// Behind its opening brace.
    insert_at: usize,
    empty: bool,
}

/// What one pass over a body finds.
#[derive(Debug, Default)]
struct Scan {
    insert_at: usize,
    empty: bool,
    has_messages: bool,
    seen: Vec<&'static str>,
    bounds: Vec<Bound>,
    holders: Vec<Holder>,
    media: Media,
    peek: Peek,
}

impl Scan {
    fn of(body: &[u8]) -> Result<Self, BodyError> {
        let mut cursor = Strict::new(body)?;
        cursor.space();
        if cursor.next_byte() != Some(b'{') {
            let message = "the body must be a JSON object".to_owned();
            return Err(BodyError { message, param: None });
        }
        let mut scan = Self { insert_at: cursor.offset() + 1, empty: true, ..Self::default() };
        cursor.object(|cursor, key| scan.member(cursor, key))?;
        cursor.end()?;
        Ok(scan)
    }

    fn member(&mut self, cursor: &mut Strict<'_>, key: Text<'_>) -> Result<(), BodyError> {
        self.empty = false;
        let known = HOLDERS.iter().chain(&BOUNDS).chain(&OTHERS).chain(&["toolConfig", "tools"]);
        let Some(name) = known_as(key, known.copied())? else {
            return Ok(cursor.value(&mut self.media).map(drop)?);
        };
        if self.seen.contains(&name) {
            return Err(BodyError::of(name, format!("`{name}` stands twice")));
        }
        self.seen.push(name);
        match name {
            "messages" | "texts" => self.items(cursor, name)?,
            "num_generations" => self.peek.choices = count(cursor, name)?.map_or(1, |(_, n)| n),
            "serviceTier" => self.service_tier(cursor)?,
            "toolConfig" | "tools" => {
                let item = cursor.value(&mut self.media)?;
                self.peek.tools.functions |= item.kind != Kind::Null;
                let hosted = memchr::memmem::find(item.raw, b"\"systemTool\"").is_some();
                self.peek.tools.hosted |= hosted;
                self.peek.tools.web_search |= hosted;
            }
            name if BOUNDS.contains(&name) => self.bound(cursor, name)?,
            name => self.holder(cursor, name)?,
        }
        Ok(())
    }

    fn holder(&mut self, cursor: &mut Strict<'_>, name: &'static str) -> Result<(), BodyError> {
        if cursor.next_byte() != Some(b'{') {
            return match cursor.value(&mut ())?.kind {
                Kind::Null => Ok(()),
                _ => Err(BodyError::of(name, format!("`{name}` must be an object"))),
            };
        }
        let insert_at = cursor.offset() + 1;
        let (mut empty, mut seen) = (true, Vec::new());
        cursor.object(|cursor, key| {
            empty = false;
            let Some(bound) = known_as(key, BOUNDS.iter().copied())? else {
                return Ok(cursor.value(&mut self.media).map(drop)?);
            };
            if seen.contains(&bound) {
                return Err(BodyError::of(bound, format!("`{bound}` stands twice")));
            }
            seen.push(bound);
            self.bound(cursor, bound)
        })?;
        self.holders.push(Holder { name, insert_at, empty });
        Ok(())
    }

    fn bound(&mut self, cursor: &mut Strict<'_>, name: &'static str) -> Result<(), BodyError> {
        if let Some((span, value)) = count(cursor, name)? {
            self.bounds.push(Bound { span, value });
        }
        Ok(())
    }

    fn items(&mut self, cursor: &mut Strict<'_>, name: &str) -> Result<(), BodyError> {
        self.has_messages |= name == "messages";
        if cursor.next_byte() != Some(b'[') {
            return Err(BodyError::of(name, format!("`{name}` must be a list")));
        }
        let (media, mut items) = (&mut self.media, 0);
        cursor.array(|cursor| {
            items += 1;
            cursor.value(media).map(drop)
        })?;
        self.peek.input.items = items;
        Ok(())
    }

    /// `{"type":"flex"}`
    fn service_tier(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        if cursor.next_byte() != Some(b'{') {
            return Ok(cursor.value(&mut ()).map(drop)?);
        }
        cursor.object(|cursor, key| {
            if let (b"type", Kind::String(tier)) = (key.raw, cursor.value(&mut ())?.kind) {
                self.peek.service_tier = tier.decode().map(|tier| Box::from(&*tier));
            }
            Ok(())
        })
    }

    /// The place and the text of a bound where there is none.
    fn new_bound(
        &self,
        usual: Option<(Option<&'static str>, &'static str)>,
        digits: &str,
    ) -> Option<(Span, String)> {
        let (holder, key) = usual?;
        let member = format!("\"{key}\":{digits}");
        let place = |at, empty, member: String| {
            let comma = if empty { "" } else { "," };
            Some((Span { start: at, end: at }, [&member, comma].concat()))
        };
        let Some(name) = holder else { return place(self.insert_at, self.empty, member) };
        match self.holders.iter().find(|holder| holder.name == name) {
            Some(holder) => place(holder.insert_at, holder.empty, member),
            // One that says null would stand twice; such a body is refused by AWS anyway.
            None if self.seen.contains(&name) => None,
            None => place(self.insert_at, self.empty, format!("\"{name}\":{{{member}}}")),
        }
    }
}

/// The known key that this one is; refuses one that another reader may take for it.
fn known_as(
    key: Text<'_>,
    mut known: impl Iterator<Item = &'static str>,
) -> Result<Option<&'static str>, BodyError> {
    let text = key.decode_lossy();
    let Some(name) = known.find(|name| name.eq_ignore_ascii_case(&text)) else { return Ok(None) };
    // Two keys that are known apart from each other, like `maxTokens`, differ in more than case.
    if key.raw == name.as_bytes() {
        return Ok(Some(name));
    }
    Err(BodyError::of(name, format!("a key is spelled unlike `{name}`, but alike")))
}

/// A whole number that is not negative and where it stands; `None` for `null`.
fn count(cursor: &mut Strict<'_>, name: &str) -> Result<Option<(Span, u64)>, BodyError> {
    let Item { kind, start, end, raw } = cursor.value(&mut ())?;
    if kind == Kind::Null {
        return Ok(None);
    }
    let number = str::from_utf8(raw).ok().and_then(|text| text.parse().ok());
    match number.filter(|_| kind == Kind::Number) {
        Some(number) => Ok(Some((Span { start, end }, number))),
        None => {
            let message = format!("`{name}` must be a whole number that is not negative");
            Err(BodyError::of(name, message))
        }
    }
}

fn spliced(body: &Bytes, mut edits: Vec<(Span, String)>) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = Vec::with_capacity(body.len() + 64);
    let mut from = 0;
    for (span, text) in &edits {
        out.extend_from_slice(body.get(from..span.start).unwrap_or_default());
        out.extend_from_slice(text.as_bytes());
        from = span.end;
    }
    out.extend_from_slice(body.get(from..).unwrap_or_default());
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint as E;

    const NOVA: &str = "us.amazon.nova-micro-v1:0";

    fn clamped(endpoint: E, model: &str, body: &str) -> String {
        let out = clamp(endpoint, model, &Bytes::copy_from_slice(body.as_bytes()), 100);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn what_bears_on_cost_is_read() {
        let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"},{"image":{"format":"png",
            "source":{"bytes":"iVBORw0KGgoAAAA"}}}]}],"inferenceConfig":{"maxTokens":512},
            "toolConfig":{"tools":[{"toolSpec":{}}]},"serviceTier":{"type":"priority"},
            "additionalModelRequestFields":{"max_tokens":600}}"#;
        let seen = peek(E::ConverseStream, NOVA, body.as_bytes()).unwrap();
        assert_eq!((&*seen.model, seen.stream, seen.max_output), (NOVA, true, Some(600)));
        assert_eq!(seen.service_tier.as_deref(), Some("priority"));
        assert!(seen.tools.functions && !seen.tools.hosted);
        assert_eq!((seen.input.images, seen.input.image_bytes), (1, 15));
        assert_eq!((seen.input.items, seen.input.bytes), (1, body.len() as u64));
        assert_eq!(seen.output_bound(9), 600);
        assert!(!peek(E::Converse, NOVA, body.as_bytes()).unwrap().stream);
        let hosted = r#"{"messages":[],"toolConfig":{"tools":[{"systemTool":{"name":"x"}}]}}"#;
        assert!(peek(E::Converse, NOVA, hosted.as_bytes()).unwrap().tools.hosted);
    }

    #[test]
    fn each_family_is_bounded_by_its_own_key() {
        for (endpoint, model, body, expected) in [
            (
                E::Converse,
                NOVA,
                r#"{"messages":[],"inferenceConfig":{"maxTokens":500}}"#,
                r#"{"messages":[],"inferenceConfig":{"maxTokens":100}}"#,
            ),
            (
                E::Converse,
                NOVA,
                r#"{"messages":[],"inferenceConfig":{"maxTokens":50}}"#,
                r#"{"messages":[],"inferenceConfig":{"maxTokens":50}}"#,
            ),
            (
                E::Converse,
                NOVA,
                r#"{"messages":[],"inferenceConfig":{}}"#,
                r#"{"messages":[],"inferenceConfig":{"maxTokens":100}}"#,
            ),
            (
                E::Converse,
                NOVA,
                r#"{"messages":[],"inferenceConfig":{"topP":1}}"#,
                r#"{"messages":[],"inferenceConfig":{"maxTokens":100,"topP":1}}"#,
            ),
            (
                E::Converse,
                NOVA,
                r#"{"messages":[]}"#,
                r#"{"inferenceConfig":{"maxTokens":100},"messages":[]}"#,
            ),
            (
                E::Invoke,
                NOVA,
                r#"{"messages":[],"inferenceConfig":{"max_new_tokens":500}}"#,
                r#"{"messages":[],"inferenceConfig":{"max_new_tokens":100}}"#,
            ),
            (
                E::InvokeStream,
                "anthropic.claude-opus-5",
                r#"{"max_tokens":101,"messages":[]}"#,
                r#"{"max_tokens":100,"messages":[]}"#,
            ),
            (
                E::Invoke,
                "us.meta.llama4-scout-17b-instruct-v1:0",
                r#"{"prompt":"x"}"#,
                r#"{"max_gen_len":100,"prompt":"x"}"#,
            ),
            (
                E::Invoke,
                "amazon.titan-text-lite-v1",
                r#"{"inputText":"x"}"#,
                r#"{"textGenerationConfig":{"maxTokenCount":100},"inputText":"x"}"#,
            ),
            (
                E::Invoke,
                "mistral.mistral-large-2402-v1:0",
                r#"{"prompt":"x"}"#,
                r#"{"max_tokens":100,"prompt":"x"}"#,
            ),
            (
                E::Invoke,
                "amazon.titan-embed-text-v2:0",
                r#"{"inputText":"x"}"#,
                r#"{"inputText":"x"}"#,
            ),
            (E::Invoke, "cohere.command-r-v1:0", "{}", r#"{"max_tokens":100}"#),
        ] {
            assert_eq!(clamped(endpoint, model, body), expected, "{model}");
            assert!(peek(E::Invoke, model, expected.as_bytes()).is_ok(), "still a body");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused_by_name() {
        for (body, param) in [
            (r#"{"messages":[],"messages":[]}"#, Some("messages")),
            (
                r#"{"messages":[],"inferenceConfig":{"maxTokens":1,"maxTokens":9}}"#,
                Some("maxTokens"),
            ),
            (r#"{"messages":[],"InferenceConfig":{}}"#, Some("inferenceConfig")),
            (r#"{"messages":[],"inferenceConfig":{"MaxTokens":1}}"#, Some("maxTokens")),
            (r#"{"messages":[],"inferenceConfig":{"max\u0054okens":1}}"#, Some("maxTokens")),
            (r#"{"messages":[],"inferenceConfig":[]}"#, Some("inferenceConfig")),
            (r#"{"messages":[],"inferenceConfig":{"maxTokens":-1}}"#, Some("maxTokens")),
            (r#"{"messages":{}}"#, Some("messages")),
            (r#"{"inferenceConfig":{}}"#, Some("messages")),
            ("[]", None),
            ("{", None),
        ] {
            let error = peek(E::Converse, NOVA, body.as_bytes()).unwrap_err();
            assert_eq!(error.param.as_deref(), param, "{body}: {}", error.message);
        }
        assert!(peek(E::Converse, "", b"{}").is_err());
    }
}
