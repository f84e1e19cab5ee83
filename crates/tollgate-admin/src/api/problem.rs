//! How a refusal looks: a status and `{"error":{"message","type","code"}}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_admission::control::ControlError;
use utoipa::{IntoResponses, ToSchema};

/// The body of a refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// What is wrong.
    error: ErrorFacts,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorFacts {
    /// A sentence for people.
    message: String,
    /// The class, in the words of the data plane's OpenAI dialect.
    #[serde(rename = "type")]
    kind: &'static str,
    /// A stable code.
    code: &'static str,
}

/// The refusals that every operation can answer with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers for the document; `Problem` makes them")]
pub(super) enum Refusals {
    /// The request cannot mean anything.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// No credential, or an unknown one.
    #[response(status = 401)]
    Unauthenticated(ErrorBody),
    /// The credential is good, but its holder is no admin.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// Nothing has this name.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// It stands against something that is there.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The body is not JSON.
    #[response(status = 415)]
    NotJson(ErrorBody),
    /// Storage or the program failed.
    #[response(status = 500)]
    Failed(ErrorBody),
}

/// A request that is not done. Nothing has changed.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    facts: ErrorFacts,
}

impl Problem {
    fn new(
        status: StatusCode,
        (kind, code): (&'static str, &'static str),
        message: impl Into<String>,
    ) -> Self {
        Self { status, facts: ErrorFacts { message: message.into(), kind, code } }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        let class = ("invalid_request_error", "invalid_request");
        Self::new(StatusCode::BAD_REQUEST, class, message)
    }

    pub(super) fn unauthenticated(message: &str) -> Self {
        let class = ("authentication_error", "unauthenticated");
        Self::new(StatusCode::UNAUTHORIZED, class, message)
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, ("permission_error", "forbidden"), message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ("invalid_request_error", "not_found"), message)
    }

    pub(super) fn wrong_method(message: &str) -> Self {
        let class = ("invalid_request_error", "method_not_allowed");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, class, message)
    }

    pub(super) fn too_large(message: &str) -> Self {
        let class = ("invalid_request_error", "body_too_large");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, class, message)
    }

    pub(super) fn not_json(message: &str) -> Self {
        let class = ("invalid_request_error", "unsupported_media_type");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, class, message)
    }

    pub(super) fn failed() -> Self {
        Self::internal("the program failed")
    }

    fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ("api_error", "internal"), message)
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let message = error.to_string();
        match error {
            ControlError::NotFound { .. } => Self::not_found(message),
            ControlError::Conflict(_) => {
                let class = ("invalid_request_error", "conflict");
                Self::new(StatusCode::CONFLICT, class, message)
            }
            ControlError::Invalid(_) => Self::invalid(message),
            ControlError::Failed(_) => Self::internal(message),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.facts })).into_response()
    }
}
