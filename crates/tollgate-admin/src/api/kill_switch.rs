//! The kill switch: `/kill-switch`.

use axum::extract::State;
use tollgate_admission::control::{KillSwitch, SwitchChange};

use super::access::Admin;
use super::body::Body;
use super::problem::Refusals;
use super::{Answer, Api};

/// What is stopped
#[utoipa::path(
    get, path = "/kill-switch", tag = "kill switch", operation_id = "show_kill_switch",
    responses((status = 200, description = "The switches", body = KillSwitch), Refusals)
)]
pub(super) async fn show(_: Admin, State(api): State<Api>) -> Answer<KillSwitch> {
    api.answer(|control| control.kill_switch()).await
}

/// Stop everything, a provider, a model, a plan or a user, or let it go on
#[utoipa::path(
    put, path = "/kill-switch", tag = "kill switch", operation_id = "change_kill_switch",
    request_body = SwitchChange,
    responses((status = 200, description = "The switches since", body = KillSwitch), Refusals)
)]
pub(super) async fn change(
    Admin(by): Admin,
    State(api): State<Api>,
    Body(change): Body<SwitchChange>,
) -> Answer<KillSwitch> {
    api.answer(move |control| control.switch(&by, change)).await
}
