//! The callers' own API: what is left of their limits, what they spent, amounts set aside for what
//! is not a call (SPEC §6.6), and usage that happened elsewhere.
//!
//! It leads to no provider, so nothing here is admitted. Who may see or change what is decided here:
//! a key of role `user` speaks for its own user only, one of role `service` or `admin` for any.

mod billing;
mod fields;
mod quota;
mod reservations;
mod usage_events;

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use tollgate_admission::identity::Principal;
use tollgate_domain::fault::Code;
use tollgate_domain::id::CallId;

use crate::accept::{Arrival, REQUEST_ID};
use crate::captcha::vouch;
use crate::identify::identify;
use crate::journey::Connection;
use crate::plane::Plane;
use crate::read::collect;
use crate::record::Known;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::streaming::RelayBody;

/// What stands at a path under `/api/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/api/quota`
    Quota,
    /// `/api/billing`
    Billing,
    /// `/api/reservations`
    Reservations,
    /// `/api/reservations/{id}/commit`
    Commit(CallId),
    /// `/api/reservations/{id}`
    Reservation(CallId),
    /// `/api/usage`
    Usage,
}

impl Api {
    /// What stands at this path.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/api/quota" => Some(Self::Quota),
            "/api/billing" => Some(Self::Billing),
            "/api/reservations" => Some(Self::Reservations),
            "/api/usage" => Some(Self::Usage),
            _ => {
                let rest = path.strip_prefix("/api/reservations/")?;
                match rest.split_once('/') {
                    None => rest.parse().ok().map(Self::Reservation),
                    Some((id, "commit")) => id.parse().ok().map(Self::Commit),
                    Some(_) => None,
                }
            }
        }
    }

    /// The one method that it takes.
    pub const fn method(self) -> Method {
        match self {
            Self::Quota | Self::Billing => Method::GET,
            Self::Reservations | Self::Commit(_) | Self::Usage => Method::POST,
            Self::Reservation(_) => Method::DELETE,
        }
    }

    /// Its path, for rows and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quota => "/api/quota",
            Self::Billing => "/api/billing",
            Self::Reservations | Self::Commit(_) | Self::Reservation(_) => "/api/reservations",
            Self::Usage => "/api/usage",
        }
    }
}

/// Where a request of this API came from.
#[derive(Debug)]
pub struct Visit<'a> {
    /// What all calls share.
    pub plane: &'a Arc<Plane>,
    /// The configuration in force.
    pub snapshot: Arc<Snapshot>,
    /// When and where it arrived.
    pub arrival: &'a Arrival,
    /// The connection it came by.
    pub from: &'a Connection,
}

/// A request that was read, and who sent it.
struct Asked<'a> {
    plane: &'a Arc<Plane>,
    snapshot: Arc<Snapshot>,
    arrival: &'a Arrival,
    principal: Principal,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// A status and a JSON document; no document with 204.
type Answer = (StatusCode, Bytes);

impl Visit<'_> {
    /// Serves a request.
    pub async fn serve(
        self,
        api: Api,
        request: Request<Incoming>,
        known: &mut Known,
    ) -> Result<Response<RelayBody>, Stop> {
        let Self { plane, snapshot, arrival, from } = self;
        known.endpoint = Arc::from(api.name());
        let (head, body) = request.into_parts();
        let (principal, _) = identify(&snapshot, arrival, &head.headers, &head.uri)?;
        let principal = vouch(&snapshot, arrival, principal, &head.headers).await?;
        known.caller(&principal);
        let body = if head.method == Method::GET || head.method == Method::HEAD {
            Bytes::new()
        } else {
            collect(&snapshot.settings, &head.headers, body).await?
        };
        from.watch.expect_head();
        let (uri, headers) = (head.uri, head.headers);
        let asked = Asked { plane, snapshot, arrival, principal, uri, headers, body };
        let (status, document) = match api {
            Api::Quota => quota::quota(&asked)?,
            Api::Billing => billing::billing(&asked).await?,
            Api::Reservations => reservations::reserve(&asked).await?,
            Api::Commit(id) => reservations::commit(&asked, id).await?,
            Api::Reservation(id) => reservations::release(&asked, id).await?,
            Api::Usage => usage_events::take(&asked).await?,
        };
        Ok(response(arrival, status, document))
    }
}

impl Asked<'_> {
    /// The caller, speaking for `user` where one is named and it may.
    fn speaking_for(&self, user: Option<&str>) -> Result<Principal, Stop> {
        let mut principal = self.principal.clone();
        if let Some(user) = user
            && *user != *principal.user
        {
            if !principal.key.role.acts_for_others() {
                let message = "this key speaks for its own user only: another one needs a key of \
                               role `service`";
                return Err(Stop::new(Code::Forbidden, message));
            }
            principal.user = fields::name("user", user)?;
        }
        Ok(principal)
    }
}

fn response(arrival: &Arrival, status: StatusCode, document: Bytes) -> Response<RelayBody> {
    let bare = document.is_empty();
    let mut response = Response::new(RelayBody::whole(document));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !bare {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Ok(id) = HeaderValue::from_str(&arrival.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// A document with this status.
fn json(status: StatusCode, document: &impl serde::Serialize) -> Result<Answer, Stop> {
    match serde_json::to_vec(document) {
        Ok(bytes) => Ok((status, bytes.into())),
        Err(error) => Err(Stop::new(Code::Internal, format!("the answer failed: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_one_thing_and_takes_one_method() {
        let id = "0190a5c2-7b4e-7c3a-9d55-2f6f1c3b8a01";
        let parsed = id.parse().unwrap();
        for (path, api, method) in [
            ("/api/quota", Some(Api::Quota), Method::GET),
            ("/api/billing", Some(Api::Billing), Method::GET),
            ("/api/usage", Some(Api::Usage), Method::POST),
            ("/api/reservations", Some(Api::Reservations), Method::POST),
            (&format!("/api/reservations/{id}"), Some(Api::Reservation(parsed)), Method::DELETE),
            (&format!("/api/reservations/{id}/commit"), Some(Api::Commit(parsed)), Method::POST),
            (&format!("/api/reservations/{id}/other"), None, Method::POST),
            ("/api/reservations/", None, Method::POST),
            ("/api/reservations/7", None, Method::POST),
            ("/api/other", None, Method::GET),
        ] {
            assert_eq!(Api::of(path), api, "{path}");
            if let Some(api) = api {
                assert_eq!(api.method(), method, "{path}");
            }
        }
    }
}
