//! Reads a request of the OpenAI form in one pass, without a tree.
//!
//! It refuses what could be read in two ways: broken JSON, a known key twice, a known key in
//! another case (some servers match keys without regard to case). Fields that bear on cost must
//! have the type that the reference gives them; everything else passes unseen.

mod media;

use crate::json::Text;
use crate::json::lenient::Pull;
use crate::json::strict::{Kind, Strict};
use crate::peek::fields::{self, Keys, Named as _, length};
use crate::peek::{BodyError, Peek, Span};

use crate::endpoint::Endpoint;
use media::Media;

fields::fields! { Field {
    Model = "model",
    Stream = "stream",
    StreamOptions = "stream_options",
    MaxTokens = "max_tokens",
    MaxCompletionTokens = "max_completion_tokens",
    MaxOutputTokens = "max_output_tokens",
    N = "n",
    BestOf = "best_of",
    ServiceTier = "service_tier",
    User = "user",
    SafetyIdentifier = "safety_identifier",
    Background = "background",
    Store = "store",
    Messages = "messages",
    Input = "input",
    Prompt = "prompt",
    Tools = "tools",
    WebSearchOptions = "web_search_options",
    Plugins = "plugins",
    PreviousResponseId = "previous_response_id",
    Conversation = "conversation",
    Modalities = "modalities",
    Prediction = "prediction",
    Models = "models",
    Route = "route",
} }

/// The model that moderations use where the body names none.
const DEFAULT_MODERATION: &str = "omni-moderation-latest";

/// Reads what `body` says about its cost. See [`Peek`].
pub fn peek(endpoint: Endpoint, body: &[u8]) -> Result<Peek, BodyError> {
    peek_at(endpoint, None, body)
}

/// The same where the path may name the model (deployments at Azure), so that the body need not.
pub(crate) fn peek_at(
    endpoint: Endpoint,
    path_model: Option<&str>,
    body: &[u8],
) -> Result<Peek, BodyError> {
    let mut cursor = fields::document(body)?;
    let mut draft = Draft::new(endpoint, cursor.offset() + 1);
    cursor.object(|cursor, key| match draft.keys.known(key)? {
        Some(field) => draft.read(cursor, field),
        None => Ok(cursor.value(&mut ()).map(drop)?),
    })?;
    cursor.end()?;
    draft.finish(path_model, body.len())
}

/// A peek under construction.
struct Draft {
    endpoint: Endpoint,
    keys: Keys,
    n: u64,
    best_of: u64,
    prompts: u64,
    media: Media,
    peek: Peek,
}

impl Draft {
    fn new(endpoint: Endpoint, insert_at: usize) -> Self {
        let mut peek = Peek::default();
        peek.spans.insert_at = insert_at;
        let media = Media::default();
        Self { endpoint, keys: Keys::default(), n: 1, best_of: 1, prompts: 1, media, peek }
    }

    fn read(&mut self, cursor: &mut Strict<'_>, field: Field) -> Result<(), BodyError> {
        let name = field.name();
        match field {
            Field::Model => {
                let (span, model) = fields::model(cursor, name)?;
                self.peek.model = model;
                self.peek.spans.model = Some(span);
            }
            Field::Stream => self.peek.stream = fields::flag(cursor, name)?.unwrap_or(false),
            Field::StreamOptions => self.stream_options(cursor)?,
            Field::MaxTokens => self.peek.spans.max_tokens = Some(fields::bound(cursor, name)?),
            Field::MaxCompletionTokens => {
                self.peek.spans.max_completion_tokens = Some(fields::bound(cursor, name)?);
            }
            Field::MaxOutputTokens => {
                self.peek.spans.max_output_tokens = Some(fields::bound(cursor, name)?);
            }
            Field::N => self.n = fields::choices(cursor, name)?,
            Field::BestOf => self.best_of = fields::choices(cursor, name)?,
            Field::ServiceTier => self.peek.service_tier = fields::text(cursor, name)?,
            Field::User | Field::SafetyIdentifier => self.user(cursor)?,
            Field::Background => self.peek.background = fields::flag(cursor, name)? == Some(true),
            Field::Store => self.peek.store = fields::flag(cursor, name)?,
            Field::Messages | Field::Input => self.items(cursor)?,
            Field::Prompt => self.prompt(cursor)?,
            Field::Tools => self.tools(cursor)?,
            Field::WebSearchOptions => {
                if cursor.value(&mut ())?.kind != Kind::Null {
                    self.peek.tools.searches_the_web(None);
                }
            }
            Field::Plugins => self.peek.tools.hosted |= cursor.value(&mut ())?.kind != Kind::Null,
            Field::PreviousResponseId => {
                self.peek.previous = fields::text(cursor, name)?;
                self.peek.input.earlier_turns |= self.peek.previous.is_some();
            }
            Field::Conversation => {
                if cursor.value(&mut ())?.kind != Kind::Null {
                    self.peek.input.earlier_turns = true;
                    self.peek.kept = Some(name);
                }
            }
            Field::Modalities => self.modalities(cursor)?,
            Field::Prediction => {
                let item = cursor.value(&mut ())?;
                if item.kind != Kind::Null {
                    self.peek.input.prediction_bytes = length(item.raw);
                }
            }
            Field::Models | Field::Route => {
                self.peek.alternatives |= cursor.value(&mut ())?.kind != Kind::Null;
            }
        }
        Ok(())
    }

    fn stream_options(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        const NAME: &str = "stream_options.include_usage";
        let (mut place, mut asked) = (None, false);
        let nested = fields::nested(cursor, "stream_options", |cursor, key| {
            if key.raw != b"include_usage" {
                if key.decode().is_some_and(|key| key.eq_ignore_ascii_case("include_usage")) {
                    return Err(BodyError::of(NAME, "a key is spelled unlike `include_usage`"));
                }
                return Ok(cursor.value(&mut ()).map(drop)?);
            }
            let start = cursor.offset();
            asked = fields::flag(cursor, NAME)?.unwrap_or(false);
            match place.replace(Span { start, end: cursor.offset() }) {
                Some(_) => Err(BodyError::of(NAME, "`include_usage` stands twice")),
                None => Ok(()),
            }
        })?;
        self.peek.usage_asked = asked;
        self.peek.spans.stream_options = nested;
        self.peek.spans.include_usage = place;
        Ok(())
    }

    fn user(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        if let Kind::String(text) = cursor.value(&mut ())?.kind {
            self.peek.user = text.decode().map(|user| Box::from(&*user));
        }
        Ok(())
    }

    /// The messages of a chat, the input items of a response, the texts to embed.
    fn items(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        if cursor.next_byte() != Some(b'[') {
            cursor.value(&mut self.media)?;
            self.peek.input.items = 1;
            return Ok(());
        }
        let (media, mut items, mut refers) = (&mut self.media, 0, false);
        let responses = self.endpoint.is_responses();
        cursor.array(|cursor| {
            items += 1;
            let item = cursor.value(media)?;
            refers |= responses && item.kind == Kind::Object && is_reference(item.raw);
            Ok::<(), BodyError>(())
        })?;
        if refers {
            self.peek.input.earlier_turns = true;
            self.peek.kept = Some("input");
        }
        self.peek.input.items = items;
        Ok(())
    }

    /// Completions: one prompt, or several, each of which is answered. Responses: a stored prompt.
    fn prompt(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        if cursor.next_byte() != Some(b'[') {
            let kind = cursor.value(&mut self.media)?.kind;
            self.peek.input.stored_prompt = kind == Kind::Object;
            self.peek.input.items = 1;
            return Ok(());
        }
        let mut prompts = 0;
        cursor.array(|cursor| {
            let tokens = cursor.value(&mut ())?.kind == Kind::Number;
            prompts += u64::from(!tokens);
            Ok::<(), BodyError>(())
        })?;
        self.prompts = prompts.max(1);
        self.peek.input.items = self.prompts;
        Ok(())
    }

    fn tools(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        if cursor.next_byte() != Some(b'[') {
            return Ok(cursor.value(&mut ()).map(drop)?);
        }
        let tools = &mut self.peek.tools;
        cursor.array(|cursor| {
            if cursor.next_byte() != Some(b'{') {
                return Ok(cursor.value(&mut ()).map(drop)?);
            }
            let mut hosted = None;
            cursor.object(|cursor, key| {
                let item = cursor.value(&mut ())?;
                if let (Some("type"), Kind::String(kind)) = (key.decode().as_deref(), item.kind) {
                    hosted = kind.decode().filter(|kind| !matches!(&**kind, "function" | "custom"));
                }
                Ok::<(), BodyError>(())
            })?;
            tools.functions |= hosted.is_none();
            tools.hosted |= hosted.is_some();
            tools.file_search |= hosted.as_deref().is_some_and(|kind| kind == "file_search");
            if hosted.is_some_and(|kind| kind.contains("web_search")) {
                tools.searches_the_web(None);
            }
            Ok::<(), BodyError>(())
        })
    }

    fn modalities(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        let item = cursor.value(&mut ())?;
        self.peek.audio_output = memchr::memmem::find(item.raw, b"audio").is_some();
        Ok(())
    }

    fn finish(mut self, path_model: Option<&str>, length: usize) -> Result<Peek, BodyError> {
        if !self.keys.has(Field::Model) {
            let moderation = Some(DEFAULT_MODERATION);
            let usual = moderation.filter(|_| self.endpoint == Endpoint::Moderations);
            self.peek.model = path_model.or(usual).map(Box::from).ok_or_else(|| {
                BodyError::of("model", "`model` is missing: name the model to call")
            })?;
        }
        let required = match self.endpoint {
            Endpoint::ChatCompletions => Some(Field::Messages),
            Endpoint::Embeddings | Endpoint::Moderations => Some(Field::Input),
            _ => None,
        };
        if let Some(field) = required.filter(|field| !self.keys.has(*field)) {
            return Err(BodyError::of(field.name(), format!("`{}` is missing", field.name())));
        }
        let spans = &self.peek.spans;
        let asked = |bound: Option<(Span, Option<u64>)>| bound.and_then(|(_, value)| value);
        self.peek.max_output = match self.endpoint {
            Endpoint::ChatCompletions => {
                asked(spans.max_completion_tokens).max(asked(spans.max_tokens))
            }
            Endpoint::Completions => asked(spans.max_tokens),
            Endpoint::Responses => asked(spans.max_output_tokens),
            _ => None,
        };
        self.peek.stream &= self.endpoint.streams();
        self.peek.usage_asked |= self.endpoint.is_responses();
        self.peek.choices = self.n.max(self.best_of).saturating_mul(self.prompts);
        self.peek.input.bytes = u64::try_from(length).unwrap_or(u64::MAX);
        self.media.settle(&mut self.peek.input);
        Ok(self.peek)
    }
}

/// Whether an input item stands for one that the provider keeps: it says so, or it says neither what
/// it is nor whose words it holds, which leaves an id.
fn is_reference(item: &[u8]) -> bool {
    let (mut says_what, mut refers) = (false, false);
    Pull::new(item).object(|pull, key| match &*(Text { raw: key }).decode_lossy() {
        "type" => {
            let kind = pull.string_or_skip().map(Text::decode_lossy);
            says_what |= kind.is_some();
            refers |= kind.is_some_and(|kind| kind == "item_reference");
        }
        "role" => says_what |= pull.string_or_skip().is_some(),
        _ => {
            pull.skip();
        }
    });
    refers || !says_what
}
