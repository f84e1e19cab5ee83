//! Duplicate storms: `/storms`.

use axum::extract::State;
use tollgate_admission::control::{Page, StormRow};

use super::access::Admin;
use super::body::Named;
use super::problem::Refusals;
use super::{Answer, Api};

/// The last duplicate storms
#[utoipa::path(
    get, path = "/storms", tag = "storms", operation_id = "list_storms",
    responses((status = 200, description = "The storms, newest first", body = Page<StormRow>), Refusals)
)]
pub(super) async fn list(_: Admin, State(api): State<Api>) -> Answer<Page<StormRow>> {
    api.answer(|control| Ok(Page { items: control.storms()?, next_cursor: None })).await
}

/// Let the subject of a storm call again
#[utoipa::path(
    delete, path = "/storms/{id}/block", tag = "storms", operation_id = "lift_block",
    params(("id" = u64, Path, description = "The number of the storm")),
    responses((status = 200, description = "The storm since", body = StormRow), Refusals)
)]
pub(super) async fn lift(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(id): Named<u64>,
) -> Answer<StormRow> {
    api.answer(move |control| control.lift_block(&by, id)).await
}
