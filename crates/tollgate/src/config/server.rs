//! The checked sections of the program itself: listeners, storage, counters, display.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use tollgate_admission::identity::OnDisconnect;
use tollgate_admission::network::Network;

use super::reader::Fields;
use super::scalar::{Blank, Count, Decimal, Scalar, Size, Span, Wrong, words};

/// Listeners and what holds for every call.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where the data plane listens.
    pub listen: SocketAddr,
    /// Where the admin plane listens.
    pub admin_listen: SocketAddr,
    /// The first admin credential.
    pub admin_key: Option<SecretString>,
    /// Proxies that are believed about a caller's address.
    pub trusted_proxies: Vec<Network>,
    /// Largest request body in bytes.
    pub max_body: u64,
    /// Largest answer in bytes that is not a stream.
    pub max_answer: u64,
    /// How long a request body may pause.
    pub body_pause: Duration,
    /// How long the head of a request may take.
    pub header_read_timeout: Duration,
    /// Most connections at a time, per listener.
    pub max_connections: u32,
    /// Most calls under way at a time; further ones are refused.
    pub max_calls: u32,
    /// How long work may wait for a core before calls are refused; zero is any time.
    pub shed_after: Duration,
    /// How long calls in flight may take to finish after SIGTERM.
    pub shutdown_grace: Duration,
    /// The zone of calendar windows and reports where nothing else names one.
    pub timezone: TimeZone,
    /// What becomes of a call whose client goes away, where neither key nor plan says.
    pub on_disconnect: OnDisconnect,
    /// How long [`OnDisconnect::Drain`] reads on.
    pub drain_for: Duration,
    /// Output tokens set aside where neither caller nor model names a maximum.
    pub max_output_tokens: u64,
    /// Whether the ledger keeps addresses as digests only.
    pub hash_addresses: bool,
}

impl Server {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let server = Self {
            listen: fields.get("listen"),
            admin_listen: fields.get("admin_listen"),
            admin_key: secret(fields, "admin_key"),
            trusted_proxies: fields.list("trusted_proxies"),
            max_body: fields.get::<Size>("max_body").0,
            max_answer: fields.get::<Size>("max_answer").0,
            body_pause: fields.get::<Span>("body_pause").0,
            header_read_timeout: fields.get::<Span>("header_read_timeout").0,
            max_connections: fields.get::<Count>("max_connections").0,
            max_calls: fields.get::<Count>("max_calls").0,
            shed_after: fields.get("shed_after"),
            shutdown_grace: fields.get("shutdown_grace"),
            timezone: fields.get("timezone"),
            on_disconnect: fields.get("on_disconnect"),
            drain_for: fields.get::<Span>("drain_for").0,
            max_output_tokens: u64::from(fields.get::<Count>("max_output_tokens").0),
            hash_addresses: fields.get("hash_addresses"),
        };
        if server.listen == server.admin_listen && server.listen.port() != 0 {
            let key = if fields.has("admin_listen") { "admin_listen" } else { "listen" };
            fields.fail_at(
                key,
                format!("`server.listen` and `server.admin_listen` are both {}", server.listen),
                Some("the admin API needs an address of its own".to_owned()),
            );
        }
        server
    }
}

/// A secret that counts as absent where it is empty.
pub(super) fn secret(fields: &Fields<'_>, key: &'static str) -> Option<SecretString> {
    fields.maybe::<SecretString>(key).filter(|secret| !secret.expose_secret().is_empty())
}

/// Where the ledger is.
#[derive(Clone, Debug)]
pub enum StorageUrl {
    /// The embedded database, in this file.
    Sqlite(PathBuf),
    /// A server; the URL may hold a password.
    Postgres(SecretString),
}

impl Scalar for StorageUrl {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, Wrong> {
        match text.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", host)) if !host.is_empty() => {
                Ok(Self::Postgres(text.into()))
            }
            _ => Err(Wrong::expected("sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE")),
        }
    }
}

impl Blank for StorageUrl {
    fn blank() -> Self {
        Self::Sqlite(PathBuf::new())
    }
}

words! {
    /// When a call must be on disk.
    Commit {
        /// Before the first byte of its answer leaves.
        BeforeResponse = "before_response",
        /// Soon after.
        Async = "async",
    }
}

words! {
    /// What a written call survives.
    Durability {
        /// The death of the process.
        Process = "process",
        /// Loss of power as well.
        Power = "power",
    }
}

words! {
    /// What becomes of reservations that a crash left.
    InDoubt {
        /// They are charged.
        Charge = "charge",
        /// They are given back.
        Release = "release",
    }
}

/// The ledger.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Where it is.
    pub url: StorageUrl,
    /// When a call must be on disk.
    pub commit: Commit,
    /// What a written call survives.
    pub durability: Durability,
    /// What becomes of reservations that a crash left.
    pub in_doubt: InDoubt,
}

impl Storage {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        Self {
            url: fields.get("url"),
            commit: fields.get("commit"),
            durability: fields.get("durability"),
            in_doubt: fields.get("in_doubt"),
        }
    }
}

/// Where counters are.
#[derive(Clone, Debug)]
pub enum CountersUrl {
    /// In the memory of this process.
    Memory,
    /// On a Redis or Valkey server; the URL may hold a password.
    Redis(SecretString),
    /// On a cluster of them.
    RedisCluster(SecretString),
}

impl Scalar for CountersUrl {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, Wrong> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("redis" | "rediss", rest)) if rest.len() > 2 && rest.starts_with("//") => {
                Ok(Self::Redis(text.into()))
            }
            Some(("redis-cluster", rest)) if rest.len() > 2 && rest.starts_with("//") => {
                Ok(Self::RedisCluster(text.into()))
            }
            _ => Err(Wrong::expected(
                "memory:, redis://HOST:PORT or redis-cluster://HOST:PORT,HOST:PORT",
            )),
        }
    }
}

impl Blank for CountersUrl {
    fn blank() -> Self {
        Self::Memory
    }
}

words! {
    /// What holds while neither counters nor storage answer.
    Degraded {
        /// Calls pass.
        Allow = "allow",
        /// Each node allows the share it holds.
        Restrict = "restrict",
        /// Calls are refused.
        Deny = "deny",
    }
}

/// The fast counts of limits.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Where they are.
    pub url: CountersUrl,
    /// What holds while neither they nor the storage answer.
    pub degraded: Degraded,
}

impl Counters {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        Self { url: fields.get("url"), degraded: fields.get("degraded") }
    }
}

/// How amounts are shown.
#[derive(Clone, Debug)]
pub struct Display {
    /// ISO 4217 code of the currency that is shown beside USD.
    pub currency: Arc<str>,
    /// Units of it for one USD, as written; `1` for USD.
    pub usd_rate: Arc<str>,
}

impl Display {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let currency: Arc<str> = fields.get("currency");
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            let message = "`display.currency`: expected three capital letters such as KRW";
            fields.fail_at("currency", message.to_owned(), None);
        }
        let rate = fields.maybe::<Decimal>("usd_rate");
        if rate.as_ref().is_some_and(|Decimal(rate)| !rate.contains(|c| matches!(c, '1'..='9'))) {
            let message = "`display.usd_rate` is zero";
            fields.fail_at("usd_rate", message.to_owned(), None);
        }
        if rate.is_none() && &*currency != "USD" {
            let message = format!("`display.usd_rate` is missing for {currency}");
            let remedy = format!("say how many {currency} one USD is");
            fields.fail(message, Some(remedy));
        }
        let usd_rate = rate.map_or_else(|| "1".into(), |Decimal(rate)| rate.into());
        Self { currency, usd_rate }
    }
}
