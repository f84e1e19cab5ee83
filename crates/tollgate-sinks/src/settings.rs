//! What may be configured of a sink: checked and typed, read from nowhere. The program reads its
//! configuration into these.

mod dsn;
mod place;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

pub use crate::elasticsearch::is_index;
pub use dsn::{Dsn, WrongDsn};
pub use place::{Place, WrongPlace};

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret, to be sent to the service it is for.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// Its name, in metrics, messages and the spool's folder.
    pub name: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// How calls travel to it.
    pub delivery: DeliveryConfig,
}

/// How calls travel to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Most calls that wait in memory.
    pub queue: usize,
    /// When what waits is sent.
    pub batch: Batch,
    /// Where calls wait while the service is away; `None` is in memory only.
    pub spool: Option<SpoolConfig>,
    /// How long to wait before the service is asked again.
    pub retry: Retry,
    /// How long the service may take to answer.
    pub timeout: Duration,
}

/// When what waits is sent: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// So many calls.
    pub calls: usize,
    /// So many bytes, roughly, before compression.
    pub bytes: usize,
    /// The first has waited so long.
    pub age: Duration,
}

impl Batch {
    /// Everything there is.
    pub(crate) const ALL: Self = Self { calls: usize::MAX, bytes: usize::MAX, age: Duration::ZERO };
}

/// Where calls wait while their service is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// The folder of this sink's spool.
    pub folder: PathBuf,
    /// Most bytes that it takes.
    pub bound: u64,
}

/// Waits between attempts: doubling from `base` to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first.
    pub base: Duration,
    /// The longest.
    pub max: Duration,
}

/// A kind of sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Elasticsearch or OpenSearch.
    Elasticsearch(ElasticsearchConfig),
    /// Logstash over TCP.
    Logstash(LogstashConfig),
    /// Loki.
    Loki(LokiConfig),
    /// A collector that speaks OTLP.
    Otlp(OtlpConfig),
    /// Sentry.
    Sentry(SentryConfig),
    /// A file.
    File(FileConfig),
}

/// How a service over HTTP is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it is.
    pub place: Place,
    /// Headers of every request: what it is told who asks.
    pub headers: Vec<(String, Secret)>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// What TLS trusts beside the machine's authorities, and what it shows.
    pub tls: TlsConfig,
}

/// What TLS trusts, and what it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificates (PEM) that are trusted instead of the machine's.
    pub ca_file: Option<PathBuf>,
    /// The certificate that is shown (PEM), with its chain.
    pub cert_file: Option<PathBuf>,
    /// Its key (PEM).
    pub key_file: Option<PathBuf>,
}

/// Whose templates and retention policy are installed at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setup {
    /// Nobody's: the operator has seen to it.
    #[default]
    Off,
    /// Those of Elasticsearch (ILM).
    Elasticsearch,
    /// Those of OpenSearch (ISM).
    Opensearch,
}

/// Elasticsearch or OpenSearch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchConfig {
    /// How it is reached.
    pub http: HttpConfig,
    /// The index, with the day as `%Y.%m.%d` (in UTC).
    pub index: Arc<str>,
    /// What is installed at the start.
    pub setup: Setup,
}

/// Logstash, with the TCP input and the codec `json_lines`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogstashConfig {
    /// Where it is; `tls://` is TCP with TLS.
    pub place: Place,
    /// What TLS trusts and shows.
    pub tls: TlsConfig,
}

/// Loki.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LokiConfig {
    /// How it is reached.
    pub http: HttpConfig,
    /// Labels of every line. Few: each combination is a stream.
    pub labels: BTreeMap<String, String>,
}

/// A file, and when it gives way to a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// Where lines are appended.
    pub path: PathBuf,
    /// The size at which it is set aside; `None` is never.
    pub size: Option<u64>,
    /// Whether it is set aside when a day ends.
    pub daily: bool,
    /// The zone of that day.
    pub zone: TimeZone,
    /// How many files that were set aside are kept; `None` is all.
    pub keep: Option<usize>,
}

/// How OTLP messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Binary.
    Protobuf,
    /// JSON.
    Json,
}

/// Which generations of the conventions for generative AI are sent. They have moved to a repository
/// of their own, and many names have changed, in 2026.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conventions {
    /// Those up to version 1.41 of the common conventions.
    pub old: bool,
    /// The latest.
    pub latest: bool,
}

/// Who stands behind a provider's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// As the latest conventions call it (`gen_ai.provider.name`).
    pub name: String,
    /// As the old ones do (`gen_ai.system`).
    pub system: String,
    /// The host that is asked, where it is known.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
}

/// A collector that speaks OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// How it is reached; `/v1/traces` and its kin come after its path.
    pub http: HttpConfig,
    /// How messages are written.
    pub encoding: Encoding,
    /// Whether spans are sent.
    pub traces: bool,
    /// Whether metrics are sent.
    pub metrics: bool,
    /// Whether log records are sent.
    pub logs: bool,
    /// Parts per million of the calls whose spans are sent.
    pub sample_per_million: u32,
    /// Which conventions.
    pub conventions: Conventions,
    /// Attributes of the resource, such as `deployment.environment.name`.
    pub resource: BTreeMap<String, String>,
    /// Who stands behind the names of providers.
    pub vendors: BTreeMap<String, Vendor>,
}

/// Reports of panics and 5xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentryConfig {
    /// Where they go.
    pub dsn: Dsn,
    /// The environment that they name.
    pub environment: String,
    /// The release that they name.
    pub release: String,
    /// Whether calls are reported that failed at their provider, beside our own faults.
    pub upstream: bool,
    /// Parts per million of the calls that are sent as transactions.
    pub sample_per_million: u32,
}
