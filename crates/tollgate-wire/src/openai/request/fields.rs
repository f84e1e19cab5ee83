//! The top-level keys that bear on cost, and how a value of each kind is read.

use crate::json::Text;
use crate::json::strict::{Kind, Strict};
use crate::peek::{BodyError, Span};

macro_rules! fields {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// A key that bears on cost.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Field { $($variant),* }

        impl Field {
            /// The field that a key is, byte for byte.
            pub(super) fn of(key: &[u8]) -> Option<Self> {
                let Ok(key) = str::from_utf8(key) else { return None };
                match key { $($name => Some(Self::$variant),)* _ => None }
            }

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// A bit of its own in the set of keys that came before.
            pub(super) const fn bit(self) -> u32 {
                1 << self as u32
            }
        }

        const NAMES: &[&str] = &[$($name),*];
    };
}

fields! {
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
}

/// The known key that another server may take this one for: the same letters in another case, or
/// written with escapes. Two letters outside ASCII fold into it as well.
pub(super) fn looks_like(key: Text<'_>) -> Option<&'static str> {
    let unusual = |b: &u8| !(b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
    if !key.raw.iter().any(unusual) {
        return None;
    }
    let folded: String = key
        .decode_lossy()
        .chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect();
    NAMES.iter().copied().find(|name| *name == folded)
}

/// `true`, `false`, or `null` for neither.
pub(super) fn flag(cursor: &mut Strict<'_>, name: &str) -> Result<Option<bool>, BodyError> {
    match cursor.value(&mut ())?.kind {
        Kind::Bool(flag) => Ok(Some(flag)),
        Kind::Null => Ok(None),
        _ => Err(BodyError::of(name, format!("`{name}` must be true or false"))),
    }
}

/// A whole number that is not negative, or `null`; and where it stands.
pub(super) fn bound(cursor: &mut Strict<'_>, name: &str) -> Result<(Span, Option<u64>), BodyError> {
    let item = cursor.value(&mut ())?;
    let span = Span { start: item.start, end: item.end };
    if item.kind == Kind::Null {
        return Ok((span, None));
    }
    let number = str::from_utf8(item.raw).ok().and_then(|text| text.parse().ok());
    match number.filter(|_| item.kind == Kind::Number) {
        Some(number) => Ok((span, Some(number))),
        None => {
            let message = format!("`{name}` must be a whole number that is not negative");
            Err(BodyError::of(name, message))
        }
    }
}

/// A text, or `null`.
pub(super) fn text(cursor: &mut Strict<'_>, name: &str) -> Result<Option<Box<str>>, BodyError> {
    match cursor.value(&mut ())?.kind {
        Kind::Null => Ok(None),
        Kind::String(text) => match text.decode() {
            Some(text) => Ok(Some(Box::from(&*text))),
            None => Err(BodyError::of(name, format!("`{name}` is no text"))),
        },
        _ => Err(BodyError::of(name, format!("`{name}` must be a string"))),
    }
}
