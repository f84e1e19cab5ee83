//! What a prompt would cost: `/estimate`.

use axum::extract::State;
use tollgate_admission::control::{Estimate, EstimateAsk};

use super::access::Admin;
use super::body::Asked;
use super::problem::Refusals;
use super::{Answer, Api};

/// What a prompt would cost, per call and per month, on several models and in two versions
#[utoipa::path(
    get, path = "/estimate", tag = "usage", operation_id = "estimate",
    params(EstimateAsk),
    responses((status = 200, description = "The costs", body = Estimate), Refusals)
)]
pub(super) async fn estimate(
    _: Admin,
    State(api): State<Api>,
    Asked(ask): Asked<EstimateAsk>,
) -> Answer<Estimate> {
    api.answer(move |control| control.estimate(&ask)).await
}
