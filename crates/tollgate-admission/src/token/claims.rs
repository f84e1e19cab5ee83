//! What stands in a token: its header, and its claims, judged against rules and time.
//!
//! A name that is said twice makes a token ambiguous (two readers may take different ones), so it
//! is refused; so is a claim of another form than RFC 7519 gives it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::{Claims, LEEWAY, MAX_USER, TokenRejected, TokenRules};
use crate::identity::GUEST_USER;

/// The header of a token (RFC 7515 §4.1). Keys that it brings along (`jwk`, `jku`, `x5c`) are not
/// looked at: they would be the forger's.
#[derive(Debug, Deserialize)]
pub(super) struct JoseHeader {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    pub(super) crit: Option<IgnoredAny>,
}

impl JoseHeader {
    /// Reads a header; `None` where it is none, or says something twice.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

/// The claims of a token, each said once.
#[derive(Debug)]
pub(super) struct ClaimSet(BTreeMap<String, Value>);

impl ClaimSet {
    /// Reads claims; `None` where they are no object, or a claim is said twice.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Who calls, and the second from which the claims no longer hold.
    pub(super) fn judge(
        &self,
        rules: &TokenRules,
        now: i64,
    ) -> Result<(Claims, i64), TokenRejected> {
        let until = self.time("exp")?.ok_or(TokenRejected::Claim("exp"))?.saturating_add(LEEWAY);
        if now >= until {
            return Err(TokenRejected::Expired);
        }
        for start in ["nbf", "iat"] {
            if self.time(start)?.is_some_and(|start| start > now.saturating_add(LEEWAY)) {
                return Err(TokenRejected::NotYet);
            }
        }
        if let Some(issuer) = &rules.issuer
            && self.0.get("iss").and_then(Value::as_str) != Some(&**issuer)
        {
            return Err(TokenRejected::Issuer);
        }
        if rules.audience.as_deref().is_some_and(|audience| !self.is_for(audience)) {
            return Err(TokenRejected::Audience);
        }
        let user = self.user(&rules.user_claim).ok_or(TokenRejected::User)?;
        let plan = match self.0.get(&*rules.plan_claim) {
            None | Some(Value::Null) => None,
            Some(Value::String(plan)) => Some(Arc::from(plan.as_str())),
            Some(_) => return Err(TokenRejected::Claim("plan")),
        };
        Ok((Claims { user, plan }, until))
    }

    /// A time in whole seconds (RFC 7519 §2, `NumericDate`: fractions are allowed).
    fn time(&self, name: &'static str) -> Result<Option<i64>, TokenRejected> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let text = number.to_string();
                let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
                // A number with an exponent is no time of this world.
                let sane = !text.contains(['e', 'E']);
                let time = whole.parse().ok().filter(|_| sane);
                time.map(Some).ok_or(TokenRejected::Claim(name))
            }
            Some(_) => Err(TokenRejected::Claim(name)),
        }
    }

    /// Whether `aud` is this audience, or a list that holds it.
    fn is_for(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(audience)),
            _ => false,
        }
    }

    /// The user, where the claim holds a name.
    fn user(&self, claim: &str) -> Option<Arc<str>> {
        let user = self.0.get(claim)?.as_str()?;
        let sane = (1..=MAX_USER).contains(&user.len())
            && user.trim() == user
            && !user.chars().any(char::is_control)
            && !user.starts_with(GUEST_USER);
        sane.then(|| Arc::from(user))
    }
}

impl<'de> Deserialize<'de> for ClaimSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnceEach)
    }
}

/// Reads an object whose names are each said once.
struct OnceEach;

impl<'de> Visitor<'de> for OnceEach {
    type Value = ClaimSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<ClaimSet, M::Error> {
        let mut claims = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if claims.insert(name, value).is_some() {
                return Err(M::Error::custom("a claim is said twice"));
            }
        }
        Ok(ClaimSet(claims))
    }
}
