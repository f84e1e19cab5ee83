//! Tokens (JWT, RFC 7519) as credentials: what a token must be, and who it says that calls.
//!
//! Which algorithm holds is said by the configuration and never by the token, so a token cannot
//! talk its way to a weaker one (`none`, a public key taken for a shared secret). Signatures are
//! verified by `jsonwebtoken`; times are judged here, because the time is an argument. Keys come
//! from outside ([`TokenVerifier::set_keys`]): nothing here reads a file or the network.

mod cache;
mod claims;
mod keys;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use parking_lot::RwLock;
use tollgate_domain::fault::Code;

use cache::{Cache, Kept, digest};
use claims::{ClaimSet, JoseHeader};
pub use keys::{BadKeys, KeySet};

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;
/// Seconds by which the clocks of issuer and gateway may differ.
const LEEWAY: i64 = 60;
/// Longest name of a user, in bytes.
const MAX_USER: usize = 128;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256, a shared secret.
    Hs256,
    /// RSA (PKCS#1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The name in the header of a token (RFC 7518 §3.1, RFC 8037 §3.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    const fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// What a token must be, beyond its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// The only algorithm.
    pub algorithm: Algorithm,
    /// The claim with the user.
    pub user_claim: Arc<str>,
    /// The claim with the plan; a token may lack it.
    pub plan_claim: Arc<str>,
    /// What `iss` must be.
    pub issuer: Option<Arc<str>>,
    /// What `aud` must be or hold.
    pub audience: Option<Arc<str>>,
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user.
    pub user: Arc<str>,
    /// The plan, where it names one.
    pub plan: Option<Arc<str>>,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRejected {
    /// It is longer than any sane token.
    #[error("the token is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// It is not three parts of base64url with JSON in the first two.
    #[error("the token is not a well-formed JWT")]
    Malformed,
    /// It is signed in another way than the configuration says.
    #[error("the token is not signed with the algorithm that is configured here")]
    Algorithm,
    /// It asks for an extension that must be understood (`crit`, RFC 7515 §4.1.11).
    #[error("the token's header has `crit`, which is not understood here")]
    Critical,
    /// No key proves it; the keys may have been rotated.
    #[error("the token names a key (`kid`) that is not known here")]
    UnknownKey,
    /// No keys have been fetched yet.
    #[error("the keys that prove tokens have not been fetched yet; try again in a moment")]
    NoKeys,
    /// The signature does not fit.
    #[error("the token's signature is not valid")]
    Signature,
    /// A claim that is needed is missing or of another form.
    #[error("the token's claim `{0}` is missing or not of the form that is needed")]
    Claim(&'static str),
    /// The claim with the user is missing or no name.
    #[error("the token's user claim must be text of 1 to {MAX_USER} bytes without controls")]
    User,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It is not good yet.
    #[error("the token is not valid yet")]
    NotYet,
    /// Somebody else issued it.
    #[error("the token's issuer (`iss`) is not the one that is configured here")]
    Issuer,
    /// It was issued for somebody else.
    #[error("the token's audience (`aud`) is not the one that is configured here")]
    Audience,
}

impl TokenRejected {
    /// The code that the client sees.
    pub const fn code(self) -> Code {
        match self {
            Self::NoKeys => Code::Degraded,
            _ => Code::Unauthenticated,
        }
    }
}

/// Whether a credential has the form of a token: three parts, the first a JSON object. Keys of
/// [`crate::identity`] never have it.
pub fn looks_like_token(credential: &[u8]) -> bool {
    credential.starts_with(b"eyJ") && credential.split(|byte| *byte == b'.').count() == 3
}

/// Verifies tokens. Remembers those that proved good, so that a token that is sent with every call
/// costs one digest instead of one signature.
#[derive(Debug)]
pub struct TokenVerifier {
    rules: TokenRules,
    keys: RwLock<Option<Arc<KeySet>>>,
    good: Cache,
    wanted: AtomicBool,
}

impl TokenVerifier {
    /// A verifier; without keys it refuses every token until [`TokenVerifier::set_keys`].
    pub fn new(rules: TokenRules, keys: Option<KeySet>) -> Self {
        Self {
            rules,
            keys: RwLock::new(keys.map(Arc::new)),
            good: Cache::default(),
            wanted: AtomicBool::new(false),
        }
    }

    /// What tokens must be.
    pub const fn rules(&self) -> &TokenRules {
        &self.rules
    }

    /// Puts other keys in force. What was proven by keys that are no longer there is forgotten.
    /// Returns whether anything changed.
    pub fn set_keys(&self, keys: KeySet) -> bool {
        let mut now = self.keys.write();
        if now.as_ref().is_some_and(|now| now.mark() == keys.mark()) {
            return false;
        }
        *now = Some(Arc::new(keys));
        true
    }

    /// Whether a token named an unknown key since this was asked last.
    pub fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::AcqRel)
    }

    /// Who calls with this token at this time.
    pub fn verify(&self, token: &[u8], now: Timestamp) -> Result<Claims, TokenRejected> {
        if token.len() > MAX_TOKEN {
            return Err(TokenRejected::TooLong);
        }
        let keys = self.keys.read().as_ref().map(Arc::clone);
        let Some(keys) = keys else {
            self.wanted.store(true, Ordering::Release);
            return Err(TokenRejected::NoKeys);
        };
        let (digest, now) = (digest(token), now.as_second());
        if let Some(kept) = self.good.get(&digest, keys.mark()) {
            return if now < kept.until { Ok(kept.claims) } else { Err(TokenRejected::Expired) };
        }
        let (claims, until) = self.prove(token, &keys, now)?;
        let kept = Kept { claims: claims.clone(), until, proof: *keys.mark() };
        self.good.put(digest, kept);
        Ok(claims)
    }

    /// The claims of a token, and the second from which they no longer hold.
    fn prove(&self, token: &[u8], keys: &KeySet, now: i64) -> Result<(Claims, i64), TokenRejected> {
        let token = std::str::from_utf8(token).map_err(|_| TokenRejected::Malformed)?;
        let (message, signature) = token.rsplit_once('.').ok_or(TokenRejected::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenRejected::Malformed)?;
        let header = JoseHeader::read(&decode(header)?).ok_or(TokenRejected::Malformed)?;
        if header.alg != self.rules.algorithm.as_str() {
            return Err(TokenRejected::Algorithm);
        }
        if header.crit.is_some() {
            return Err(TokenRejected::Critical);
        }
        let mut candidates = keys.candidates(header.kid.as_deref()).peekable();
        if candidates.peek().is_none() {
            self.wanted.store(true, Ordering::Release);
            return Err(TokenRejected::UnknownKey);
        }
        let algorithm = self.rules.algorithm.of_library();
        let good = |key| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, algorithm)
                .unwrap_or(false)
        };
        if !candidates.any(good) {
            return Err(TokenRejected::Signature);
        }
        // Nothing of the payload is looked at before it is proven.
        let claims = ClaimSet::read(&decode(payload)?).ok_or(TokenRejected::Malformed)?;
        claims.judge(&self.rules, now)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenRejected> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRejected::Malformed)
}

#[cfg(test)]
mod tests;
