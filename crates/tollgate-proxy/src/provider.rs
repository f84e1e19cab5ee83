//! A provider: where it is, which API it offers, how it wants to be asked, and which of its
//! operations serves what a client calls. What its bytes mean is known in `tollgate-wire`.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue};
use tollgate_domain::call::Dialect;
use tollgate_domain::price::{ModelPrice, PriceTable};
use tollgate_wire::bedrock::model::{is_claude, price_names};
use tollgate_wire::bedrock::sigv4::path_segment;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::openai::Vendor;
use tollgate_wire::simulated::Script;

use crate::breaker::BreakerPolicy;
use crate::upstream::{Origin, Pool};

/// How the names of models begin at Vertex AI that speak Anthropic's form.
const CLAUDE: &str = "claude-";

/// A provider.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its id in the price book, where that knows it.
    pub book_id: Option<Arc<str>>,
    /// How it is reached.
    pub backend: Backend,
    /// Which API it offers.
    pub api: Api,
    /// Where it departs from the OpenAI form.
    pub vendor: &'static Vendor,
    /// Whether it serves the responses form itself.
    pub responses: bool,
    /// What becomes of a pass-through call whose use nobody can read.
    pub unmetered: Unmetered,
    /// How often it is tried again.
    pub retry: RetryPolicy,
    /// When a target of it that fails is left alone.
    pub breaker: BreakerPolicy,
}

/// How often a provider is tried again for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The pause before the second; it doubles.
    pub base: Duration,
    /// The longest pause.
    pub max: Duration,
}

/// What becomes of a pass-through call whose use nobody can read; from strict to lenient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unmetered {
    /// It is refused.
    Refuse,
    /// It is charged by an estimate from its size. What is billed later is refused.
    Estimate,
    /// Even what is billed later is let through.
    Allow,
}

/// How a provider is reached.
#[derive(Debug)]
pub enum Backend {
    /// Over the network.
    Remote(Remote),
    /// From inside the program.
    Simulated(Script),
}

/// A provider on the network.
#[derive(Debug)]
pub struct Remote {
    /// Its connections.
    pub pool: Arc<Pool>,
    /// What they lead to.
    pub origin: Origin,
    /// The value of the `host` header.
    pub host: HeaderValue,
    /// What stands before the paths of its operations, without a slash at the end.
    pub base_path: Box<str>,
    /// Credentials and fixed headers that every request carries.
    pub headers: HeaderMap,
    /// How long the first byte of an answer may take.
    pub first_byte: Duration,
    /// How long a stream may pause.
    pub idle: Duration,
    /// How long a whole call may take.
    pub total: Duration,
}

/// The API that a provider offers.
#[derive(Debug)]
pub enum Api {
    /// OpenAI's, or that of a compatible service.
    Openai,
    /// OpenAI's at Azure. With a version, deployments are named in the path.
    Azure(Option<Box<str>>),
    /// Anthropic's.
    Anthropic,
    /// Gemini's.
    Gemini,
    /// Gemini's in a project of Google Cloud, with the access token in force where tokens are
    /// renewed here.
    Vertex(Option<Arc<AccessToken>>),
    /// Bedrock's, with what signs the requests where that is not a header.
    Bedrock(Option<Signer>),
}

/// An access token that somebody renews; empty until the first is there.
#[derive(Debug, Default)]
pub struct AccessToken(ArcSwapOption<HeaderValue>);

impl AccessToken {
    /// The `authorization` header of now.
    pub fn header(&self) -> Option<HeaderValue> {
        self.0.load().as_deref().cloned()
    }

    /// Takes a new token: the whole `authorization` header.
    pub fn renew(&self, header: HeaderValue) {
        self.0.store(Some(Arc::new(header)));
    }
}

/// Who signs requests to Amazon Web Services.
pub struct Signer {
    /// The id of the access key.
    pub access_key_id: Box<str>,
    /// Its secret.
    pub secret_access_key: Box<str>,
    /// The token of temporary keys.
    pub session_token: Option<Box<str>>,
    /// The region.
    pub region: Box<str>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("region", &self.region).finish_non_exhaustive()
    }
}

/// How a client's call is served at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// By the same operation: bytes pass unchanged.
    Native(Endpoint),
    /// By another operation: request and answer are translated.
    Translated(Endpoint),
    /// Here: tokens are counted for a provider that has no such operation.
    Counted,
}

impl Provider {
    /// How this provider serves `endpoint` with its model `model`; `None` where it cannot.
    pub fn serving(&self, endpoint: Endpoint, model: &str, stream: bool) -> Option<Serving> {
        let own = match self.api {
            // A client that speaks a form of this provider speaks it all through, even where the
            // provider then refuses.
            Api::Openai | Api::Azure(_) => match endpoint {
                Endpoint::ChatCompletions => endpoint,
                Endpoint::Responses if self.responses => endpoint,
                _ if self.wants_responses(model) => Endpoint::Responses,
                _ => Endpoint::ChatCompletions,
            },
            Api::Anthropic => Endpoint::Messages,
            Api::Vertex(_) if model.starts_with(CLAUDE) => Endpoint::Messages,
            Api::Bedrock(_) if is_claude(model) => Endpoint::Messages,
            Api::Gemini | Api::Vertex(_) => match endpoint {
                Endpoint::StreamGenerateContent => endpoint,
                _ if stream => Endpoint::StreamGenerateContent,
                _ => Endpoint::GenerateContent,
            },
            Api::Bedrock(_) if stream => Endpoint::ConverseStream,
            Api::Bedrock(_) => Endpoint::Converse,
        };
        if endpoint == own {
            return Some(Serving::Native(own));
        }
        if endpoint.converses() {
            return Some(Serving::Translated(own));
        }
        if self.has(endpoint, model) {
            return Some(Serving::Native(endpoint));
        }
        endpoint.counts_tokens().then_some(Serving::Counted)
    }

    /// The price of one of its models. The price book names models without what Bedrock puts around
    /// them.
    pub fn price(&self, prices: &PriceTable, model: &str) -> Option<Arc<ModelPrice>> {
        let price = prices.resolve(&self.name, model);
        match self.api {
            Api::Bedrock(_) => price
                .or_else(|| price_names(model).find_map(|name| prices.resolve(&self.name, name))),
            _ => price,
        }
    }

    /// Whether it has an operation that is no conversation.
    fn has(&self, endpoint: Endpoint, model: &str) -> bool {
        match self.api {
            Api::Openai | Api::Azure(_) => {
                endpoint.dialect() == Dialect::Openai
                    && (self.responses || !endpoint.is_responses())
            }
            Api::Anthropic => endpoint == Endpoint::MessageTokens,
            Api::Gemini | Api::Vertex(_) => {
                endpoint.gemini_method().is_some() && !model.starts_with(CLAUDE)
            }
            Api::Bedrock(_) => false,
        }
    }

    /// Whether a model of OpenAI's is offered in the responses form only.
    fn wants_responses(&self, model: &str) -> bool {
        let name = model.rsplit('/').next().unwrap_or(model);
        let reasons = name.starts_with("gpt-5") || name.starts_with("o1") || name.starts_with("o3");
        let only = name.contains("-codex")
            || name.contains("deep-research")
            || (reasons && name.contains("-pro"));
        self.responses && matches!(self.vendor.name, "openai" | "azure") && only
    }
}

/// An operation that is wanted of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The operation.
    pub endpoint: Endpoint,
    /// The provider's name of the model.
    pub model: &'a str,
    /// Whether the answer is to be a stream.
    pub stream: bool,
    /// The query that goes along.
    pub query: Option<&'a str>,
}

impl Remote {
    /// The path and query of an operation.
    pub fn path(&self, api: &Api, wanted: &Wanted<'_>) -> String {
        let Wanted { endpoint, model, stream, query } = *wanted;
        let base = &self.base_path;
        let below = endpoint.path();
        let mut path = match api {
            Api::Openai => format!("{base}{}", below.trim_start_matches("/v1")),
            Api::Azure(Some(version)) if !endpoint.is_responses() => {
                let below = below.trim_start_matches("/v1");
                let model = path_segment(model);
                return format!("{base}/openai/deployments/{model}{below}?api-version={version}");
            }
            Api::Azure(_) => format!("{base}/openai{below}"),
            Api::Anthropic => format!("{base}{below}"),
            Api::Gemini => {
                let method = endpoint.gemini_method().unwrap_or_default();
                format!("{base}/v1beta/models/{}:{method}", path_segment(model))
            }
            Api::Vertex(_) => {
                let (publisher, method) = match endpoint.gemini_method() {
                    Some(method) => ("google", method),
                    None if stream => ("anthropic", "streamRawPredict"),
                    None => ("anthropic", "rawPredict"),
                };
                format!("{base}/publishers/{publisher}/models/{}:{method}", path_segment(model))
            }
            Api::Bedrock(_) => {
                let operation = match endpoint {
                    Endpoint::Converse => "converse",
                    Endpoint::ConverseStream => "converse-stream",
                    _ if stream => "invoke-with-response-stream",
                    _ => "invoke",
                };
                format!("{base}/model/{}/{operation}", path_segment(model))
            }
        };
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            path.push('?');
            path.push_str(query);
        }
        path
    }
}
