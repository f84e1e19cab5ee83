//! Scheduled work: `/jobs`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tollgate_admission::control::JobRow;

use super::access::Admin;
use super::body::Named;
use super::problem::{Problem, Refusals};
use super::{Answer, Api};

/// Every job: when it runs, and how its last run went
#[utoipa::path(
    get, path = "/jobs", tag = "jobs", operation_id = "list_jobs",
    responses((status = 200, description = "The jobs", body = Vec<JobRow>), Refusals)
)]
pub(super) async fn list(_: Admin, State(api): State<Api>) -> Answer<Vec<JobRow>> {
    api.answer(|control| control.jobs()).await
}

/// Runs a job now, beside its schedule
#[utoipa::path(
    post, path = "/jobs/{name}/run", tag = "jobs", operation_id = "run_job",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 202, description = "It runs", body = JobRow), Refusals)
)]
pub(super) async fn run(
    Admin(by): Admin,
    State(api): State<Api>,
    Named(name): Named<String>,
) -> Result<(StatusCode, Json<JobRow>), Problem> {
    let row = api.ask(move |control| control.run_job(&by, &name)).await?;
    Ok((StatusCode::ACCEPTED, Json(row)))
}
