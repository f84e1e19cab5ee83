//! What stands at which path: calls, and the few doors that lead to no provider.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use tollgate_domain::fault::Code;
use tollgate_wire::openai::{Endpoint, ModelEntry, Route, model_body, models_list};

use crate::accept::{Arrival, REQUEST_ID};
use crate::api::Api;
use crate::captcha::vouch;
use crate::identify::identify;
use crate::plane::Plane;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::streaming::RelayBody;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A call to a model.
    Call(Endpoint),
    /// The callers' own API.
    Api(Api),
    /// Something that no provider is asked for.
    Side(Door<'a>),
}

/// A path that leads to no provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door<'a> {
    /// `/health`: the program runs, and since when.
    Health,
    /// `/livez`: the program runs.
    Live,
    /// `/readyz`: calls would be served.
    Ready,
    /// `/v1/models`
    Models,
    /// `/v1/models/{id}`
    Model(&'a str),
}

/// Finds what stands at a path, for this method.
pub fn find<'a>(method: &Method, path: &'a str) -> Result<Place<'a>, Stop> {
    let place = match path {
        "/health" => Place::Side(Door::Health),
        "/livez" => Place::Side(Door::Live),
        "/readyz" => Place::Side(Door::Ready),
        _ => match Route::from_path(path) {
            Some(Route::Call(endpoint)) => Place::Call(endpoint),
            Some(Route::Models) => Place::Side(Door::Models),
            Some(Route::Model(id)) => Place::Side(Door::Model(id)),
            Some(Route::Response(_) | Route::CancelResponse(_) | Route::ResponseItems(_)) => {
                return Err(Stop::new(
                    Code::NotFound,
                    "stored responses are not served here: send `background: false` and keep the \
                     answer yourself",
                ));
            }
            None => Place::Api(Api::of(path).ok_or_else(|| no_such_path(path))?),
        },
    };
    let takes = match place {
        Place::Call(_) => *method == Method::POST,
        Place::Api(api) => *method == api.method(),
        Place::Side(_) => *method == Method::GET || *method == Method::HEAD,
    };
    if takes { Ok(place) } else { Err(wrong_method(&place)) }
}

fn no_such_path(path: &str) -> Stop {
    let shown: String = path.chars().take(100).collect();
    Stop::new(
        Code::NotFound,
        format!("there is nothing at `{shown}`; calls go to /v1/chat/completions and its kin"),
    )
}

fn wrong_method(place: &Place<'_>) -> Stop {
    let method = match place {
        Place::Call(_) => Method::POST,
        Place::Api(api) => api.method(),
        Place::Side(_) => Method::GET,
    };
    Stop::new(Code::MethodNotAllowed, format!("this path takes {method} only"))
}

/// Answers what no provider is asked for.
pub async fn side_door(
    plane: &Plane,
    snapshot: &Snapshot,
    arrival: &Arrival,
    door: Door<'_>,
    (headers, uri): (&HeaderMap, &Uri),
) -> Result<Response<RelayBody>, Stop> {
    if matches!(door, Door::Models | Door::Model(_)) {
        let (principal, _) = identify(snapshot, arrival, headers, uri)?;
        vouch(snapshot, arrival, principal, headers).await?;
    }
    let body = match door {
        Door::Live => Bytes::from_static(b"{\"status\":\"ok\"}"),
        Door::Health => {
            let uptime = plane.clock.monotonic().saturating_sub(plane.started).as_secs();
            Bytes::from(format!("{{\"status\":\"ok\",\"uptime\":{uptime}}}"))
        }
        Door::Ready => return Ok(readiness(plane)),
        Door::Models => {
            let names = snapshot.public_models();
            models_list(names.iter().map(|(id, owner)| entry(plane, id, owner)))
        }
        Door::Model(id) => {
            let route = snapshot.route(id).ok_or_else(|| {
                Stop::new(Code::UnknownModel, format!("no configured provider serves `{id}`"))
            })?;
            let owner = route.targets.first().map_or("", |target| &*target.provider.name);
            model_body(&entry(plane, id, owner))
        }
    };
    let mut response = json(body);
    if let Ok(id) = HeaderValue::from_str(&arrival.request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(response)
}

/// Whether calls would be served: the program is not ending and the ledger takes rows.
fn readiness(plane: &Plane) -> Response<RelayBody> {
    let why = plane.not_ready();
    let body = match &why {
        None => Bytes::from_static(b"{\"status\":\"ready\"}"),
        Some(why) => {
            Bytes::from(serde_json::json!({ "status": "not_ready", "reason": why }).to_string())
        }
    };
    let mut response = json(body);
    if why.is_some() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

fn entry<'a>(plane: &Plane, id: &'a str, owned_by: &'a str) -> ModelEntry<'a> {
    let created = u64::try_from(plane.started_at.as_second()).unwrap_or_default();
    ModelEntry { id, owned_by, created }
}

fn json(body: Bytes) -> Response<RelayBody> {
    let mut response = Response::new(RelayBody::whole(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The names of endpoints as shared text, so that a row needs no copy.
#[derive(Debug)]
pub struct EndpointNames([Arc<str>; Endpoint::ALL.len()]);

impl Default for EndpointNames {
    fn default() -> Self {
        Self(Endpoint::ALL.map(|endpoint| Arc::from(endpoint.path())))
    }
}

impl EndpointNames {
    /// The name of an endpoint.
    pub fn of(&self, endpoint: Endpoint) -> Arc<str> {
        let place = Endpoint::ALL.iter().position(|each| *each == endpoint);
        place
            .and_then(|place| self.0.get(place))
            .map_or_else(|| Arc::from(endpoint.path()), Arc::clone)
    }
}
