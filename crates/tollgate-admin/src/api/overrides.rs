//! What is different for one user: other maxima and payments.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tollgate_admission::control::{NewOverride, TopUp, User};

use super::access::Admin;
use super::body::{Body, Named};
use super::problem::{Problem, Refusals};
use super::{Answer, Api};

/// Give a user another maximum, in the place of an earlier override of the same limit
#[utoipa::path(
    post, path = "/users/{name}/overrides", tag = "users", operation_id = "set_override",
    params(("name" = String, Path, description = "The user")),
    request_body = NewOverride,
    responses((status = 201, description = "The user since", body = User), Refusals)
)]
pub(super) async fn set(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(name): Named<String>,
    Body(new): Body<NewOverride>,
) -> Result<(StatusCode, Json<User>), Problem> {
    let user = api.answer(move |control| control.set_override(&by, &name, new)).await?;
    Ok((StatusCode::CREATED, user))
}

/// Take an override back
#[utoipa::path(
    delete, path = "/users/{name}/overrides/{limit}", tag = "users",
    operation_id = "remove_override",
    params(
        ("name" = String, Path, description = "The user"),
        ("limit" = String, Path, description = "The name of the limit")
    ),
    responses((status = 200, description = "The user since", body = User), Refusals)
)]
pub(super) async fn remove(
    Admin(by): Admin,
    State(api): State<Api>,
    Named((name, limit)): Named<(String, String)>,
) -> Answer<User> {
    api.answer(move |control| control.remove_override(&by, &name, &limit)).await
}

/// Pay in on a prepaid balance
#[utoipa::path(
    post, path = "/users/{name}/top-ups", tag = "users", operation_id = "top_up",
    params(("name" = String, Path, description = "The user")),
    request_body = TopUp,
    responses((status = 201, description = "The user since", body = User), Refusals)
)]
pub(super) async fn top_up(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(name): Named<String>,
    Body(top_up): Body<TopUp>,
) -> Result<(StatusCode, Json<User>), Problem> {
    let user = api.answer(move |control| control.top_up(&by, &name, top_up)).await?;
    Ok((StatusCode::CREATED, user))
}
