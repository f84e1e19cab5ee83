//! Sinks of log lines: keys that all kinds share, and those of each. A key that the kind has no use
//! for is refused, because it would be without effect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use secrecy::{ExposeSecret as _, SecretString};
use tollgate_sinks::settings::{
    self, Batch, Conventions, DeliveryConfig, ElasticsearchConfig, Encoding, FileConfig,
    HttpConfig, LogstashConfig, LokiConfig, OtlpConfig, Place, Retry, Secret, Setup, SinkConfig,
    SpoolConfig, TlsConfig, WrongPlace,
};

use super::reader::Fields;
use super::scalar::{Count, Name, Share, Size, Span, words};
use super::schema;
use super::server::secret;

words! {
    /// A kind of log sink.
    SinkKind {
        /// Elasticsearch, or what speaks its bulk API.
        Elasticsearch = "elasticsearch",
        /// Logstash over TCP.
        Logstash = "logstash",
        /// Loki.
        Loki = "loki",
        /// A collector that speaks OTLP over HTTP.
        Otlp = "otlp",
        /// A file.
        File = "file",
    }
}

words! {
    /// How OTLP messages are written.
    OtlpEncoding {
        /// Binary.
        Protobuf = "protobuf",
        /// JSON.
        Json = "json",
    }
}

words! {
    /// A signal of OTLP.
    Signal {
        /// Spans.
        Traces = "traces",
        /// Metrics.
        Metrics = "metrics",
        /// Log records.
        Logs = "logs",
    }
}

words! {
    /// Which generation of the conventions for generative AI.
    Generation {
        /// As the environment says (`OTEL_SEMCONV_STABILITY_OPT_IN`).
        Environment = "environment",
        /// Up to version 1.41 of the common conventions.
        Old = "old",
        /// The latest.
        Latest = "latest",
        /// Both.
        Both = "both",
    }
}

words! {
    /// Whose index template and retention policy are installed.
    Install {
        /// Nobody's.
        Off = "off",
        /// Those of Elasticsearch.
        Elasticsearch = "elasticsearch",
        /// Those of OpenSearch.
        Opensearch = "opensearch",
    }
}

/// A service that gets the log lines.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Whether it is used.
    pub enabled: bool,
    /// Whether its spool's folder was named; else it lies beside the database.
    pub own_folder: bool,
    /// What it is.
    pub config: SinkConfig,
}

/// The name of the sink that `[sentry]` is.
pub(crate) const SENTRY: &str = "sentry";

/// Keys that not every kind knows, and the kinds that do.
const OWN_KEYS: &[(&str, &[SinkKind])] = &[
    ("headers", OVER_HTTP),
    ("api_key", OVER_HTTP),
    ("username", OVER_HTTP),
    ("password", OVER_HTTP),
    ("gzip", OVER_HTTP),
    ("tls", &[SinkKind::Elasticsearch, SinkKind::Logstash, SinkKind::Loki, SinkKind::Otlp]),
    ("index", &[SinkKind::Elasticsearch]),
    ("install", &[SinkKind::Elasticsearch]),
    ("labels", &[SinkKind::Loki]),
    ("rotate", &[SinkKind::File]),
    ("encoding", &[SinkKind::Otlp]),
    ("signals", &[SinkKind::Otlp]),
    ("sample_rate", &[SinkKind::Otlp]),
    ("conventions", &[SinkKind::Otlp]),
    ("resource", &[SinkKind::Otlp]),
];
const OVER_HTTP: &[SinkKind] = &[SinkKind::Elasticsearch, SinkKind::Loki, SinkKind::Otlp];
/// The variable of the OpenTelemetry conventions, and its word for the latest of generative AI.
const OPT_IN: (&str, &str) = ("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental");

/// Reads all sinks.
pub(super) fn read(sections: &[Fields<'_>], zone: &TimeZone) -> Vec<Sink> {
    let mut names = BTreeSet::new();
    let mut sinks = Vec::new();
    for fields in sections {
        let sink = Sink::read(fields, zone);
        if fields.has("kind") && !names.insert(Arc::clone(&sink.config.name)) {
            let message = format!("there are two sinks with the name `{}`", sink.config.name);
            fields.fail_at("kind", message, Some("give one of them a `name`".to_owned()));
        }
        sinks.push(sink);
    }
    sinks
}

impl Sink {
    fn read(fields: &Fields<'_>, zone: &TimeZone) -> Self {
        let kind: SinkKind = fields.get("kind");
        for (key, _) in OWN_KEYS.iter().filter(|(_, kinds)| !kinds.contains(&kind)) {
            if fields.has(key) {
                let message = format!("`{key}` has no meaning for the kind `{}`", kind.as_str());
                fields.fail_at(key, message, None);
            }
        }
        let name = fields.maybe::<Name>("name").map_or_else(|| kind.as_str().into(), |name| name.0);
        check_name(fields, &name);
        let (delivery, own_folder) = delivery(fields);
        let config = SinkConfig { name, kind: of_kind(fields, kind, zone), delivery };
        Self { enabled: fields.get("enabled"), own_folder, config }
    }
}

/// The name is a folder too.
fn check_name(fields: &Fields<'_>, name: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !name.bytes().all(plain) {
        let message = "`name`: expected letters, digits, `-` and `_`".to_owned();
        fields.fail_at("name", message, None);
    }
    if name == SENTRY {
        fields.fail_at("name", format!("`{SENTRY}` is the name of the sink of [sentry]"), None);
    }
}

fn delivery(fields: &Fields<'_>) -> (DeliveryConfig, bool) {
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let batch = fields.section("batch", &schema::SINK_BATCH);
    let retry = fields.section("retry", &schema::SINK_RETRY);
    let spool = fields.section("spool", &schema::SINK_SPOOL);
    let retry = Retry { base: retry.get::<Span>("base").0, max: retry.get::<Span>("max").0 };
    if retry.max < retry.base {
        fields.fail_at("retry", "`retry`: `max` is shorter than `base`".to_owned(), None);
    }
    let folder = spool.maybe::<Arc<str>>("dir");
    let bound = spool.get::<Size>("max").0;
    let own_folder = folder.is_some();
    let folder = PathBuf::from(folder.as_deref().unwrap_or_default());
    let delivery = DeliveryConfig {
        queue: count(fields.get::<Count>("queue").0),
        batch: Batch {
            calls: count(batch.get::<Count>("calls").0),
            bytes: usize::try_from(batch.get::<Size>("size").0).unwrap_or(usize::MAX),
            age: batch.get::<Span>("age").0,
        },
        spool: (bound > 0).then_some(SpoolConfig { folder, bound }),
        retry,
        timeout: fields.get::<Span>("timeout").0,
    };
    (delivery, own_folder)
}

fn of_kind(fields: &Fields<'_>, kind: SinkKind, zone: &TimeZone) -> settings::Kind {
    match kind {
        SinkKind::Elasticsearch => settings::Kind::Elasticsearch(ElasticsearchConfig {
            http: http(fields, "ApiKey"),
            index: index(fields),
            setup: match fields.get("install") {
                Install::Off => Setup::Off,
                Install::Elasticsearch => Setup::Elasticsearch,
                Install::Opensearch => Setup::Opensearch,
            },
        }),
        SinkKind::Logstash => settings::Kind::Logstash(LogstashConfig {
            place: place(fields, Place::tcp, "tcp://HOST:PORT or tls://HOST:PORT"),
            tls: tls(fields),
        }),
        SinkKind::Loki => {
            let mut labels = texts(fields, "labels");
            if !labels.contains_key("service_name") {
                labels.insert("service_name".to_owned(), "tollgate".to_owned());
            }
            settings::Kind::Loki(LokiConfig { http: http(fields, "Bearer"), labels })
        }
        SinkKind::Otlp => settings::Kind::Otlp(otlp(fields)),
        SinkKind::File => settings::Kind::File(file(fields, zone)),
    }
}

fn place(
    fields: &Fields<'_>,
    read: impl Fn(&str) -> Result<Place, WrongPlace>,
    form: &str,
) -> Place {
    let url: SecretString = fields.get("url");
    let nowhere =
        Place { tls: false, host: "localhost".into(), port: 1, path: "".into(), basic: None };
    match read(url.expose_secret()) {
        Ok(place) => place,
        Err(wrong) => {
            // What is missing was reported when it was asked for.
            if fields.has("url") {
                let remedy = format!("write it like {form}");
                fields.fail_at("url", format!("`url` {wrong}"), Some(remedy));
            }
            nowhere
        }
    }
}

/// A service over HTTP; `scheme` is how it is shown an `api_key`.
fn http(fields: &Fields<'_>, scheme: &str) -> HttpConfig {
    let mut headers: Vec<(String, Secret)> = super::provider::headers(fields)
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value.expose_secret())))
        .collect();
    let mut authorize = |value: Secret| headers.push(("authorization".to_owned(), value));
    let api_key = secret(fields, "api_key");
    if let Some(key) = &api_key {
        authorize(Secret::new(&format!("{scheme} {}", key.expose_secret())));
    }
    match (fields.maybe::<Arc<str>>("username"), secret(fields, "password")) {
        (Some(_), _) | (_, Some(_)) if api_key.is_some() => {
            let message = "`api_key` and `username` do not go together".to_owned();
            fields.fail_at("api_key", message, None);
        }
        (Some(user), Some(password)) => {
            authorize(Place::basic(&format!("{user}:{}", password.expose_secret())));
        }
        (None, None) => {}
        _ => {
            let message = "`username` and `password` go together".to_owned();
            let key = if fields.has("username") { "username" } else { "password" };
            fields.fail_at(key, message, None);
        }
    }
    HttpConfig {
        place: place(fields, Place::http, "http://HOST:PORT or https://HOST:PORT"),
        headers,
        gzip: fields.get("gzip"),
        tls: tls(fields),
    }
}

fn tls(fields: &Fields<'_>) -> TlsConfig {
    let tls = fields.section("tls", &schema::SINK_TLS);
    let path = |key| tls.maybe::<Arc<str>>(key).map(|path| PathBuf::from(&*path));
    let (ca_file, cert_file, key_file) = (path("ca_file"), path("cert_file"), path("key_file"));
    if cert_file.is_some() != key_file.is_some() {
        let message = "`tls`: `cert_file` and `key_file` go together".to_owned();
        fields.fail_at("tls", message, None);
    }
    if cert_file.is_some() && ca_file.is_none() {
        let message = "`tls`: `cert_file` needs `ca_file`".to_owned();
        fields.fail_at("tls", message, None);
    }
    TlsConfig { ca_file, cert_file, key_file }
}

fn index(fields: &Fields<'_>) -> Arc<str> {
    let index: Arc<str> = fields.get("index");
    if !settings::is_index(&index) {
        let message = "`index` cannot name an index".to_owned();
        let remedy = "write it like \"tollgate-logs-%Y.%m.%d\", in lower case".to_owned();
        fields.fail_at("index", message, Some(remedy));
    }
    index
}

/// The names and texts of a table.
fn texts(fields: &Fields<'_>, key: &'static str) -> BTreeMap<String, String> {
    let entries = fields.item(key).map(|item| item.entries()).unwrap_or_default();
    let text = |(name, item): (&str, super::reader::Item<'_>)| {
        Some((name.to_owned(), item.scalar::<Arc<str>>()?.as_ref().to_owned()))
    };
    entries.into_iter().filter_map(text).collect()
}

/// Who stands behind the providers' names is known when the whole configuration is.
fn otlp(fields: &Fields<'_>) -> OtlpConfig {
    let signals: Vec<Signal> = fields.list("signals");
    let opted_in = || {
        let (variable, word) = OPT_IN;
        let value = fields.variable(variable).unwrap_or_default();
        value.split(',').any(|each| each.trim() == word)
    };
    let conventions = match fields.get("conventions") {
        Generation::Environment if opted_in() => Conventions { old: false, latest: true },
        Generation::Environment | Generation::Old => Conventions { old: true, latest: false },
        Generation::Latest => Conventions { old: false, latest: true },
        Generation::Both => Conventions { old: true, latest: true },
    };
    OtlpConfig {
        http: http(fields, "Bearer"),
        encoding: match fields.get("encoding") {
            OtlpEncoding::Protobuf => Encoding::Protobuf,
            OtlpEncoding::Json => Encoding::Json,
        },
        traces: signals.contains(&Signal::Traces),
        metrics: signals.contains(&Signal::Metrics),
        logs: signals.contains(&Signal::Logs),
        sample_per_million: fields.get::<Share>("sample_rate").per_million(),
        conventions,
        resource: texts(fields, "resource"),
        vendors: BTreeMap::new(),
    }
}

fn file(fields: &Fields<'_>, zone: &TimeZone) -> FileConfig {
    let url: SecretString = fields.get("url");
    let path = url.expose_secret().strip_prefix("file://").unwrap_or_default();
    if path.is_empty() && fields.has("url") {
        let remedy = "write it like \"file://logs/calls.jsonl\"".to_owned();
        fields.fail_at("url", "`url` names no file".to_owned(), Some(remedy));
    }
    let rotate = fields.section("rotate", &schema::SINK_ROTATE);
    let size = rotate.get::<Size>("size").0;
    let keep: u32 = rotate.get("keep");
    FileConfig {
        path: PathBuf::from(path),
        size: (size > 0).then_some(size),
        daily: rotate.get("daily"),
        zone: zone.clone(),
        keep: (keep > 0).then(|| usize::try_from(keep).unwrap_or(usize::MAX)),
    }
}
