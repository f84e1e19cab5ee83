//! Why a call ends without an answer of a provider, and how its client is told: one type, one
//! place that turns it into the client's dialect.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tollgate_admission::engine::Refusal;
use tollgate_domain::call::Dialect;
use tollgate_domain::fault::{Code, Fault};
use tollgate_wire::error::{ErrorView, error_body};

/// Tells SDKs whether to try again by themselves.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The end of a call that no provider answered.
#[derive(Debug)]
pub struct Stop {
    /// The stable code.
    pub code: Code,
    /// What happened and what to do, for the developer who reads it.
    pub message: Cow<'static, str>,
    /// The field of the request that is meant.
    pub param: Option<Cow<'static, str>>,
    /// The limit that refused.
    pub limit: Option<Box<Refusal>>,
    /// Whether a provider may have been working on the call already, so that a retry may be
    /// charged again.
    pub spent: bool,
}

impl Stop {
    /// An end with this code and message.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), param: None, limit: None, spent: false }
    }

    /// An end that a field of the request is to blame for.
    pub fn field(message: impl Into<Cow<'static, str>>, param: Option<Cow<'static, str>>) -> Self {
        Self { param, ..Self::new(Code::InvalidRequest, message) }
    }

    /// The refusal of a limit.
    pub fn limit(refusal: Box<Refusal>) -> Self {
        let stop = Self::new(refusal.code, refusal.to_string());
        Self { limit: Some(refusal), ..stop }
    }

    /// Marks an end after which the provider may charge nevertheless.
    #[must_use]
    pub fn after_spending(self) -> Self {
        Self { spent: true, ..self }
    }

    /// Whether an SDK should try again by itself.
    fn should_retry(&self) -> bool {
        self.code.retryable() && !self.spent
    }

    /// The answer in the client's dialect.
    pub fn answer(&self, dialect: Dialect, request_id: &str) -> Response<Bytes> {
        let view = ErrorView {
            param: self.param.as_deref(),
            request_id: Some(request_id),
            ..ErrorView::new(self.code, &self.message)
        };
        let mut response = Response::new(error_body(dialect, &view));
        *response.status_mut() =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !self.should_retry() {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        } else if self.code.fault() == Fault::Us {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
