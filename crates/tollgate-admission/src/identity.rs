//! Who is calling: keys, kept as digests, and the principal that a good one stands for.
//!
//! A key is 255 random bits, so a keyed digest is all the protection it needs at rest; a slow hash
//! would only let strangers spend our time. Keys are found by digest, never compared as text, so
//! the time of a lookup tells nothing about how much of a guess was right.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::{hmac, rand};
use jiff::Timestamp;
use tollgate_domain::fault::Code;

use crate::engine::OwnLimits;
use crate::network::Network;

/// What every key starts with.
pub const KEY_PREFIX: &str = "tg_";
/// Random bytes in a key.
const KEY_BYTES: usize = 32;
/// Longest credential that is looked at; anything longer is no key of ours.
const MAX_CREDENTIAL: usize = 512;

/// What the holder of a key may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Acts for one user.
    #[default]
    User,
    /// May name the user it acts for in each call.
    Service,
    /// May also change limits, keys and users.
    Admin,
}

impl Role {
    /// The word that configuration and documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Admin => "admin",
        }
    }

    /// Whether it may act for others.
    pub const fn acts_for_others(self) -> bool {
        matches!(self, Self::Service | Self::Admin)
    }
}

impl std::str::FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "user" => Ok(Self::User),
            "service" => Ok(Self::Service),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownRole(text.to_owned())),
        }
    }
}

/// A word that is no role.
#[derive(Debug, thiserror::Error)]
#[error("unknown role `{0}`: expected user, service or admin")]
pub struct UnknownRole(String);

/// What becomes of the upstream call when the client goes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The rest is read, and the provider's own figure charged.
    #[default]
    Drain,
    /// The upstream call is cut, and what was counted until then charged as an estimate.
    Abort,
}

/// The keyed digest under which a key is stored.
pub type KeyDigest = [u8; 32];

/// Turns keys into digests; holds the server's own secret.
#[derive(Clone)]
pub struct KeyHasher(Arc<hmac::Key>);

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher(..)")
    }
}

impl KeyHasher {
    /// A hasher with this secret of the server (32 random bytes, kept in the database).
    pub fn new(pepper: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, pepper)))
    }

    /// The digest of a key.
    pub fn digest(&self, key: &[u8]) -> KeyDigest {
        let tag = hmac::sign(&self.0, key);
        let mut digest = KeyDigest::default();
        for (to, from) in digest.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        digest
    }
}

/// The machine's source of randomness failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the machine gives no random bytes")]
pub struct NoRandomness;

/// Random bytes, for a pepper.
pub fn random_bytes() -> Result<[u8; KEY_BYTES], NoRandomness> {
    let mut bytes = [0; KEY_BYTES];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// Makes a new key: `tg_` and 51 letters and digits (255 bits).
pub fn new_key() -> Result<String, NoRandomness> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = random_bytes()?;
    let mut key = String::with_capacity(KEY_PREFIX.len() + 51);
    key.push_str(KEY_PREFIX);
    let (mut buffer, mut bits) = (0u32, 0u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            let index = usize::try_from((buffer >> bits) & 31).unwrap_or_default();
            key.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'a')));
        }
    }
    Ok(key)
}

/// A key as the program knows it: everything but the key itself.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    /// Its name.
    pub name: Arc<str>,
    /// What its holder may do.
    pub role: Role,
    /// The user it acts for; where none is named, the key's own name.
    pub user: Arc<str>,
    /// The team of its user.
    pub team: Option<Arc<str>>,
    /// The plan it is on, where it has one of its own.
    pub plan: Option<Arc<str>>,
    /// When it stops being good.
    pub expires_at: Option<Timestamp>,
    /// Public model names it may use (`*` at the end matches a prefix); empty means all.
    pub models: Vec<Arc<str>>,
    /// Providers it may use; empty means all.
    pub providers: Vec<Arc<str>>,
    /// Addresses it may come from; empty means all.
    pub networks: Vec<Network>,
    /// What becomes of a call whose client goes away, where the key says so.
    pub on_disconnect: Option<OnDisconnect>,
    /// Whether its calls may use the prompt cache, where the key says so.
    pub cache: Option<bool>,
    /// Its own limits, beside those of its user's plan.
    pub own: Option<Arc<OwnLimits>>,
}

impl KeyEntry {
    /// What stands in the place of a key where a caller has none of its own: it acts for this one
    /// user, on this plan where one is named, and is otherwise free.
    pub const fn standing_in(name: Arc<str>, user: Arc<str>, plan: Option<Arc<str>>) -> Self {
        Self {
            name,
            role: Role::User,
            user,
            team: None,
            plan,
            expires_at: None,
            models: Vec::new(),
            providers: Vec::new(),
            networks: Vec::new(),
            on_disconnect: None,
            cache: None,
            own: None,
        }
    }
}

/// All keys that are good, by digest and by name. Immutable: a change makes a new one.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: HashMap<KeyDigest, Arc<KeyEntry>>,
    names: HashMap<Arc<str>, Arc<KeyEntry>>,
}

impl KeyRing {
    /// A ring of these keys. Of two with one digest the later stays.
    pub fn new(keys: impl IntoIterator<Item = (KeyDigest, KeyEntry)>) -> Self {
        let keys: HashMap<_, _> =
            keys.into_iter().map(|(digest, entry)| (digest, Arc::new(entry))).collect();
        let named = keys.values().map(|entry| (Arc::clone(&entry.name), Arc::clone(entry)));
        Self { names: named.collect(), keys }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All keys, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<KeyEntry>> {
        self.keys.values()
    }

    /// A key of this name, whether it is good just now or not; one of them, where it is rotated.
    pub fn named(&self, name: &str) -> Option<&Arc<KeyEntry>> {
        self.names.get(name)
    }

    /// The key behind a credential, if it is good now and from this address.
    pub fn find(
        &self,
        hasher: &KeyHasher,
        credential: &[u8],
        from: IpAddr,
        now: Timestamp,
    ) -> Result<&Arc<KeyEntry>, Rejected> {
        if credential.len() > MAX_CREDENTIAL {
            return Err(Rejected::Unknown);
        }
        let entry = self.keys.get(&hasher.digest(credential)).ok_or(Rejected::Unknown)?;
        if entry.expires_at.is_some_and(|end| end <= now) {
            return Err(Rejected::Expired);
        }
        if !entry.networks.is_empty() && !entry.networks.iter().any(|net| net.contains(from)) {
            return Err(Rejected::Address);
        }
        Ok(entry)
    }
}

/// Why a credential is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// There was none.
    #[error("no API key: send `Authorization: Bearer <key>`")]
    Missing,
    /// It is no key of ours, or a revoked one.
    #[error("the API key is not known here; it may have been revoked")]
    Unknown,
    /// It was good once.
    #[error("the API key has expired")]
    Expired,
    /// It may not come from this address.
    #[error("the API key may not be used from this address")]
    Address,
}

impl Rejected {
    /// The code that the client sees.
    pub const fn code(self) -> Code {
        match self {
            Self::Missing | Self::Unknown | Self::Expired => Code::Unauthenticated,
            Self::Address => Code::Forbidden,
        }
    }
}

/// Who pays for a call, and what it may do. Made by identification only.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Who pays.
    pub user: Arc<str>,
    /// The key that was used.
    pub key: Arc<KeyEntry>,
    /// The caller's address.
    pub ip: IpAddr,
    /// Whether it showed no credential and is known by its address alone.
    pub guest: bool,
}

/// Name of the key that callers without credentials stand behind.
pub const GUEST: &str = "guest";
/// Name of the key that callers with a token (JWT) stand behind.
pub const JWT: &str = "jwt";
/// What the users that guests are begin with; no token may speak for one.
pub const GUEST_USER: &str = "guest:";

impl Principal {
    /// Whether it called without credentials.
    pub const fn is_guest(&self) -> bool {
        self.guest
    }

    /// Whether the key may use this model, by its public name.
    pub fn may_use_model(&self, model: &str) -> bool {
        let models = &self.key.models;
        models.is_empty() || models.iter().any(|pattern| matches_name(pattern, model))
    }

    /// Whether the key may use this provider.
    pub fn may_use_provider(&self, provider: &str) -> bool {
        let providers = &self.key.providers;
        providers.is_empty() || providers.iter().any(|name| &**name == provider)
    }
}

/// Whether a name is meant by a pattern: equal, or alike up to a `*` at its end.
pub fn matches_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> KeyEntry {
        KeyEntry {
            name: name.into(),
            role: Role::User,
            user: name.into(),
            team: None,
            plan: None,
            expires_at: None,
            models: Vec::new(),
            providers: Vec::new(),
            networks: Vec::new(),
            on_disconnect: None,
            cache: None,
            own: None,
        }
    }

    #[test]
    fn new_keys_differ_and_carry_255_bits() {
        let (one, two) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with(KEY_PREFIX));
        assert_eq!(one.len(), KEY_PREFIX.len() + 51);
    }

    #[test]
    fn a_key_is_found_by_digest_and_refused_when_expired_or_from_elsewhere() {
        let hasher = KeyHasher::new(b"pepper");
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let here: IpAddr = "10.1.2.3".parse().unwrap();
        let ring = KeyRing::new([
            (hasher.digest(b"tg_good"), entry("good")),
            (hasher.digest(b"tg_old"), KeyEntry { expires_at: Some(now), ..entry("old") }),
            (
                hasher.digest(b"tg_home"),
                KeyEntry { networks: vec!["192.168.0.0/16".parse().unwrap()], ..entry("home") },
            ),
        ]);
        let find =
            |key: &str| ring.find(&hasher, key.as_bytes(), here, now).map(|e| Arc::clone(&e.name));
        assert_eq!(&*find("tg_good").unwrap(), "good");
        assert_eq!(find("tg_goo").unwrap_err(), Rejected::Unknown);
        assert_eq!(find("tg_old").unwrap_err(), Rejected::Expired);
        assert_eq!(find("tg_home").unwrap_err(), Rejected::Address);
        assert_eq!(find(&"x".repeat(10_000)).unwrap_err(), Rejected::Unknown);
        let other = KeyHasher::new(b"another pepper");
        assert!(ring.find(&other, b"tg_good", here, now).is_err());
    }

    #[test]
    fn a_star_at_the_end_of_a_name_matches_a_prefix() {
        assert!(matches_name("gpt-4o*", "gpt-4o-mini"));
        assert!(matches_name("gpt-4o", "gpt-4o"));
        assert!(!matches_name("gpt-4o", "gpt-4o-mini"));
        assert!(matches_name("*", "anything"));
    }
}
