//! Reads a request of the Anthropic form in one pass, and changes what of it may change.

mod content;

use bytes::Bytes;

use crate::endpoint::Endpoint;
use crate::json::strict::{Kind, Strict};
use crate::peek::fields::{self, Keys, Named as _};
use crate::peek::{BodyError, Peek};
use crate::rewrite::{Edits, Rewrite};
use content::Media;

/// What the provider writes about tools into the prompt at most, whatever their number.
const TOOL_PREAMBLE: u64 = 1_000;
/// What it writes about each tool whose schema it knows itself.
const KNOWN_TOOL: u64 = 1_500;
/// The least budget for thinking that the provider takes.
const LEAST_BUDGET: u64 = 1_024;
/// Tools that the client runs, though the provider knows their schema.
const CLIENT_TOOLS: [&str; 4] = ["bash_", "text_editor_", "computer_", "memory_"];

fields::fields! { Field {
    Model = "model",
    Messages = "messages",
    System = "system",
    MaxTokens = "max_tokens",
    Stream = "stream",
    Tools = "tools",
    Thinking = "thinking",
    ServiceTier = "service_tier",
    Speed = "speed",
    InferenceGeo = "inference_geo",
    Metadata = "metadata",
    McpServers = "mcp_servers",
    Container = "container",
    ContextManagement = "context_management",
    Fallbacks = "fallbacks",
    Models = "models",
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
    cursor.object(|cursor, key| match draft.keys.known(key)? {
        Some(field) => draft.read(cursor, field),
        None => Ok(cursor.value(&mut ()).map(drop)?),
    })?;
    cursor.end()?;
    draft.finish(endpoint, path_model, body.len())
}

/// The body as it is sent. Where the maximum is lowered below a budget for thinking, the budget is
/// lowered with it, because the provider refuses a budget that is not below the maximum.
pub(crate) fn rewrite(
    endpoint: Endpoint,
    body: &Bytes,
    peek: &Peek,
    change: &Rewrite<'_>,
) -> Bytes {
    let mut edits = Edits::new(peek);
    edits.model(peek, change);
    if let Some(max) = change.max_output.filter(|_| endpoint.generates()) {
        edits.clamp("max_tokens", &[peek.spans.max_tokens], max);
        let below = max.saturating_sub(1);
        if let Some((span, Some(budget))) = peek.spans.thinking_budget
            && (LEAST_BUDGET..budget).contains(&below)
        {
            edits.replace(span, below.to_string().into_bytes());
        }
    }
    edits.apply(body)
}

/// A peek under construction.
#[derive(Default)]
struct Draft {
    keys: Keys,
    media: Media,
    peek: Peek,
}

impl Draft {
    fn read(&mut self, cursor: &mut Strict<'_>, field: Field) -> Result<(), BodyError> {
        let name = field.name();
        let peek = &mut self.peek;
        match field {
            Field::Model => {
                let (span, model) = fields::model(cursor, name)?;
                peek.model = model;
                peek.spans.model = Some(span);
            }
            Field::Messages => self.messages(cursor)?,
            Field::System => self.media.content(cursor)?,
            Field::MaxTokens => {
                let bound = fields::bound(cursor, name)?;
                peek.max_output = bound.1;
                peek.spans.max_tokens = Some(bound);
            }
            Field::Stream => peek.stream = fields::flag(cursor, name)?.unwrap_or(false),
            Field::Tools => self.tools(cursor)?,
            Field::Thinking => self.thinking(cursor)?,
            Field::ServiceTier => peek.service_tier = fields::text(cursor, name)?,
            Field::Speed => peek.speed = fields::text(cursor, name)?,
            Field::InferenceGeo => peek.geo = fields::text(cursor, name)?,
            Field::Metadata => self.metadata(cursor)?,
            // A list of servers, skills in a container, a compaction: work that no byte shows.
            Field::McpServers => {
                let raw = cursor.value(&mut ())?.raw;
                peek.tools.hosted |= !matches!(raw, b"null" | b"[]");
            }
            // Other edits of the context only leave something out.
            Field::ContextManagement => {
                let raw = cursor.value(&mut ())?.raw;
                peek.tools.hosted |= memchr::memmem::find(raw, b"compact").is_some();
            }
            Field::Container => {
                peek.tools.hosted |= cursor.value(&mut ())?.kind == Kind::Object;
            }
            Field::Fallbacks | Field::Models => {
                let raw = cursor.value(&mut ())?.raw;
                peek.alternatives |= !matches!(raw, b"null" | b"[]");
            }
        }
        Ok(())
    }

    fn messages(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        let (media, mut items) = (&mut self.media, 0);
        cursor.array(|cursor| {
            items += 1;
            if cursor.next_byte() != Some(b'{') {
                return Ok(cursor.value(&mut ()).map(drop)?);
            }
            cursor.object(|cursor, key| match key.decode().as_deref() {
                Some("content") => media.content(cursor),
                _ => Ok(cursor.value(&mut ()).map(drop)?),
            })
        })?;
        self.peek.input.items = items;
        Ok(())
    }

    fn tools(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        if cursor.next_byte() != Some(b'[') {
            return Ok(cursor.value(&mut ()).map(drop)?);
        }
        let peek = &mut self.peek;
        cursor.array(|cursor| {
            let (mut kind, mut most) = (None, None);
            if cursor.next_byte() != Some(b'{') {
                return Ok(cursor.value(&mut ()).map(drop)?);
            }
            cursor.object(|cursor, key| {
                if key.raw == b"max_uses" {
                    const NAME: &str = "tools.max_uses";
                    return match most.replace(fields::bound(cursor, NAME)?.1) {
                        Some(_) => Err(BodyError::of(NAME, "`max_uses` stands twice")),
                        None => Ok(()),
                    };
                }
                let item = cursor.value(&mut ())?;
                if let (Some("type"), Kind::String(text)) = (key.decode().as_deref(), item.kind) {
                    kind = text.decode();
                }
                Ok::<(), BodyError>(())
            })?;
            tool(kind.as_deref().unwrap_or("custom"), most.flatten(), peek);
            Ok::<(), BodyError>(())
        })?;
        if peek.tools.functions || peek.tools.hosted {
            peek.input.hidden_tokens = peek.input.hidden_tokens.saturating_add(TOOL_PREAMBLE);
        }
        Ok(())
    }

    fn thinking(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        const NAME: &str = "thinking.budget_tokens";
        let peek = &mut self.peek;
        let mut budget = None;
        fields::nested(cursor, "thinking", |cursor, key| match key.decode().as_deref() {
            Some("type") => {
                let kind = fields::text(cursor, "thinking.type")?;
                peek.thinks = kind.is_some_and(|kind| *kind != *"disabled");
                Ok(())
            }
            Some("budget_tokens") => match budget.replace(fields::bound(cursor, NAME)?) {
                Some(_) => Err(BodyError::of(NAME, "`budget_tokens` stands twice")),
                None => Ok(()),
            },
            _ => Ok(cursor.value(&mut ()).map(drop)?),
        })?;
        peek.spans.thinking_budget = budget;
        Ok(())
    }

    fn metadata(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        fields::nested(cursor, "metadata", |cursor, key| match key.decode().as_deref() {
            Some("user_id") => {
                self.peek.user = fields::text(cursor, "metadata.user_id")?;
                Ok(())
            }
            _ => Ok(cursor.value(&mut ()).map(drop)?),
        })
        .map(drop)
    }

    fn finish(
        mut self,
        endpoint: Endpoint,
        path_model: Option<&str>,
        length: usize,
    ) -> Result<Peek, BodyError> {
        // At Vertex the path names the model, and the body must not.
        if let Some(model) = path_model.filter(|_| !self.keys.has(Field::Model)) {
            self.peek.model = Box::from(model);
        }
        let model = if path_model.is_some() { None } else { Some(Field::Model) };
        for field in model.into_iter().chain([Field::Messages]) {
            if !self.keys.has(field) {
                return Err(BodyError::of(field.name(), format!("`{}` is missing", field.name())));
            }
        }
        self.peek.stream &= endpoint.streams();
        self.peek.usage_asked = true;
        self.peek.choices = 1;
        self.peek.input.bytes = u64::try_from(length).unwrap_or(u64::MAX);
        self.media.settle(&mut self.peek.input);
        Ok(self.peek)
    }
}

/// Notes a tool. What is not known is taken for one that the provider runs.
fn tool(kind: &str, most: Option<u64>, peek: &mut Peek) {
    if kind == "custom" {
        peek.tools.functions = true;
        return;
    }
    peek.input.hidden_tokens = peek.input.hidden_tokens.saturating_add(KNOWN_TOOL);
    if CLIENT_TOOLS.iter().any(|start| kind.starts_with(start)) {
        peek.tools.functions = true;
        return;
    }
    peek.tools.hosted = true;
    if kind.starts_with("web_search") {
        peek.tools.searches_the_web(most);
    }
}
