//! Sums of calls: `/usage`.

use axum::extract::State;
use tollgate_admission::control::{UsageAsk, UsageReport};

use super::access::Admin;
use super::body::Asked;
use super::problem::Refusals;
use super::{Answer, Api};

/// What was used and what it cost, grouped as asked
#[utoipa::path(
    get, path = "/usage", tag = "usage", operation_id = "report_usage",
    params(UsageAsk),
    responses((status = 200, description = "The sums", body = UsageReport), Refusals)
)]
pub(super) async fn report(
    _: Admin,
    State(api): State<Api>,
    Asked(ask): Asked<UsageAsk>,
) -> Answer<UsageReport> {
    api.answer(move |control| control.usage(&ask)).await
}
