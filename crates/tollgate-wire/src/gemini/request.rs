//! Reads a request of the Gemini form in one pass, and changes what of it may change.
//!
//! Every key has two spellings, `camelCase` and `snake_case`; a body that has both is refused. The
//! model stands in the path; where a body names it too, it must be the same.

mod content;

use bytes::Bytes;

use crate::endpoint::Endpoint;
use crate::json::push_string;
use crate::json::strict::{Kind, Strict};
use crate::peek::fields::{self, Keys, Named as _};
use crate::peek::{BodyError, Nested, Peek, Span};
use crate::rewrite::{Edits, Rewrite};
use content::Media;

use super::{PREFIX, bare, grounds_once, tier};

fields::fields! { Field {
    Contents = "contents",
    Content = "content",
    Requests = "requests",
    Wrapped = "generateContentRequest" | "generate_content_request",
    SystemInstruction = "systemInstruction" | "system_instruction",
    Tools = "tools",
    GenerationConfig = "generationConfig" | "generation_config",
    CachedContent = "cachedContent" | "cached_content",
    ServiceTier = "serviceTier" | "service_tier",
    Store = "store",
    Model = "model",
} }

fields::fields! { Config {
    MaxOutputTokens = "maxOutputTokens" | "max_output_tokens",
    CandidateCount = "candidateCount" | "candidate_count",
    ResponseModalities = "responseModalities" | "response_modalities",
    Thinking = "thinkingConfig" | "thinking_config",
} }

fields::fields! { Tool {
    Functions = "functionDeclarations" | "function_declarations",
    Search = "googleSearch" | "google_search",
    Retrieval = "googleSearchRetrieval" | "google_search_retrieval",
    Enterprise = "enterpriseWebSearch" | "enterprise_web_search",
    Computer = "computerUse" | "computer_use",
} }

/// Reads what `body` says about its cost. See [`Peek`].
pub(crate) fn peek(
    endpoint: Endpoint,
    path_model: Option<&str>,
    body: &[u8],
) -> Result<Peek, BodyError> {
    let mut cursor = fields::document(body)?;
    let mut draft = Draft::default();
    draft.peek.spans.insert_at = cursor.offset() + 1;
    draft.peek.model = path_model.map(|model| Box::from(bare(model))).unwrap_or_default();
    draft.peek.choices = 1;
    let keys = draft.object(&mut cursor)?;
    cursor.end()?;
    draft.finish(endpoint, keys, body.len())
}

/// The body as it is sent: with another model's name where it names one, and with the maximum put
/// into `generationConfig`.
pub(crate) fn rewrite(
    endpoint: Endpoint,
    body: &Bytes,
    peek: &Peek,
    change: &Rewrite<'_>,
) -> Bytes {
    let mut edits = Edits::new(peek);
    if let Some(model) = change.model.filter(|model| **model != *peek.model) {
        for span in &peek.spans.models {
            let prefixed = body.get(span.start + 1..).is_some_and(|at| at.starts_with(b"models/"));
            let name = if prefixed { format!("{PREFIX}{model}") } else { model.to_owned() };
            let mut quoted = Vec::with_capacity(name.len() + 2);
            push_string(&mut quoted, &name);
            edits.replace(*span, quoted);
        }
    }
    if let Some(max) = change.max_output.filter(|_| endpoint.generates()) {
        clamp(&mut edits, peek, max);
    }
    edits.apply(body)
}

fn clamp(edits: &mut Edits, peek: &Peek, max: u64) {
    match (peek.spans.max_output_tokens, peek.spans.generation_config) {
        (Some((_, Some(stated))), _) if stated <= max => {}
        (Some((span, _)), _) => edits.replace(span, max.to_string().into_bytes()),
        (None, Nested::Absent) => {
            let config = format!("{{\"maxOutputTokens\":{max}}}");
            edits.member("generationConfig", config.as_bytes());
        }
        (None, Nested::Null(span)) => {
            edits.replace(span, format!("{{\"maxOutputTokens\":{max}}}").into_bytes());
        }
        (None, Nested::Object { insert_at, empty }) => {
            let comma = if empty { "" } else { "," };
            let member = format!("\"maxOutputTokens\":{max}{comma}").into_bytes();
            edits.replace(Span { start: insert_at, end: insert_at }, member);
        }
    }
}

/// A peek under construction.
#[derive(Default)]
struct Draft {
    media: Media,
    peek: Peek,
}

impl Draft {
    /// Reads a request, which may stand within another.
    fn object(&mut self, cursor: &mut Strict<'_>) -> Result<Keys, BodyError> {
        let mut keys = Keys::default();
        cursor.object(|cursor, key| match keys.known(key)? {
            Some(field) => self.read(cursor, field),
            None => Ok(cursor.value(&mut ()).map(drop)?),
        })?;
        Ok(keys)
    }

    fn read(&mut self, cursor: &mut Strict<'_>, field: Field) -> Result<(), BodyError> {
        let name = field.name();
        match field {
            Field::Contents => {
                let (media, items) = (&mut self.media, &mut self.peek.input.items);
                fields::each_of(cursor, |cursor| {
                    *items += 1;
                    media.content(cursor)
                })?;
            }
            Field::Content => {
                self.peek.input.items += 1;
                self.media.content(cursor)?;
            }
            Field::SystemInstruction => self.media.content(cursor)?,
            Field::Requests => {
                cursor.array(|cursor| self.object(cursor).map(drop))?;
            }
            Field::Wrapped => self.object(cursor).map(drop)?,
            Field::Tools => self.tools(cursor)?,
            Field::GenerationConfig => self.config(cursor, name)?,
            Field::CachedContent => {
                self.peek.input.earlier_turns |= cursor.value(&mut ())?.kind != Kind::Null;
            }
            Field::ServiceTier => {
                self.peek.service_tier = fields::text(cursor, name)?.map(|word| tier(&word));
            }
            Field::Store => self.peek.store = fields::flag(cursor, name)?,
            Field::Model => self.model(cursor, name)?,
        }
        Ok(())
    }

    fn model(&mut self, cursor: &mut Strict<'_>, name: &str) -> Result<(), BodyError> {
        let (span, stated) = fields::model(cursor, name)?;
        if self.peek.model.is_empty() {
            self.peek.model = Box::from(bare(&stated));
        }
        if *bare(&stated) != *self.peek.model {
            let message = "`model` names another model than the path does";
            return Err(BodyError::of(name, message));
        }
        self.peek.spans.models.push(span);
        Ok(())
    }

    fn config(&mut self, cursor: &mut Strict<'_>, name: &str) -> Result<(), BodyError> {
        let mut keys = Keys::default();
        let peek = &mut self.peek;
        let place = fields::nested(cursor, name, |cursor, key| {
            let Some(field) = keys.known::<Config>(key)? else {
                return Ok(cursor.value(&mut ()).map(drop)?);
            };
            let name = field.name();
            match field {
                Config::MaxOutputTokens => {
                    let bound = fields::bound(cursor, name)?;
                    peek.max_output = bound.1;
                    peek.spans.max_output_tokens = Some(bound);
                }
                Config::CandidateCount => peek.choices = fields::choices(cursor, name)?,
                Config::ResponseModalities => {
                    let raw = cursor.value(&mut ())?.raw.to_ascii_lowercase();
                    let asked = |word: &str| memchr::memmem::find(&raw, word.as_bytes()).is_some();
                    peek.audio_output = asked("audio");
                    peek.image_output = asked("image");
                }
                Config::Thinking => {
                    peek.thinks = cursor.value(&mut ())?.kind == Kind::Object;
                }
            }
            Ok(())
        })?;
        peek.spans.generation_config = place;
        Ok(())
    }

    /// Tools: what is not known is taken for one that the provider runs.
    fn tools(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        let tools = &mut self.peek.tools;
        fields::each_of(cursor, |cursor| {
            if cursor.next_byte() != Some(b'{') {
                return Ok(cursor.value(&mut ()).map(drop)?);
            }
            let mut keys = Keys::default();
            cursor.object(|cursor, key| {
                let tool = keys.known::<Tool>(key)?;
                if matches!(cursor.value(&mut ())?.raw, b"null" | b"[]") {
                    return Ok(());
                }
                match tool {
                    Some(Tool::Functions | Tool::Computer) => tools.functions = true,
                    Some(Tool::Search | Tool::Retrieval | Tool::Enterprise) => {
                        tools.searches_the_web(None);
                    }
                    None => tools.hosted = true,
                }
                Ok(())
            })
        })
    }

    fn finish(mut self, endpoint: Endpoint, keys: Keys, length: usize) -> Result<Peek, BodyError> {
        if self.peek.model.is_empty() {
            return Err(BodyError::of("model", "`model` is missing: name the model in the path"));
        }
        let required = match endpoint {
            Endpoint::EmbedContent => Some(Field::Content),
            Endpoint::BatchEmbedContents => Some(Field::Requests),
            Endpoint::CountTokens => None,
            _ => Some(Field::Contents),
        };
        if let Some(field) = required.filter(|field| !keys.has(*field)) {
            return Err(BodyError::of(field.name(), format!("`{}` is missing", field.name())));
        }
        if self.peek.tools.web_search && grounds_once(&self.peek.model) {
            self.peek.tools.max_web_searches = Some(1);
        }
        self.peek.stream = endpoint.always_streams();
        self.peek.usage_asked = true;
        self.peek.input.bytes = u64::try_from(length).unwrap_or(u64::MAX);
        self.media.settle(&mut self.peek.input);
        Ok(self.peek)
    }
}
