//! What an answer says about itself, whatever its dialect.

use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

/// Facts read from an answer, whole or streamed. What the provider does not state is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerFacts {
    /// What was consumed, on our scale. `None` means unknown, never zero (PRICE-1).
    pub usage: Option<Usage>,
    /// The same by the model that consumed it, where one answer is the work of several (Anthropic's
    /// iterations); then `usage` is their sum, and each part is priced by its own model.
    pub parts: Vec<UsagePart>,
    /// What is stated of a usage that is not whole, because the stream broke off: the input side,
    /// and as output no more than the thoughts that are stated. See [`Self::estimate`].
    pub partial: Option<Usage>,
    /// The model that served: the price goes by this.
    pub model: Option<Box<str>>,
    /// The provider's id of the answer. A stored answer can be fetched often; it is billed once.
    pub id: Option<Box<str>>,
    /// When it was made, in seconds since the epoch.
    pub created: Option<u64>,
    /// State of a response that may live on (responses form only).
    pub status: Option<ResponseStatus>,
    /// Whether it is one that was made in the background (responses form only).
    pub background: bool,
    /// The tier that served: the price goes by this, not by the one asked for.
    pub service_tier: Option<Box<str>>,
    /// The speed that served, where a provider sells speeds apart from tiers.
    pub speed: Option<Box<str>>,
    /// Where the model ran, where that has a price.
    pub geo: Option<Box<str>>,
    /// What the provider itself says that it charged (or, with the caller's own key there, what
    /// that key is charged).
    pub provider_cost: Option<NanoUsd>,
    /// An error inside an answer of status 200.
    pub error: Option<InbandError>,
    /// Why the model stopped, in the provider's word.
    pub finish_reason: Option<Box<str>>,
    /// The figures contradict each other; parts were brought back to their whole.
    pub anomaly: bool,
    /// The body ends before it is complete.
    pub cut: bool,
    /// The usage came from a vendor's own member and gives way to one in the usual place.
    pub(crate) usage_is_secondary: bool,
}

impl AnswerFacts {
    /// Takes the stated usage for one that is not whole, because the stream ends before its end.
    pub fn break_off(&mut self) {
        if let Some(usage) = self.usage.take() {
            self.partial = Some(Usage { output: usage.reasoning, ..usage });
            self.parts.clear();
        }
    }

    /// The usage where none is stated: `visible` tokens of output that were counted, and the input
    /// that is stated, or else what `prompt` counts.
    pub fn estimate(&self, visible: u64, prompt: impl FnOnce() -> u64) -> Usage {
        match self.partial {
            Some(partial) => Usage { output: partial.output.saturating_add(visible), ..partial },
            None => Usage::tokens(prompt(), visible),
        }
    }
}

/// What one model consumed of an answer that several worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsagePart {
    /// The model; `None` means the one that the answer names.
    pub model: Option<Box<str>>,
    /// What it consumed.
    pub usage: Usage,
}

/// State of a response (responses form).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResponseStatus {
    /// In the background, not begun. Usage comes with a later poll.
    Queued,
    /// Begun.
    InProgress,
    /// Whole.
    Completed,
    /// Ended early, by a bound or a filter.
    Incomplete,
    /// Failed.
    Failed,
    /// Cancelled.
    Cancelled,
}

impl ResponseStatus {
    const WORDS: [(&'static str, Self); 6] = [
        ("queued", Self::Queued),
        ("in_progress", Self::InProgress),
        ("completed", Self::Completed),
        ("incomplete", Self::Incomplete),
        ("failed", Self::Failed),
        ("cancelled", Self::Cancelled),
    ];

    /// The state that the provider's word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, status)| *status)
    }

    /// Whether more is to come: the answer is to be polled.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Queued | Self::InProgress)
    }
}

/// An error as a provider states it.
///
/// `message` may quote the request; it goes to the caller and into no log (PRIVACY-1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InbandError {
    /// The code, a number as its digits.
    pub code: Option<Box<str>>,
    /// The class.
    pub kind: Option<Box<str>>,
    /// What is said about it, at most 1 KiB.
    pub message: Box<str>,
    /// The HTTP status that is meant, where one is stated.
    pub status: Option<u16>,
}

/// Facts of a stream at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// What the events said, the last word counting.
    pub answer: AnswerFacts,
    /// The event came that ends a stream of this form.
    pub done: bool,
    /// Bytes of generated text that passed, reasoning and tool arguments included.
    ///
    /// A token is at least one byte, so this bounds what was generated visibly.
    pub text_bytes: u64,
    /// Some generated text has passed.
    pub first_token_seen: bool,
}

impl StreamFacts {
    /// Whether the answer is whole. Some providers close without the last event; then a reason to
    /// stop together with a usage is as good.
    pub fn is_complete(&self) -> bool {
        let stopped = self.answer.finish_reason.is_some() && self.answer.usage.is_some();
        (self.done || stopped) && self.answer.error.is_none()
    }
}
