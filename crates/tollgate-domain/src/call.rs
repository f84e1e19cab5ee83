//! The ledger row: everything that is kept of one call (SPEC §8), and the words its fields use.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::decision::Decision;
use crate::id::CallId;
use crate::money::NanoUsd;
use crate::trace::TraceParent;
use crate::usage::Usage;

/// The form of request and answer that a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI: chat completions, completions, embeddings, responses.
    #[default]
    Openai,
    /// Anthropic: messages.
    Anthropic,
    /// Gemini: generateContent and its kin.
    Gemini,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer was whole.
    #[default]
    Success,
    /// The provider or the network failed; what it cost until then is charged.
    Failed,
    /// The client went away.
    Cancelled,
    /// A crash cut it off; nobody knows what it cost, so the reservation stands.
    InDoubt,
    /// It was not admitted, and nothing was sent.
    Refused,
}

/// Where the answer came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheState {
    /// Looked for and not found: the provider was asked.
    #[default]
    Miss,
    /// From the cache: nothing was spent.
    Hit,
    /// From a call of another client that was already under way.
    Coalesced,
    /// The cache was not asked.
    Bypass,
}

macro_rules! words {
    ($name:ident { $($variant:ident = $text:literal),* }) => {
        impl $name {
            /// The word that documents and the ledger use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($text => Ok(Self::$variant),)* _ => Err(UnknownWord(text.to_owned())) }
            }
        }
    };
}

/// A word that is none of those a field can hold.
#[derive(Debug, thiserror::Error)]
#[error("unknown word `{0}`")]
pub struct UnknownWord(String);

words!(Dialect { Openai = "openai", Anthropic = "anthropic", Gemini = "gemini" });
words!(Outcome {
    Success = "success",
    Failed = "failed",
    Cancelled = "cancelled",
    InDoubt = "in_doubt",
    Refused = "refused"
});
words!(CacheState { Miss = "miss", Hit = "hit", Coalesced = "coalesced", Bypass = "bypass" });

/// The endpoints that call no model: counts of tokens, and what is only read at a provider. They are
/// recorded and use no quota.
pub const UNCOUNTED: [&str; 4] = [
    "/v1/responses/input_tokens",
    "/v1/messages/count_tokens",
    "/v1beta/models:countTokens",
    "/providers/read",
];

/// An application's own labels: name and value.
pub type Tags = Vec<(Arc<str>, Arc<str>)>;

/// What makes a call a repetition of another: digests, keyed with the server's own secret, so that
/// nobody who reads the ledger can try prompts against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Repetition {
    /// Digest of the idempotency key, and of whose it is.
    pub key: [u8; 16],
    /// Digest of the request.
    pub request: [u8; 16],
}

impl Repetition {
    /// Both digests, the key's first.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(self.key.into_iter().chain(self.request)) {
            *to = from;
        }
        bytes
    }

    /// The same from its bytes; `None` where they are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, request) = bytes.split_first_chunk::<16>()?;
        Some(Self { key: *key, request: request.try_into().ok()? })
    }
}

/// One call as the ledger keeps it. Serialised, it is the document of SPEC §18.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Document", into = "Document")]
pub struct CallRecord {
    /// Its id.
    pub call_id: CallId,
    /// The request id, the client's own where it was sane.
    pub request_id: Arc<str>,
    /// The trace that its client began, and the client's span in it. For telemetry only: it goes with
    /// the call to the sinks, and neither the journal nor the database keeps it.
    pub trace: Option<TraceParent>,
    /// When it arrived.
    pub time: Timestamp,
    /// Who pays.
    pub user: Arc<str>,
    /// Name of the key that was used.
    pub key: Option<Arc<str>>,
    /// Team of the user.
    pub team: Option<Arc<str>>,
    /// The caller's address, or its hash where so configured.
    pub ip: Option<Arc<str>>,
    /// One run of an agent, as the application names it.
    pub session: Option<Arc<str>>,
    /// What the application calls the action.
    pub feature: Option<Arc<str>>,
    /// The application's own labels.
    pub tags: Tags,
    /// The dialect of the client.
    pub dialect: Dialect,
    /// The path that was called.
    pub endpoint: Arc<str>,
    /// The provider that served; empty where none was asked.
    pub provider: Arc<str>,
    /// The public model name that the client asked for.
    pub model_asked: Arc<str>,
    /// The model that the answer names, else the one that was asked of the provider.
    pub model: Arc<str>,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// The HTTP status that the client got; 499 where it left.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The class of the error: a code of [`crate::fault::Code`] or the provider's own type.
    pub error_type: Option<Arc<str>>,
    /// Upstream attempts.
    pub attempts: u16,
    /// Where the answer came from.
    pub cache: CacheState,
    /// What was consumed.
    pub usage: Usage,
    /// What it cost.
    pub cost: NanoUsd,
    /// What the provider itself says that it cost, where it does.
    pub provider_cost: Option<NanoUsd>,
    /// What the same answer cost when it was bought, where this call got it without buying it.
    pub saved: NanoUsd,
    /// The idempotency key that its client sent, and with what.
    pub repetition: Option<Repetition>,
    /// Which price was used, such as `book 2026-10-30 openai/gpt-4o-mini`.
    pub price_version: Arc<str>,
    /// Whether the usage was counted here because the provider stated none.
    pub estimated: bool,
    /// From arrival to the end of the answer, in microseconds.
    pub latency_us: u64,
    /// From arrival to the first byte of the answer, in microseconds.
    pub ttft_us: Option<u64>,
    /// How its limits stood when it was decided, and what was set aside.
    pub decision: Option<Decision>,
    /// Its attempts in order, the last one included, where there were several or it failed at a
    /// provider. Their costs add up to the cost of the call.
    pub tries: Vec<Attempt>,
}

impl CallRecord {
    /// The public name of the model under which limits count the call: the one that was asked for,
    /// or the one that it was served from instead, because of a limit or as a fallback.
    pub fn model_counted(&self) -> Arc<str> {
        let decided = self.decision.as_ref().and_then(Decision::read);
        let downgrade = decided.and_then(|decided| decided.downgrades.into_iter().last());
        downgrade.map_or_else(|| Arc::clone(&self.model_asked), |downgrade| downgrade.to)
    }
}

/// The serialised form: flat, money as text, milliseconds, tags as a map.
#[derive(Clone, Serialize, Deserialize)]
struct Document {
    call_id: CallId,
    request_id: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<TraceParent>,
    time: Timestamp,
    user: Arc<str>,
    key: Option<Arc<str>>,
    team: Option<Arc<str>>,
    #[serde(default)]
    ip: Option<Arc<str>>,
    session: Option<Arc<str>>,
    feature: Option<Arc<str>>,
    tags: serde_json::Map<String, serde_json::Value>,
    dialect: Dialect,
    endpoint: Arc<str>,
    provider: Arc<str>,
    model_asked: Arc<str>,
    model: Arc<str>,
    stream: bool,
    status: u16,
    outcome: Outcome,
    error_type: Option<Arc<str>>,
    attempts: u16,
    cache: CacheState,
    input_tokens: u64,
    cached_input_tokens: u64,
    cache_write_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    #[serde(default)]
    usage: Usage,
    cost_usd: NanoUsd,
    #[serde(default)]
    provider_cost_usd: Option<NanoUsd>,
    #[serde(default)]
    saved_usd: NanoUsd,
    #[serde(default)]
    price_version: Arc<str>,
    estimated: bool,
    #[serde(default)]
    in_doubt: bool,
    latency_ms: u64,
    ttft_ms: Option<u64>,
    #[serde(default)]
    latency_us: u64,
    #[serde(default)]
    ttft_us: Option<u64>,
    /// The limit that refused it.
    #[serde(default)]
    limit: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tries: Vec<Attempt>,
}

impl CallRecord {
    /// Whether no limit counts it, because it calls no model.
    pub fn is_uncounted(&self) -> bool {
        UNCOUNTED.contains(&&*self.endpoint)
    }
}

impl From<CallRecord> for Document {
    fn from(call: CallRecord) -> Self {
        let decided = call.decision.as_ref().and_then(Decision::read);
        let limit = decided.as_ref().and_then(|it| it.refused_by()).map(|it| Arc::from(it.name));
        let tags = call
            .tags
            .iter()
            .map(|(name, value)| (name.to_string(), serde_json::Value::from(&**value)))
            .collect();
        Self {
            call_id: call.call_id,
            request_id: call.request_id,
            traceparent: call.trace,
            time: call.time,
            user: call.user,
            key: call.key,
            team: call.team,
            ip: call.ip,
            session: call.session,
            feature: call.feature,
            tags,
            dialect: call.dialect,
            endpoint: call.endpoint,
            provider: call.provider,
            model_asked: call.model_asked,
            model: call.model,
            stream: call.stream,
            status: call.status,
            outcome: call.outcome,
            error_type: call.error_type,
            attempts: call.attempts,
            cache: call.cache,
            input_tokens: call.usage.input,
            cached_input_tokens: call.usage.cache_read,
            cache_write_tokens: call.usage.cache_write,
            output_tokens: call.usage.output,
            reasoning_tokens: call.usage.reasoning,
            usage: call.usage,
            cost_usd: call.cost,
            provider_cost_usd: call.provider_cost,
            saved_usd: call.saved,
            price_version: call.price_version,
            estimated: call.estimated,
            in_doubt: call.outcome == Outcome::InDoubt,
            latency_ms: call.latency_us / 1_000,
            ttft_ms: call.ttft_us.map(|us| us / 1_000),
            latency_us: call.latency_us,
            ttft_us: call.ttft_us,
            limit,
            tries: call.tries,
        }
    }
}

impl From<Document> for CallRecord {
    fn from(document: Document) -> Self {
        let tags = document
            .tags
            .into_iter()
            .map(|(name, value)| (Arc::from(name), Arc::from(value.as_str().unwrap_or_default())))
            .collect();
        Self {
            call_id: document.call_id,
            request_id: document.request_id,
            trace: document.traceparent,
            time: document.time,
            user: document.user,
            key: document.key,
            team: document.team,
            ip: document.ip,
            session: document.session,
            feature: document.feature,
            tags,
            dialect: document.dialect,
            endpoint: document.endpoint,
            provider: document.provider,
            model_asked: document.model_asked,
            model: document.model,
            stream: document.stream,
            status: document.status,
            outcome: document.outcome,
            error_type: document.error_type,
            attempts: document.attempts,
            cache: document.cache,
            usage: document.usage,
            cost: document.cost_usd,
            provider_cost: document.provider_cost_usd,
            saved: document.saved_usd,
            repetition: None,
            price_version: document.price_version,
            estimated: document.estimated,
            latency_us: document.latency_us.max(document.latency_ms * 1_000),
            ttft_us: document.ttft_us.or_else(|| document.ttft_ms.map(|ms| ms * 1_000)),
            decision: None,
            tries: document.tries,
        }
    }
}
