//! The admin REST API, `/admin/api/v1`: one file per resource, each operation a few lines that ask
//! the [`Control`] port. What every operation shares is here and in `access`, `body` and `problem`:
//! who may, what a request may hold, how a refusal looks.
//!
//! The document of the API (`OpenAPI` 3.1) is made of the operations themselves; an operation cannot
//! be routed without being in it, and a test asks each operation in it with every kind of
//! credential.

mod access;
mod alerts;
mod audit;
mod body;
mod calls;
mod document;
mod estimate;
mod jobs;
mod keys;
mod kill_switch;
mod overrides;
mod plans;
mod problem;
mod providers;
mod status;
mod storms;
mod usage;
mod users;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use tokio::sync::Semaphore;
use tollgate_admission::control::{Control, ControlError};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use access::{Authenticate, Denied};
pub use document::openapi;
use problem::Problem;

/// Where the API stands.
pub const ROOT: &str = "/admin/api/v1";
/// Largest body of a request, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// Most questions to the control port at a time; others wait.
const AT_ONCE: usize = 8;

/// What the operations share.
#[derive(Clone, Debug)]
pub struct Api {
    control: Arc<dyn Control>,
    authenticate: Authenticate,
    turns: Arc<Semaphore>,
}

/// The answer of an operation.
type Answer<T> = Result<Json<T>, Problem>;

impl Api {
    /// An API over this port, for those whom `authenticate` lets in.
    pub fn new(control: Arc<dyn Control>, authenticate: Authenticate) -> Self {
        Self { control, authenticate, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Asks the port, which may wait for the disk, away from the threads that serve connections.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Control) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = self.turns.acquire().await.map_err(|_| Problem::failed())?;
        let control = Arc::clone(&self.control);
        let answer = tokio::task::spawn_blocking(move || question(&*control)).await;
        answer.map_err(|_| Problem::failed())?.map_err(Problem::from)
    }

    /// Asks the port; the answer becomes a document.
    async fn answer<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Control) -> Result<T, ControlError> + Send + 'static,
    ) -> Answer<T> {
        self.ask(question).await.map(Json)
    }
}

/// The routes of the API, its document among them.
pub fn router(api: Api) -> Router {
    let (routes, document) = operations().split_for_parts();
    let text: Arc<str> = document.to_json().unwrap_or_default().into();
    let show =
        move || async move { ([(CONTENT_TYPE_JSON.0, CONTENT_TYPE_JSON.1)], text.to_string()) };
    routes
        .route(&format!("{ROOT}/openapi.json"), get(show))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::map_response(harden))
        .with_state(api)
}

const CONTENT_TYPE_JSON: (axum::http::HeaderName, &str) =
    (axum::http::header::CONTENT_TYPE, "application/json");

/// Every operation, with its part of the document.
fn operations() -> OpenApiRouter<Api> {
    let routes = OpenApiRouter::new()
        .routes(routes!(status::show))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::show, users::change, users::delete))
        .routes(routes!(overrides::set))
        .routes(routes!(overrides::remove))
        .routes(routes!(overrides::top_up))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::change, keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(plans::plans))
        .routes(routes!(plans::limits))
        .routes(routes!(providers::list))
        .routes(routes!(calls::list))
        .routes(routes!(calls::show))
        .routes(routes!(calls::bodies))
        .routes(routes!(calls::explain))
        .routes(routes!(usage::report))
        .routes(routes!(estimate::estimate))
        .routes(routes!(kill_switch::show, kill_switch::change))
        .routes(routes!(storms::list))
        .routes(routes!(storms::lift))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::history))
        .routes(routes!(alerts::rules))
        .routes(routes!(alerts::silences, alerts::silence))
        .routes(routes!(alerts::unsilence))
        .routes(routes!(alerts::test))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::run))
        .routes(routes!(audit::list));
    OpenApiRouter::with_openapi(document::head()).nest(ROOT, routes)
}

/// What is shown here is for nobody else's cache, and is what it says it is.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn no_such_path(uri: Uri) -> Response {
    Problem::not_found(format!("there is no `{}` here", uri.path())).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    Problem::wrong_method(&format!("`{}` does not take {method}", uri.path())).into_response()
}

#[cfg(test)]
mod tests;
