//! Users: `/users` and `/users/{name}`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tollgate_admission::control::{NewUser, Page, User, UserPatch, UserQuery};

use super::access::Admin;
use super::body::{Asked, Body, Named};
use super::problem::{Problem, Refusals};
use super::{Answer, Api};

/// Users by name: those that are registered, have called, or have a key
#[utoipa::path(
    get, path = "/users", tag = "users", operation_id = "list_users",
    params(UserQuery),
    responses((status = 200, description = "A page", body = Page<User>), Refusals)
)]
pub(super) async fn list(
    _: Admin,
    State(api): State<Api>,
    Asked(query): Asked<UserQuery>,
) -> Answer<Page<User>> {
    api.answer(move |control| control.users(&query)).await
}

/// Register a user
#[utoipa::path(
    post, path = "/users", tag = "users", operation_id = "create_user",
    request_body = NewUser,
    responses((status = 201, description = "The user", body = User), Refusals)
)]
pub(super) async fn create(
    Admin(by): Admin,
    State(api): State<Api>,
    Body(user): Body<NewUser>,
) -> Result<(StatusCode, Json<User>), Problem> {
    let user = api.answer(move |control| control.create_user(&by, user)).await?;
    Ok((StatusCode::CREATED, user))
}

/// One user, with how every limit stands
#[utoipa::path(
    get, path = "/users/{name}", tag = "users", operation_id = "show_user",
    params(("name" = String, Path, description = "The user")),
    responses((status = 200, description = "The user", body = User), Refusals)
)]
pub(super) async fn show(
    _: Admin,
    State(api): State<Api>,
    Named(name): Named<String>,
) -> Answer<User> {
    api.answer(move |control| control.user(&name)).await
}

/// Change plan, team, block or quota of a user
#[utoipa::path(
    patch, path = "/users/{name}", tag = "users", operation_id = "change_user",
    params(("name" = String, Path, description = "The user")),
    request_body = UserPatch,
    responses((status = 200, description = "The user since", body = User), Refusals)
)]
pub(super) async fn change(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(name): Named<String>,
    Body(patch): Body<UserPatch>,
) -> Answer<User> {
    api.answer(move |control| control.change_user(&by, &name, patch)).await
}

/// Forget what is decided about a user; the ledger and payments stay
#[utoipa::path(
    delete, path = "/users/{name}", tag = "users", operation_id = "delete_user",
    params(("name" = String, Path, description = "The user")),
    responses((status = 204, description = "Forgotten"), Refusals)
)]
pub(super) async fn delete(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(name): Named<String>,
) -> Result<StatusCode, Problem> {
    api.ask(move |control| control.delete_user(&by, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
