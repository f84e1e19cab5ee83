//! How the program does: `/status`.

use axum::extract::State;
use tollgate_admission::control::Status;

use super::access::Admin;
use super::problem::Refusals;
use super::{Answer, Api};

/// How the program does
#[utoipa::path(
    get, path = "/status", tag = "status", operation_id = "show_status",
    responses((status = 200, description = "The status", body = Status), Refusals)
)]
pub(super) async fn show(_: Admin, State(api): State<Api>) -> Answer<Status> {
    api.answer(|control| control.status()).await
}
