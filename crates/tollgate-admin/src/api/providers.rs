//! Providers: `/providers`.

use axum::extract::State;
use tollgate_admission::control::ProviderRow;

use super::access::Admin;
use super::problem::Refusals;
use super::{Answer, Api};

/// Providers by name, and how their targets do: breaker, rest, latency
#[utoipa::path(
    get, path = "/providers", tag = "providers", operation_id = "list_providers",
    responses((status = 200, description = "All of them", body = Vec<ProviderRow>), Refusals)
)]
pub(super) async fn list(_: Admin, State(api): State<Api>) -> Answer<Vec<ProviderRow>> {
    api.answer(|control| control.providers()).await
}
