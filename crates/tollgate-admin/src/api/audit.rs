//! Who changed what, and who read what was said in a call: `/audit`.

use axum::extract::State;
use tollgate_admission::control::{AuditQuery, AuditRow, Page};

use super::access::Admin;
use super::body::Asked;
use super::problem::Refusals;
use super::{Answer, Api};

/// Who changed what, and who read what was said in a call, newest first
#[utoipa::path(
    get, path = "/audit", tag = "audit", operation_id = "list_audit",
    params(AuditQuery),
    responses((status = 200, description = "A page", body = Page<AuditRow>), Refusals)
)]
pub(super) async fn list(
    _: Admin,
    State(api): State<Api>,
    Asked(query): Asked<AuditQuery>,
) -> Answer<Page<AuditRow>> {
    api.answer(move |control| control.audit(&query)).await
}
