//! Requests in the native forms of vendors (Bedrock, Cohere, Ollama) and of unknown operations:
//! what they say about their cost, and the few bytes of them that may change.
//!
//! What these forms share is that the bound of the output stands under one of several keys, in the
//! body or in an object within it. Where each form keeps it is a table, not code. A body is refused
//! where it could be read in two ways, as in the other dialects. Sources: the API references of
//! Converse, Cohere and Ollama, and the parameters of each model family in the guide of Bedrock.

mod keys;
mod media;

use bytes::Bytes;

use crate::bedrock::model::model_id;
use crate::endpoint::Endpoint;
use crate::json::strict::{Item, Kind, Strict};
use crate::json::{Text, push_string};
use crate::peek::{BodyError, Peek, Span};
use crate::rewrite::Rewrite;
use keys::{BOUNDS, OTHERS, holders, known_as};
use media::Media;

/// Reads what a request says about its cost. `path_model` is the model that the path names; where
/// it names one, the body need not.
pub(crate) fn peek(
    endpoint: Endpoint,
    path_model: Option<&str>,
    body: &[u8],
) -> Result<Peek, BodyError> {
    let mut scan = Scan::of(endpoint, body)?;
    let named = path_model.filter(|model| !model.is_empty());
    if let Some(model) = named {
        scan.peek.model = model.into();
        scan.peek.spans.model = None;
    }
    if scan.peek.model.is_empty() {
        return Err(BodyError::of("model", "`model` is missing: name the model to call"));
    }
    let chat =
        matches!(endpoint, Endpoint::Converse | Endpoint::ConverseStream | Endpoint::CohereChat);
    if chat && !scan.seen.contains(&"messages") && !scan.seen.contains(&"message") {
        return Err(BodyError::of("messages", "`messages` is missing"));
    }
    let mut peek = scan.peek;
    peek.stream = match endpoint {
        // Ollama streams unless it is told not to.
        Endpoint::OllamaChat => scan.stream.unwrap_or(true),
        _ => endpoint.always_streams() || (endpoint.streams() && scan.stream == Some(true)),
    };
    peek.usage_asked = true;
    peek.choices = peek.choices.max(1);
    let stated = scan.bounds.iter().map(|bound| bound.value).max();
    peek.max_output = stated.filter(|max| *max != u64::MAX);
    peek.spans.insert_at = scan.insert_at;
    peek.input.bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    scan.media.settle(&mut peek.input);
    Ok(peek)
}

/// The body as it is sent: `body` itself, not copied, where nothing changes.
///
/// `peek` must come from this very body and endpoint.
pub(crate) fn rewrite(
    endpoint: Endpoint,
    body: &Bytes,
    peek: &Peek,
    change: &Rewrite<'_>,
) -> Bytes {
    let mut edits = Vec::new();
    if let (Some(model), Some(span)) = (change.model, peek.spans.model)
        && *model != *peek.model
    {
        let mut quoted = Vec::with_capacity(model.len() + 2);
        push_string(&mut quoted, model);
        edits.push((span, quoted));
    }
    if let Some(max) = change.max_output
        && let Ok(scan) = Scan::of(endpoint, body)
    {
        scan.clamp(usual_bound(endpoint, &peek.model), max, &mut edits);
    }
    spliced(body, edits)
}

/// The object that holds a bound, if any, and its key.
type Place = (Option<&'static str>, &'static str);

/// Where a form keeps its bound; `None` where it has none, or where it is not known.
fn usual_bound(endpoint: Endpoint, model: &str) -> Option<Place> {
    match endpoint {
        Endpoint::Converse | Endpoint::ConverseStream => {
            Some((Some("inferenceConfig"), "maxTokens"))
        }
        Endpoint::CohereChat => Some((None, "max_tokens")),
        Endpoint::OllamaChat => Some((Some("options"), "num_predict")),
        Endpoint::Invoke | Endpoint::InvokeStream => family_bound(model_id(model)?),
        _ => None,
    }
}

/// The same by the family of a model on Bedrock.
fn family_bound(id: &str) -> Option<Place> {
    if id.contains("embed") || id.contains("rerank") {
        return None;
    }
    let of = |maker: &str| id.split('.').any(|part| part == maker);
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

/// A bound that a body states. One that is no bound at all has the largest value.
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
    holders: &'static [&'static str],
    model_in_path: bool,
    insert_at: usize,
    empty: bool,
    seen: Vec<&'static str>,
    stream: Option<bool>,
    bounds: Vec<Bound>,
    held: Vec<Holder>,
    media: Media,
    peek: Peek,
}

impl Scan {
    fn of(endpoint: Endpoint, body: &[u8]) -> Result<Self, BodyError> {
        let mut cursor = Strict::new(body)?;
        cursor.space();
        if cursor.next_byte() != Some(b'{') {
            let message = "the body must be a JSON object".to_owned();
            return Err(BodyError { message, param: None });
        }
        let mut scan = Self {
            holders: holders(endpoint),
            model_in_path: endpoint.names_model_in_path(),
            insert_at: cursor.offset() + 1,
            empty: true,
            ..Self::default()
        };
        cursor.object(|cursor, key| scan.member(cursor, key))?;
        cursor.end()?;
        Ok(scan)
    }

    fn member(&mut self, cursor: &mut Strict<'_>, key: Text<'_>) -> Result<(), BodyError> {
        self.empty = false;
        let known = self.holders.iter().chain(&BOUNDS).chain(&OTHERS);
        let Some(name) = known_as(key, known.copied())? else {
            return Ok(cursor.value(&mut self.media).map(drop)?);
        };
        if self.seen.contains(&name) {
            return Err(BodyError::of(name, format!("`{name}` stands twice")));
        }
        self.seen.push(name);
        match name {
            "model" => self.model(cursor)?,
            "stream" => self.stream = flag(cursor, name)?,
            "messages" | "texts" | "input" | "prompt" => self.items(cursor)?,
            "num_generations" => self.peek.choices = count(cursor, name)?.map_or(1, |(_, n)| n),
            "serviceTier" => self.service_tier(cursor)?,
            "toolConfig" | "tools" => {
                let item = cursor.value(&mut self.media)?;
                self.peek.tools.functions |= item.kind != Kind::Null;
                let hosted = memchr::memmem::find(item.raw, b"\"systemTool\"").is_some();
                if hosted {
                    self.peek.tools.searches_the_web(None);
                }
            }
            // What Cohere runs itself.
            "connectors" => {
                if cursor.value(&mut ())?.kind != Kind::Null {
                    self.peek.tools.searches_the_web(None);
                }
            }
            name if BOUNDS.contains(&name) => self.bound(cursor, name)?,
            name if self.holders.contains(&name) => self.holder(cursor, name)?,
            _ => {
                cursor.value(&mut self.media)?;
            }
        }
        Ok(())
    }

    fn model(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        let item = cursor.value(&mut ())?;
        if self.model_in_path {
            return Ok(());
        }
        let refuse = || BodyError::of("model", "`model` must be a string that names a model");
        let Kind::String(text) = item.kind else { return Err(refuse()) };
        let name = text.decode().filter(|name| !name.trim().is_empty()).ok_or_else(refuse)?;
        self.peek.model = Box::from(&*name);
        self.peek.spans.model = Some(Span { start: item.start, end: item.end });
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
        self.held.push(Holder { name, insert_at, empty });
        Ok(())
    }

    fn bound(&mut self, cursor: &mut Strict<'_>, name: &'static str) -> Result<(), BodyError> {
        if let Some((span, value)) = count(cursor, name)? {
            self.bounds.push(Bound { span, value });
        }
        Ok(())
    }

    fn items(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        let mut items = 1;
        if cursor.next_byte() == Some(b'[') {
            let media = &mut self.media;
            items = 0;
            cursor.array(|cursor| {
                items += 1;
                cursor.value(media).map(drop)
            })?;
        } else {
            cursor.value(&mut self.media)?;
        }
        self.peek.input.items += items;
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

    /// Lowers every bound to `max`; where there is none, one is put where the form keeps it.
    fn clamp(&self, usual: Option<Place>, max: u64, edits: &mut Vec<(Span, Vec<u8>)>) {
        let digits = max.to_string();
        if self.bounds.is_empty() {
            edits.extend(self.new_bound(usual, &digits));
            return;
        }
        let above = self.bounds.iter().filter(|bound| bound.value > max);
        edits.extend(above.map(|bound| (bound.span, digits.clone().into_bytes())));
    }

    /// The place and the text of a bound where there is none.
    fn new_bound(&self, usual: Option<Place>, digits: &str) -> Option<(Span, Vec<u8>)> {
        let (holder, key) = usual?;
        let member = format!("\"{key}\":{digits}");
        let place = |at, empty, member: String| {
            let comma = if empty { "" } else { "," };
            Some((Span { start: at, end: at }, [&member, comma].concat().into_bytes()))
        };
        let Some(name) = holder else { return place(self.insert_at, self.empty, member) };
        match self.held.iter().find(|holder| holder.name == name) {
            Some(holder) => place(holder.insert_at, holder.empty, member),
            // One that says null would stand twice; the providers refuse such a body.
            None if self.seen.contains(&name) => None,
            None => place(self.insert_at, self.empty, format!("\"{name}\":{{{member}}}")),
        }
    }
}

fn flag(cursor: &mut Strict<'_>, name: &str) -> Result<Option<bool>, BodyError> {
    match cursor.value(&mut ())?.kind {
        Kind::Bool(flag) => Ok(Some(flag)),
        Kind::Null => Ok(None),
        _ => Err(BodyError::of(name, format!("`{name}` must be true or false"))),
    }
}

/// A whole number and where it stands; `None` for `null`. A negative one bounds nothing (Ollama's
/// `num_predict`) and is the largest value.
fn count(cursor: &mut Strict<'_>, name: &str) -> Result<Option<(Span, u64)>, BodyError> {
    let Item { kind, start, end, raw } = cursor.value(&mut ())?;
    if kind == Kind::Null {
        return Ok(None);
    }
    let text = str::from_utf8(raw).unwrap_or_default();
    let endless = name == "num_predict" && text.parse().is_ok_and(|n: i64| n < 0);
    let number = if endless { Some(u64::MAX) } else { text.parse().ok() };
    match number.filter(|_| kind == Kind::Number) {
        Some(number) => Ok(Some((Span { start, end }, number))),
        None => {
            let message = format!("`{name}` must be a whole number that is not negative");
            Err(BodyError::of(name, message))
        }
    }
}

fn spliced(body: &Bytes, mut edits: Vec<(Span, Vec<u8>)>) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = Vec::with_capacity(body.len() + 64);
    let mut from = 0;
    for (span, text) in &edits {
        out.extend_from_slice(body.get(from..span.start).unwrap_or_default());
        out.extend_from_slice(text);
        from = span.end;
    }
    out.extend_from_slice(body.get(from..).unwrap_or_default());
    out.into()
}

#[cfg(test)]
mod tests;
