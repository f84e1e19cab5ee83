//! Providers: where calls go, how patiently, and what the simulated one plays.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::reader::Fields;
use super::scalar::{Count, HttpUrl, Share, Span, words};
use super::schema;
use super::server::secret;

words! {
    /// The dialect of a provider.
    Kind {
        /// OpenAI, or any service that speaks its dialect.
        Openai = "openai",
        /// Anthropic.
        Anthropic = "anthropic",
        /// Gemini.
        Gemini = "gemini",
        /// Azure OpenAI.
        Azure = "azure",
        /// Gemini models in a project of Google Cloud.
        Vertex = "vertex",
        /// Amazon Bedrock.
        Bedrock = "bedrock",
        /// Answers from inside the program.
        Simulated = "simulated",
    }
}

impl Kind {
    /// The provider's own service, where there is one for everybody.
    const fn own_service(self) -> Option<&'static str> {
        match self {
            Self::Openai => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com"),
            Self::Azure | Self::Vertex | Self::Bedrock | Self::Simulated => None,
        }
    }
}

/// A provider.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name.
    pub name: Arc<str>,
    /// Its dialect.
    pub kind: Kind,
    /// Where its API is, without a slash at the end; `None` for the simulated one.
    pub base_url: Option<String>,
    /// Its credential.
    pub api_key: Option<SecretString>,
    /// Its id in the price book where that is not its name.
    pub price_book: Option<Arc<str>>,
    /// Headers that every request carries; the names are in lower case.
    pub headers: Vec<(String, SecretString)>,
    /// Whether the provider itself serves `/responses`; what its vendor is known for where absent.
    pub responses: Option<bool>,
    /// What becomes of a call through `/providers/NAME/…` whose use nobody can read.
    pub unmetered: Unmetered,
    /// Version of Azure's API; deployments are then named in the path.
    pub api_version: Option<Arc<str>>,
    /// Region and credentials of Amazon Web Services.
    pub aws: Option<Aws>,
    /// The file with a service account of Google Cloud.
    pub credentials_file: Option<PathBuf>,
    /// Time limits.
    pub timeout: Timeout,
    /// Repeated attempts.
    pub retry: Retry,
    /// The circuit breaker.
    pub breaker: Breaker,
    /// What the simulated provider plays; `None` for the others.
    pub simulated: Option<Simulated>,
}

words! {
    /// What becomes of a call through `/providers/NAME/…` whose use nobody can read.
    Unmetered {
        /// It is made, and charged by an estimate from its size. What is billed later is refused.
        Estimate = "estimate",
        /// It is refused.
        Refuse = "refuse",
        /// Even what is billed later (batches, training) is let through.
        Allow = "allow",
    }
}

/// How requests to Amazon Web Services are signed.
#[derive(Clone, Debug)]
pub struct Aws {
    /// The region.
    pub region: Arc<str>,
    /// Who signs; `None` where `api_key` is sent instead.
    pub signer: Option<AwsKeys>,
}

/// A pair of keys of Amazon Web Services.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    /// The id.
    pub access_key_id: Arc<str>,
    /// The secret.
    pub secret_access_key: SecretString,
    /// The token of temporary keys.
    pub session_token: Option<SecretString>,
}

/// Time limits of a call.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    /// To connect.
    pub connect: Duration,
    /// To the first byte of the answer.
    pub first_byte: Duration,
    /// Between two chunks.
    pub idle: Duration,
    /// For the whole call.
    pub total: Duration,
}

/// Repeated attempts.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// The pause before the second; it doubles.
    pub base: Duration,
    /// The longest pause.
    pub max: Duration,
}

/// When a target that fails is left alone.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    /// Share of errors that opens it.
    pub error_rate: Share,
    /// Over which time.
    pub window: Duration,
    /// Fewest calls in that time.
    pub min_calls: u32,
    /// How long it stays open.
    pub open_for: Duration,
    /// A first byte later than this is an error.
    pub slow_first_byte: Duration,
}

/// What the simulated provider plays.
#[derive(Clone, Copy, Debug)]
pub struct Simulated {
    /// Time until an answer begins.
    pub latency: Duration,
    /// Share of calls that fail.
    pub error_rate: Share,
    /// Time between chunks of a stream.
    pub chunk_interval: Duration,
    /// Chunks of a stream.
    pub chunks: u32,
    /// Output tokens that an answer states; as many as its text has where absent.
    pub output_tokens: Option<u64>,
}

/// Reads all providers, by name.
pub(super) fn providers(root: &Fields<'_>) -> BTreeMap<Arc<str>, Provider> {
    root.named("providers", &schema::PROVIDER)
        .into_iter()
        .map(|(name, fields)| {
            if name.is_empty() || !name.bytes().all(is_name_byte) {
                let message = format!("`{name}` cannot be the name of a provider");
                let remedy =
                    "use letters, digits, `-`, `_` and `.`: it stands in paths and price keys";
                fields.fail(message, Some(remedy.to_owned()));
            }
            (Arc::from(name), Provider::read(name, &fields))
        })
        .collect()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

impl Provider {
    /// Whether its requests carry a credential.
    pub fn has_credential(&self) -> bool {
        let signs = self.aws.as_ref().is_some_and(|aws| aws.signer.is_some());
        self.api_key.is_some() || signs || self.credentials_file.is_some()
    }

    fn read(name: &str, fields: &Fields<'_>) -> Self {
        let kind = fields.get("kind");
        refuse_keys_of_others(fields, kind);
        let aws = (kind == Kind::Bedrock).then(|| Aws::read(fields)).flatten();
        Self {
            name: name.into(),
            kind,
            base_url: base_url(fields, kind, aws.as_ref()),
            api_key: secret(fields, "api_key").filter(|key| key.expose_secret() != "unset"),
            price_book: fields.maybe("price_book"),
            headers: headers(fields),
            responses: fields.maybe("responses"),
            unmetered: fields.get("unmetered"),
            api_version: fields.maybe("api_version"),
            aws,
            credentials_file: fields
                .maybe::<Arc<str>>("credentials_file")
                .map(|file| PathBuf::from(&*file)),
            timeout: Timeout::read(&fields.section("timeout", &schema::TIMEOUT)),
            retry: Retry::read(&fields.section("retry", &schema::RETRY)),
            breaker: Breaker::read(&fields.section("breaker", &schema::BREAKER)),
            simulated: (kind == Kind::Simulated).then(|| Simulated::read(fields)),
        }
    }
}

/// Keys that mean something for some kinds only.
const KEYS_OF_KINDS: [(Kind, &[&str]); 4] = [
    (Kind::Simulated, &["latency", "error_rate", "chunk_interval", "chunks", "output_tokens"]),
    (Kind::Azure, &["api_version"]),
    (Kind::Bedrock, &["region", "access_key_id", "secret_access_key", "session_token"]),
    (Kind::Vertex, &["credentials_file"]),
];

/// Keys that mean nothing for a kind are mistakes, not decoration.
fn refuse_keys_of_others(fields: &Fields<'_>, kind: Kind) {
    if !fields.has("kind") {
        return;
    }
    for (of, keys) in KEYS_OF_KINDS.into_iter().filter(|(of, _)| *of != kind) {
        for key in keys.iter().filter(|key| fields.has(key)) {
            let message = format!("`{key}` is for providers of the kind `{}`", of.as_str());
            let remedy = Some("remove it".to_owned());
            fields.fail_at(key, format!("`{}`: {message}", fields.path), remedy);
        }
    }
}

fn base_url(fields: &Fields<'_>, kind: Kind, aws: Option<&Aws>) -> Option<String> {
    if fields.has("base_url") {
        return fields.maybe::<HttpUrl>("base_url").map(|HttpUrl(url)| url);
    }
    if let Some(Aws { region, .. }) = aws {
        return Some(format!("https://bedrock-runtime.{region}.amazonaws.com"));
    }
    let own = kind.own_service();
    if own.is_none() && kind != Kind::Simulated {
        fields.fail(format!("{} needs `base_url`", fields.title()), None);
    }
    own.map(str::to_owned)
}

impl Aws {
    fn read(fields: &Fields<'_>) -> Option<Self> {
        let id: Option<Arc<str>> = fields.maybe("access_key_id");
        let secret_access_key = secret(fields, "secret_access_key");
        let session_token = secret(fields, "session_token");
        let signer = match (id, secret_access_key) {
            (Some(access_key_id), Some(secret_access_key)) => {
                Some(AwsKeys { access_key_id, secret_access_key, session_token })
            }
            (None, None) => None,
            _ => {
                let message = "`access_key_id` and `secret_access_key` go together";
                fields.fail(format!("{}: {message}", fields.title()), None);
                None
            }
        };
        let Some(region) = fields.maybe::<Arc<str>>("region") else {
            let remedy = "such as region = \"us-east-1\"";
            fields.fail(format!("{} needs `region`", fields.title()), Some(remedy.to_owned()));
            return None;
        };
        Some(Self { region, signer })
    }
}

pub(super) fn headers(fields: &Fields<'_>) -> Vec<(String, SecretString)> {
    let entries = fields.item("headers").map(|item| item.entries()).unwrap_or_default();
    let mut headers = Vec::new();
    for (name, item) in entries {
        let Ok(lower) = name.parse::<http::HeaderName>() else {
            item.fail(format!("`{}`: `{name}` is no header name", item.path), None);
            continue;
        };
        if let Some(value) = item.scalar::<SecretString>() {
            headers.push((lower.as_str().to_owned(), value));
        }
    }
    headers
}

impl Timeout {
    fn read(fields: &Fields<'_>) -> Self {
        Self {
            connect: fields.get::<Span>("connect").0,
            first_byte: fields.get::<Span>("first_byte").0,
            idle: fields.get::<Span>("idle").0,
            total: fields.get::<Span>("total").0,
        }
    }
}

impl Retry {
    fn read(fields: &Fields<'_>) -> Self {
        let retry = Self {
            attempts: fields.get::<Count>("attempts").0,
            base: fields.get("base"),
            max: fields.get("max"),
        };
        if retry.max < retry.base {
            let message = format!("`{}`: `max` is shorter than `base`", fields.path);
            fields.fail_at("max", message, None);
        }
        retry
    }
}

impl Breaker {
    fn read(fields: &Fields<'_>) -> Self {
        let breaker = Self {
            error_rate: fields.get("error_rate"),
            window: fields.get::<Span>("window").0,
            min_calls: fields.get::<Count>("min_calls").0,
            open_for: fields.get::<Span>("open_for").0,
            slow_first_byte: fields.get::<Span>("slow_first_byte").0,
        };
        if breaker.error_rate == Share::default() && fields.has("error_rate") {
            let message = format!("`{}.error_rate`: at 0 it would be open always", fields.path);
            fields.fail_at("error_rate", message, Some("use a share such as 0.5".to_owned()));
        }
        breaker
    }
}

impl Simulated {
    fn read(fields: &Fields<'_>) -> Self {
        let error_rate: Share = fields.get("error_rate");
        if error_rate.per_mille().is_none() {
            let message = format!("`{}.error_rate`: at most three decimals", fields.path);
            fields.fail_at("error_rate", message, None);
        }
        Self {
            latency: fields.get("latency"),
            error_rate,
            chunk_interval: fields.get("chunk_interval"),
            chunks: fields.get::<Count>("chunks").0,
            output_tokens: fields.maybe("output_tokens"),
        }
    }
}
