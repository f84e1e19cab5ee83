//! Who may use the API: holders of the admin key or of a key with the role `admin`.
//!
//! An operation takes an [`Admin`] as its first argument, so that nobody learns anything, not even
//! whether a request was well formed, without a credential. The credential goes in a header that
//! no foreign page can make a browser send.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use tollgate_admission::control::Actor;

use super::Api;
use super::problem::Problem;

/// Why a credential does not open the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is not known here.
    Unknown,
    /// It is good, but its holder is no admin.
    NotAdmin,
}

type Check = dyn Fn(&[u8], IpAddr) -> Result<Actor, Denied> + Send + Sync;

/// Finds out who holds a credential.
#[derive(Clone)]
pub struct Authenticate(Arc<Check>);

impl fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticate(..)")
    }
}

impl Authenticate {
    /// By this check of a credential that came from an address. It must take as long for a
    /// credential that is nearly right as for any other.
    pub fn new(
        check: impl Fn(&[u8], IpAddr) -> Result<Actor, Denied> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(check))
    }
}

/// An admin who asks.
pub(super) struct Admin(pub(super) Actor);

impl FromRequestParts<Api> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes);
        let credential = header
            .and_then(bearer)
            .ok_or_else(|| Problem::unauthenticated("send `Authorization: Bearer <admin key>`"))?;
        let from = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
        match (api.authenticate.0)(credential, from) {
            Ok(actor) => Ok(Self(actor)),
            Err(Denied::Unknown) => Err(Problem::unauthenticated("the key is not known here")),
            Err(Denied::NotAdmin) => {
                Err(Problem::forbidden("this needs the admin key, or a key of role `admin`"))
            }
        }
    }
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_credentials_are_taken() {
        for (header, credential) in [
            ("Bearer tg_a", Some("tg_a")),
            ("bearer  tg_a ", Some("tg_a")),
            ("Bearer ", None),
            ("Basic YTpi", None),
            ("tg_a", None),
            ("", None),
        ] {
            assert_eq!(bearer(header.as_bytes()), credential.map(str::as_bytes), "{header}");
        }
    }
}
