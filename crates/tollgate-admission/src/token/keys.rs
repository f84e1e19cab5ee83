//! The keys that prove tokens: a shared secret, one public key, or a published set (RFC 7517).
//!
//! A key is checked when it is taken up: of the configured algorithm, and as long as that asks for.
//! Of a set only such keys are taken; a set without any is refused, so that a mistake of the issuer
//! does not lock everybody out while the old keys still hold.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::Value;

use super::Algorithm;

/// Most keys that are taken of a set.
const MOST_KEYS: usize = 32;
/// Most keys that are tried on one token, where it does not tell them apart.
const MOST_TRIES: usize = 4;
/// Bytes of the shortest RSA modulus that is accepted (2048 bits).
const RSA_BYTES: usize = 256;
/// Bytes of a coordinate on P-256, and of a key of Ed25519.
const COORDINATE: usize = 32;

/// Keys that prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// The shared secret is empty.
    #[error("the shared secret is empty")]
    EmptySecret,
    /// A file that is no public key in PEM form.
    #[error("expected a public key in PEM form (`-----BEGIN PUBLIC KEY-----`)")]
    NotPublicPem,
    /// A key that does not go with the algorithm.
    #[error("the key is not one for {}", .0.as_str())]
    WrongKind(Algorithm),
    /// A document that is no set of keys.
    #[error("the document is no JSON Web Key Set")]
    NotASet,
    /// A set in which no key is for the algorithm.
    #[error("the set holds no key for {}", .0.as_str())]
    NoneFits(Algorithm),
}

/// A key and its id.
struct Entry {
    id: Option<Box<str>>,
    key: DecodingKey,
}

/// The keys that are in force. Immutable: a rotation makes a new one.
pub struct KeySet {
    entries: Vec<Entry>,
    /// Whether a token may name any key: there is one, and it has no id.
    fixed: bool,
    mark: [u8; 32],
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.entries.len())
    }
}

impl KeySet {
    /// A shared secret, for [`Algorithm::Hs256`].
    pub fn secret(secret: &[u8]) -> Result<Self, BadKeys> {
        if secret.is_empty() {
            return Err(BadKeys::EmptySecret);
        }
        Ok(Self::fixed(DecodingKey::from_secret(secret), secret))
    }

    /// One public key in PEM form.
    pub fn pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, BadKeys> {
        // The library would also read certificates and private keys, by guessing.
        let text = std::str::from_utf8(pem).map_err(|_| BadKeys::NotPublicPem)?;
        let public = ["-----BEGIN PUBLIC KEY-----", "-----BEGIN RSA PUBLIC KEY-----"];
        if !public.iter().any(|begin| text.trim_start().starts_with(begin)) {
            return Err(BadKeys::NotPublicPem);
        }
        let key = match algorithm {
            Algorithm::Hs256 => return Err(BadKeys::WrongKind(algorithm)),
            Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem),
            Algorithm::Es256 => DecodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => DecodingKey::from_ed_pem(pem),
        };
        let key = key.ok().filter(|key| is_long_enough(algorithm, key));
        Ok(Self::fixed(key.ok_or(BadKeys::WrongKind(algorithm))?, pem))
    }

    /// A published set of keys (JWKS). Keys of other kinds, for other algorithms and for encryption
    /// are passed over.
    pub fn parse(algorithm: Algorithm, json: &[u8]) -> Result<Self, BadKeys> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(json).map_err(|_| BadKeys::NotASet)?;
        let keys = document.keys.into_iter().filter_map(|key| entry(algorithm, key));
        let entries: Vec<Entry> = keys.take(MOST_KEYS).collect();
        if entries.is_empty() {
            return Err(BadKeys::NoneFits(algorithm));
        }
        Ok(Self { entries, fixed: false, mark: mark(json) })
    }

    fn fixed(key: DecodingKey, of: &[u8]) -> Self {
        Self { entries: vec![Entry { id: None, key }], fixed: true, mark: mark(of) }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none; never so.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What tells two sets apart.
    pub(super) const fn mark(&self) -> &[u8; 32] {
        &self.mark
    }

    /// The keys that may prove a token with this id of a key.
    pub(super) fn candidates<'a>(
        &'a self,
        id: Option<&'a str>,
    ) -> impl Iterator<Item = &'a DecodingKey> {
        let only = self.entries.len() == 1;
        let fits = move |entry: &&Entry| match (id, entry.id.as_deref()) {
            _ if self.fixed => true,
            (Some(id), Some(own)) => id == own,
            (Some(_), None) => true,
            (None, _) => only,
        };
        self.entries.iter().filter(fits).take(MOST_TRIES).map(|entry| &entry.key)
    }
}

fn mark(of: &[u8]) -> [u8; 32] {
    digest(&SHA256, of).as_ref().try_into().unwrap_or_default()
}

/// A key of a set, if it proves tokens of this algorithm.
fn entry(algorithm: Algorithm, key: Value) -> Option<Entry> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    let verifies = common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let wanted = KeyAlgorithm::from(algorithm.of_library());
    let named = common.key_algorithm.is_none_or(|named| named == wanted);
    let kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::Rs256) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::Es256) => {
            key.curve == EllipticCurve::P256
        }
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDsa) => {
            key.curve == EllipticCurve::Ed25519
        }
        _ => false,
    };
    if !(signs && verifies && named && kind) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok().filter(|key| is_long_enough(algorithm, key))?;
    Some(Entry { id: jwk.common.key_id.map(Into::into), key })
}

/// Whether a key has the length that its algorithm asks for.
fn is_long_enough(algorithm: Algorithm, key: &DecodingKey) -> bool {
    let bytes = match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.len(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len(),
    };
    match algorithm {
        Algorithm::Hs256 => bytes > 0,
        Algorithm::Rs256 => bytes >= RSA_BYTES,
        // A point that is not compressed: a mark, then x and y.
        Algorithm::Es256 => bytes == 1 + 2 * COORDINATE,
        Algorithm::EdDsa => bytes == COORDINATE,
    }
}
