//! Calls: `/calls`, `/calls/{id}`, what was said in one, and why it was allowed or refused.

use axum::extract::State;
use tollgate_admission::control::{Bodies, Call, CallQuery, Explanation, Page};
use tollgate_domain::id::CallId;

use super::access::Admin;
use super::body::{Asked, Named};
use super::problem::{Problem, Refusals};
use super::{Answer, Api};

/// Calls, newest first
#[utoipa::path(
    get, path = "/calls", tag = "calls", operation_id = "list_calls",
    params(CallQuery),
    responses((status = 200, description = "A page", body = Page<Call>), Refusals)
)]
pub(super) async fn list(
    _: Admin,
    State(api): State<Api>,
    Asked(query): Asked<CallQuery>,
) -> Answer<Page<Call>> {
    api.answer(move |control| control.calls(&query)).await
}

/// One call
#[utoipa::path(
    get, path = "/calls/{id}", tag = "calls", operation_id = "show_call",
    params(("id" = String, Path, description = "The call id")),
    responses((status = 200, description = "The call", body = Call), Refusals)
)]
pub(super) async fn show(
    _: Admin,
    State(api): State<Api>,
    Named(id): Named<String>,
) -> Answer<Call> {
    let id = call_id(&id)?;
    api.answer(move |control| control.call(id)).await
}

/// The prompt and the answer of a call, where they are kept (`[logs] bodies`)
///
/// Who reads them stands in the audit (`call.read_bodies`), before they are shown.
#[utoipa::path(
    get, path = "/calls/{id}/bodies", tag = "calls", operation_id = "show_bodies",
    params(("id" = String, Path, description = "The call id")),
    responses((status = 200, description = "The bodies", body = Bodies), Refusals)
)]
pub(super) async fn bodies(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(id): Named<String>,
) -> Answer<Bodies> {
    let id = call_id(&id)?;
    api.answer(move |control| control.bodies(&by, id)).await
}

/// Why a call was allowed or refused, and how its price comes about
#[utoipa::path(
    get, path = "/calls/{id}/explain", tag = "calls", operation_id = "explain_call",
    params(("id" = String, Path, description = "The call id")),
    responses((status = 200, description = "The explanation", body = Explanation), Refusals)
)]
pub(super) async fn explain(
    _: Admin,
    State(api): State<Api>,
    Named(id): Named<String>,
) -> Answer<Explanation> {
    let id = call_id(&id)?;
    api.answer(move |control| control.explain(id)).await
}

fn call_id(text: &str) -> Result<CallId, Problem> {
    text.parse().map_err(|_| Problem::invalid(format!("`{text}` is no call id: expected a UUID")))
}
