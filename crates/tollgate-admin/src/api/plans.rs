//! Plans and limits as they are in force. The configuration holds them; here they are read.

use axum::extract::State;
use tollgate_admission::control::{LimitFacts, Page, PlanRow};

use super::access::Admin;
use super::problem::Refusals;
use super::{Answer, Api};

/// The plans in force
#[utoipa::path(
    get, path = "/plans", tag = "limits", operation_id = "list_plans",
    responses((status = 200, description = "All plans", body = Page<PlanRow>), Refusals)
)]
pub(super) async fn plans(_: Admin, State(api): State<Api>) -> Answer<Page<PlanRow>> {
    api.answer(|control| control.plans().map(whole)).await
}

/// Every limit in force: those of plans, then those outside
#[utoipa::path(
    get, path = "/limits", tag = "limits", operation_id = "list_limits",
    responses((status = 200, description = "All limits", body = Page<LimitFacts>), Refusals)
)]
pub(super) async fn limits(_: Admin, State(api): State<Api>) -> Answer<Page<LimitFacts>> {
    api.answer(|control| control.limits().map(whole)).await
}

/// A list that is as long as the configuration, on one page.
const fn whole<T>(items: Vec<T>) -> Page<T> {
    Page { items, next_cursor: None }
}
