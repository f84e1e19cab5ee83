//! What stands at which path: calls, and the few doors that lead to no provider.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use tollgate_domain::call::Dialect;
use tollgate_domain::fault::Code;
use tollgate_wire::endpoint::{Endpoint, Route};
use tollgate_wire::models::{ModelEntry, count_body, model_body, models_list};
use tollgate_wire::passthrough;

use crate::accept::{Arrival, REQUEST_ID};
use crate::api::Api;
use crate::captcha::vouch;
use crate::demand::count_prompt;
use crate::identify::identify;
use crate::plane::Plane;
use crate::read::Asked;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::streaming::RelayBody;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A call to a model, which the path may name.
    Call(Endpoint, Option<Cow<'a, str>>),
    /// A provider's own API, under `/providers/{name}/…`.
    Through,
    /// An answer that a provider keeps, and what may be done with it.
    Kept(&'a str, &'static [Method]),
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
    /// `/v1beta/models`
    GeminiModels,
    /// `/v1beta/models/{id}`
    GeminiModel(&'a str),
}

/// Finds what stands at a path, for this method.
pub fn find<'a>(method: &Method, path: &'a str) -> Result<Place<'a>, Stop> {
    let place = match path {
        "/health" => Place::Side(Door::Health),
        "/livez" => Place::Side(Door::Live),
        "/readyz" => Place::Side(Door::Ready),
        _ => match Route::from_path(path) {
            Some(Route::Call(endpoint, model)) => Place::Call(endpoint, model),
            Some(Route::PassThrough(..)) => Place::Through,
            Some(Route::Models) => Place::Side(Door::Models),
            Some(Route::Model(id)) => Place::Side(Door::Model(id)),
            Some(Route::GeminiModels) => Place::Side(Door::GeminiModels),
            Some(Route::GeminiModel(id)) => Place::Side(Door::GeminiModel(id)),
            Some(Route::Response(id)) => Place::Kept(id, &[Method::GET, Method::DELETE]),
            Some(Route::ResponseItems(id)) => Place::Kept(id, &[Method::GET]),
            Some(Route::CancelResponse(id)) => Place::Kept(id, &[Method::POST]),
            _ => Place::Api(Api::of(path).ok_or_else(|| no_such_path(path))?),
        },
    };
    let takes = match place {
        Place::Through => true,
        Place::Kept(_, methods) => methods.contains(method),
        Place::Call(..) => *method == Method::POST,
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
        Place::Call(..) | Place::Through => Method::POST,
        Place::Kept(_, methods) => methods.first().cloned().unwrap_or(Method::GET),
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
    let created = u64::try_from(plane.started_at.as_second()).unwrap_or_default();
    let created_at = plane.started_at.to_string();
    let principal = match door {
        Door::Live | Door::Health | Door::Ready => None,
        _ => {
            let (principal, _) = identify(snapshot, arrival, headers, uri)?;
            Some(vouch(snapshot, arrival, principal, headers).await?)
        }
    };
    let may_use = |model: &str| principal.as_ref().is_some_and(|it| it.may_use_model(model));
    let body = match door {
        Door::Live => Bytes::from_static(b"{\"status\":\"ok\"}"),
        Door::Health => {
            let uptime = plane.clock.monotonic().saturating_sub(plane.started).as_secs();
            Bytes::from(format!("{{\"status\":\"ok\",\"uptime\":{uptime}}}"))
        }
        Door::Ready => return Ok(readiness(plane)),
        Door::Models | Door::GeminiModels => {
            let names = snapshot.public_models();
            let own = names.iter().filter(|(id, _)| may_use(id));
            let entries = own.map(|(id, owner)| entry((created, &created_at), id, owner));
            models_list(list_dialect(door, headers), entries)
        }
        Door::Model(id) | Door::GeminiModel(id) => {
            let route = snapshot.route(id).filter(|_| may_use(id)).ok_or_else(|| {
                Stop::new(Code::UnknownModel, format!("no configured provider serves `{id}`"))
            })?;
            let owner = route.targets.first().map_or("", |target| &*target.provider.name);
            model_body(list_dialect(door, headers), &entry((created, &created_at), id, owner))
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

/// In whose form models are listed: OpenAI and Anthropic share the path, and only the clients of
/// one of them name a version.
fn list_dialect(door: Door<'_>, headers: &HeaderMap) -> Dialect {
    match door {
        Door::GeminiModels | Door::GeminiModel(_) => Dialect::Gemini,
        _ if headers.contains_key("anthropic-version") => Dialect::Anthropic,
        _ => Dialect::Openai,
    }
}

/// In whose form a client is answered that calls this path.
pub fn dialect_of(path: &str) -> Dialect {
    match Route::from_path(path) {
        Some(Route::Call(endpoint, _)) => endpoint.dialect(),
        Some(Route::PassThrough(_, below)) => passthrough::endpoint(below).0.dialect(),
        _ if path.starts_with("/v1beta/") => Dialect::Gemini,
        _ if path.starts_with("/v1/messages") => Dialect::Anthropic,
        _ => Dialect::Openai,
    }
}

/// Answers a count of tokens for a provider that has no such operation: counted here, free.
pub fn counted(endpoint: Endpoint, asked: &Asked, arrival: &Arrival) -> Response<RelayBody> {
    let tokens = count_prompt(endpoint, &asked.peek, &asked.body);
    let mut response = json(count_body(endpoint, tokens));
    if let Ok(id) = HeaderValue::from_str(&arrival.request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn entry<'a>(
    (created, created_at): (u64, &'a str),
    id: &'a str,
    owned_by: &'a str,
) -> ModelEntry<'a> {
    ModelEntry { id, owned_by, created, created_at }
}

fn json(body: Bytes) -> Response<RelayBody> {
    let mut response = Response::new(RelayBody::whole(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The names of endpoints as shared text, so that a row needs no copy.
#[derive(Debug)]
pub struct EndpointNames(Vec<(Endpoint, Arc<str>)>);

impl Default for EndpointNames {
    fn default() -> Self {
        Self(Endpoint::all().map(|endpoint| (endpoint, Arc::from(endpoint.path()))).collect())
    }
}

impl EndpointNames {
    /// The name of an endpoint.
    pub fn of(&self, endpoint: Endpoint) -> Arc<str> {
        let known = self.0.iter().find(|(each, _)| *each == endpoint);
        known.map_or_else(|| Arc::from(endpoint.path()), |(_, name)| Arc::clone(name))
    }
}
