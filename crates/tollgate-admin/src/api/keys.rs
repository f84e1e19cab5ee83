//! Keys: `/keys` and `/keys/{name}`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tollgate_admission::control::{Key, KeyPatch, KeyQuery, KeyRotation, MadeKey, NewKey, Page};

use super::access::Admin;
use super::body::{Asked, Body, MaybeBody, Named};
use super::problem::{Problem, Refusals};
use super::{Answer, Api};

/// Keys by name, never the keys themselves
#[utoipa::path(
    get, path = "/keys", tag = "keys", operation_id = "list_keys",
    params(KeyQuery),
    responses((status = 200, description = "A page", body = Page<Key>), Refusals)
)]
pub(super) async fn list(
    _: Admin,
    State(api): State<Api>,
    Asked(query): Asked<KeyQuery>,
) -> Answer<Page<Key>> {
    api.answer(move |control| control.keys(&query)).await
}

/// Make a key; it is shown this once
#[utoipa::path(
    post, path = "/keys", tag = "keys", operation_id = "create_key",
    request_body = NewKey,
    responses((status = 201, description = "The key", body = MadeKey), Refusals)
)]
pub(super) async fn create(
    Admin(by): Admin,
    State(api): State<Api>,
    Body(key): Body<NewKey>,
) -> Result<(StatusCode, Json<MadeKey>), Problem> {
    let made = api.answer(move |control| control.create_key(&by, key)).await?;
    Ok((StatusCode::CREATED, made))
}

/// Change a key's own limits
#[utoipa::path(
    patch, path = "/keys/{name}", tag = "keys", operation_id = "change_key",
    params(("name" = String, Path, description = "The key")),
    request_body = KeyPatch,
    responses((status = 200, description = "The key as it is since", body = Key), Refusals)
)]
pub(super) async fn change(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(name): Named<String>,
    Body(patch): Body<KeyPatch>,
) -> Answer<Key> {
    api.answer(move |control| control.change_key(&by, &name, patch)).await
}

/// Make a key useless at once
#[utoipa::path(
    delete, path = "/keys/{name}", tag = "keys", operation_id = "revoke_key",
    params(("name" = String, Path, description = "The key")),
    responses((status = 204, description = "Revoked"), Refusals)
)]
pub(super) async fn revoke(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(name): Named<String>,
) -> Result<StatusCode, Problem> {
    api.ask(move |control| control.revoke_key(&by, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Put a new key in the place of one; the old one stays good for a while
#[utoipa::path(
    post, path = "/keys/{name}/rotate", tag = "keys", operation_id = "rotate_key",
    params(("name" = String, Path, description = "The key")),
    request_body = Option<KeyRotation>,
    responses((status = 201, description = "The new key", body = MadeKey), Refusals)
)]
pub(super) async fn rotate(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(name): Named<String>,
    MaybeBody(rotation): MaybeBody<KeyRotation>,
) -> Result<(StatusCode, Json<MadeKey>), Problem> {
    let made = api.answer(move |control| control.rotate_key(&by, &name, rotation)).await?;
    Ok((StatusCode::CREATED, made))
}
