//! Alerts: `/alerts`, their history and rules, silences, samples.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tollgate_admission::control::{
    AlertEventRow, AlertHistoryQuery, AlertRow, AlertRuleRow, AlertTest, AlertTestRow, NewSilence,
    Page, SilenceRow,
};

use super::access::Admin;
use super::body::{Asked, Body, MaybeBody, Named};
use super::problem::{Problem, Refusals};
use super::{Answer, Api};

/// Alerts that are open: pending ones and those that fire
#[utoipa::path(
    get, path = "/alerts", tag = "alerts", operation_id = "list_alerts",
    responses((status = 200, description = "The alerts", body = Vec<AlertRow>), Refusals)
)]
pub(super) async fn list(_: Admin, State(api): State<Api>) -> Answer<Vec<AlertRow>> {
    api.answer(|control| control.alerts()).await
}

/// What happened to alerts, newest first
#[utoipa::path(
    get, path = "/alerts/history", tag = "alerts", operation_id = "list_alert_history",
    params(AlertHistoryQuery),
    responses((status = 200, description = "A page", body = Page<AlertEventRow>), Refusals)
)]
pub(super) async fn history(
    _: Admin,
    State(api): State<Api>,
    Asked(query): Asked<AlertHistoryQuery>,
) -> Answer<Page<AlertEventRow>> {
    api.answer(move |control| control.alert_history(&query)).await
}

/// The rules in force, the shipped ones among them
#[utoipa::path(
    get, path = "/alerts/rules", tag = "alerts", operation_id = "list_alert_rules",
    responses((status = 200, description = "The rules", body = Vec<AlertRuleRow>), Refusals)
)]
pub(super) async fn rules(_: Admin, State(api): State<Api>) -> Answer<Vec<AlertRuleRow>> {
    api.answer(|control| control.alert_rules()).await
}

/// The silences in force
#[utoipa::path(
    get, path = "/alerts/silences", tag = "alerts", operation_id = "list_silences",
    responses((status = 200, description = "The silences", body = Vec<SilenceRow>), Refusals)
)]
pub(super) async fn silences(_: Admin, State(api): State<Api>) -> Answer<Vec<SilenceRow>> {
    api.answer(|control| control.silences()).await
}

/// Tells nobody of what matches, and does nothing about it, for a while
#[utoipa::path(
    post, path = "/alerts/silences", tag = "alerts", operation_id = "create_silence",
    request_body = NewSilence,
    responses((status = 201, description = "It is in force", body = SilenceRow), Refusals)
)]
pub(super) async fn silence(
    Admin(by): Admin,
    State(api): State<Api>,
    Body(new): Body<NewSilence>,
) -> Result<(StatusCode, Json<SilenceRow>), Problem> {
    let made = api.ask(move |control| control.silence(&by, new)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a silence
#[utoipa::path(
    delete, path = "/alerts/silences/{id}", tag = "alerts", operation_id = "end_silence",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 204, description = "It has ended"), Refusals)
)]
pub(super) async fn unsilence(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(id): Named<i64>,
) -> Result<StatusCode, Problem> {
    api.ask(move |control| control.unsilence(&by, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a sample through channels, and says what came back
#[utoipa::path(
    post, path = "/alerts/test", tag = "alerts", operation_id = "test_alerts",
    request_body = Option<AlertTest>,
    responses((status = 200, description = "What came back", body = Vec<AlertTestRow>), Refusals)
)]
pub(super) async fn test(
    Admin(by): Admin,
    State(api): State<Api>,
    MaybeBody(test): MaybeBody<AlertTest>,
) -> Answer<Vec<AlertTestRow>> {
    api.answer(move |control| control.test_alerts(&by, test)).await
}
