//! Who may call: plans of users and guests, tokens, keys.

mod captcha;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use tollgate_admission::identity::{OnDisconnect, Role};
use tollgate_admission::network::Network;
use tollgate_domain::limit::Limit;

use super::limit::{Mentions, own_limits};
use super::names::Names;
use super::reader::Fields;
use super::scalar::{Blank, HttpUrl, Name, Scalar, Span, Wrong, words, wrong_word};
use super::schema;
use super::server::secret;
pub use captcha::{Captcha, CaptchaProvider};

/// Shortest key that no caution is given about.
pub(super) const SHORT_KEY: usize = 20;

impl Scalar for OnDisconnect {
    fn read(text: &str) -> Result<Self, Wrong> {
        match text {
            "drain" => Ok(Self::Drain),
            "abort" => Ok(Self::Abort),
            _ => Err(wrong_word(text, &["drain", "abort"])),
        }
    }
}

impl Blank for OnDisconnect {
    fn blank() -> Self {
        Self::default()
    }
}

impl Scalar for Role {
    fn read(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|_| wrong_word(text, &["user", "service", "admin"]))
    }
}

impl Blank for Role {
    fn blank() -> Self {
        Self::default()
    }
}

/// Who may call.
#[derive(Clone, Debug)]
pub struct Auth {
    /// The plan of a user that has none.
    pub default_plan: Arc<str>,
    /// Whether users are made on first sight.
    pub auto_register: bool,
    /// The plan of callers without credentials; `None` refuses them.
    pub guests: Option<Arc<str>>,
    /// What guests must prove first.
    pub captcha: Option<Captcha>,
    /// Tokens that are accepted.
    pub jwt: Option<Jwt>,
    /// Keys that exist from the start, in the order of the file.
    pub keys: Vec<ConfigKey>,
}

/// A key of the configuration.
#[derive(Clone, Debug)]
pub struct ConfigKey {
    /// Its name.
    pub name: Arc<str>,
    /// The key itself.
    pub key: SecretString,
    /// What its holder may do.
    pub role: Role,
    /// The user it acts for; its name where the file names none.
    pub user: Arc<str>,
    /// The team of its user.
    pub team: Option<Arc<str>>,
    /// The plan of its user.
    pub plan: Option<Arc<str>>,
    /// When it stops being accepted.
    pub expires_at: Option<Timestamp>,
    /// Models it may use; empty means all.
    pub models: Vec<Arc<str>>,
    /// Providers it may use; empty means all.
    pub providers: Vec<Arc<str>>,
    /// Addresses it may come from; empty means all.
    pub networks: Vec<Network>,
    /// What becomes of its calls whose client goes away.
    pub on_disconnect: Option<OnDisconnect>,
    /// Whether its calls may use the prompt cache, where the key says so.
    pub cache: Option<bool>,
    /// Its own limits.
    pub limits: Vec<Arc<Limit>>,
}

words! {
    /// How tokens are signed.
    Algorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// RSA with SHA-256.
        Rs256 = "RS256",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// Edwards curves.
        EdDsa = "EdDSA",
    }
}

/// Where the key that proves tokens comes from.
#[derive(Clone, Debug)]
pub enum JwtKey {
    /// A shared secret (`HS256` only).
    Secret(SecretString),
    /// A file with a public key.
    File(PathBuf),
    /// A URL that publishes public keys.
    Jwks(String),
}

/// Tokens that are accepted.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// The only algorithm.
    pub algorithm: Algorithm,
    /// What proves them.
    pub key: JwtKey,
    /// How often published keys are fetched again.
    pub jwks_refresh: Duration,
    /// The claim with the user.
    pub user_claim: Arc<str>,
    /// The claim with the plan.
    pub plan_claim: Arc<str>,
    /// What `iss` must be.
    pub issuer: Option<Arc<str>>,
    /// What `aud` must hold.
    pub audience: Option<Arc<str>>,
}

impl Auth {
    /// Reads the section. `preset_default` is the default plan that a preset brings.
    pub(super) fn read(
        fields: &Fields<'_>,
        plans: &Names,
        (mentions, zone): (Mentions<'_>, &TimeZone),
        preset_default: Option<&Arc<str>>,
    ) -> Self {
        Self {
            default_plan: default_plan(fields, plans, preset_default),
            auto_register: fields.get("auto_register"),
            guests: guests(fields, plans),
            captcha: fields
                .maybe_section("captcha", &schema::CAPTCHA)
                .map(|fields| Captcha::read(&fields)),
            jwt: fields.maybe_section("jwt", &schema::JWT).and_then(|fields| Jwt::read(&fields)),
            keys: keys(fields, plans, (mentions, zone)),
        }
    }
}

fn default_plan(fields: &Fields<'_>, plans: &Names, preset: Option<&Arc<str>>) -> Arc<str> {
    if let Some(item) = fields.item("default_plan") {
        // Without any plan the default one is made, under whatever name it has.
        let name = if plans.is_empty() {
            item.scalar::<Name>().map(|Name(name)| name)
        } else {
            plans.mention(&item)
        };
        return name.unwrap_or_else(Arc::<str>::blank);
    }
    if let Some(preset) = preset {
        return Arc::clone(preset);
    }
    let name: Arc<str> = fields.get("default_plan");
    if !plans.is_empty() && !plans.contains(&name) {
        let known: Vec<String> = plans.iter().map(|name| format!("`{name}`")).collect();
        fields.fail(
            format!("`auth.default_plan` is left out, and there is no plan `{name}`"),
            Some(format!("set it to one of {}", known.join(", "))),
        );
    }
    name
}

fn guests(fields: &Fields<'_>, plans: &Names) -> Option<Arc<str>> {
    let item = fields.item("guests")?;
    let Name(name) = item.scalar()?;
    if &*name == "deny" {
        return None;
    }
    plans.check(&item, &name).then_some(name)
}

fn keys(fields: &Fields<'_>, plans: &Names, limits: (Mentions<'_>, &TimeZone)) -> Vec<ConfigKey> {
    let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut keys: Vec<ConfigKey> = Vec::new();
    for fields in fields.sections("keys", &schema::KEY) {
        let key = ConfigKey::read(&fields, plans, limits);
        if !names.insert(Arc::clone(&key.name)) {
            fields.fail_at(
                "name",
                format!("there are two keys with the name `{}`", key.name),
                None,
            );
        }
        let same = |other: &&ConfigKey| other.key.expose_secret() == key.key.expose_secret();
        if let Some(other) = keys.iter().find(same) {
            let message =
                format!("the keys `{}` and `{}` are the same secret", other.name, key.name);
            fields.fail_at("key", message, Some("give each its own".to_owned()));
        }
        keys.push(key);
    }
    keys
}

impl ConfigKey {
    fn read(
        fields: &Fields<'_>,
        plans: &Names,
        (mentions, zone): (Mentions<'_>, &TimeZone),
    ) -> Self {
        let Name(name) = fields.get("name");
        let key: SecretString = fields.get("key");
        if fields.has("key") && key.expose_secret().is_empty() {
            fields.fail_at("key", format!("the key `{name}` is empty"), None);
        }
        Self {
            user: fields.maybe::<Name>("user").map_or_else(|| Arc::clone(&name), |Name(user)| user),
            name,
            key,
            role: fields.get("role"),
            team: fields.maybe::<Name>("team").map(|Name(team)| team),
            plan: fields.item("plan").and_then(|item| plans.mention(&item)),
            expires_at: fields.maybe("expires"),
            models: fields.list("models"),
            providers: mentions.providers.mentions(fields, "providers"),
            networks: fields.list("ips"),
            on_disconnect: fields.maybe("on_disconnect"),
            cache: fields.maybe("cache"),
            limits: own_limits(fields, mentions, zone),
        }
    }
}

impl Jwt {
    fn read(fields: &Fields<'_>) -> Option<Self> {
        let algorithm = fields.get("algorithm");
        let key = match algorithm {
            Algorithm::Hs256 => shared_secret(fields),
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => public_key(fields, algorithm),
        };
        Some(Self {
            algorithm,
            user_claim: fields.get("user_claim"),
            plan_claim: fields.get("plan_claim"),
            issuer: fields.maybe("issuer"),
            audience: fields.maybe("audience"),
            jwks_refresh: fields.get::<Span>("jwks_refresh").0,
            key: key?,
        })
    }
}

fn shared_secret(fields: &Fields<'_>) -> Option<JwtKey> {
    for public in ["jwks_url", "public_key_file"] {
        if fields.has(public) {
            let message =
                format!("`auth.jwt.{public}` does not go with HS256, whose key is secret");
            fields.fail_at(public, message, Some("set `algorithm`, or remove it".to_owned()));
        }
    }
    let secret = secret(fields, "secret").map(JwtKey::Secret);
    if secret.is_none() {
        fields.fail_at("secret", "[auth.jwt] with HS256 needs `secret`".to_owned(), None);
    }
    secret
}

fn public_key(fields: &Fields<'_>, algorithm: Algorithm) -> Option<JwtKey> {
    let name = algorithm.as_str();
    if fields.has("secret") {
        let message = format!("`auth.jwt.secret` does not go with {name}, whose key is public");
        fields.fail_at("secret", message, Some("remove it".to_owned()));
    }
    let url = fields.maybe::<HttpUrl>("jwks_url").map(|HttpUrl(url)| JwtKey::Jwks(url));
    let file = fields.maybe::<Arc<str>>("public_key_file");
    match (url, file) {
        (Some(url), None) => Some(url),
        (None, Some(file)) => Some(JwtKey::File(PathBuf::from(&*file))),
        (Some(_), Some(_)) => {
            let message = "[auth.jwt] has both `jwks_url` and `public_key_file`".to_owned();
            fields.fail_at("public_key_file", message, Some("keep one".to_owned()));
            None
        }
        (None, None) => {
            let message = format!("[auth.jwt] with {name} needs `jwks_url` or `public_key_file`");
            fields.fail(message, None);
            None
        }
    }
}
