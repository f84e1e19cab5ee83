//! Why a call ends without an answer of a provider, and how its client is told: one type, one
//! place that turns it into the client's dialect.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use tollgate_admission::engine::Refusal;
use tollgate_domain::call::{CacheState, Dialect};
use tollgate_domain::fault::{Code, Fault};
use tollgate_wire::error::{ErrorView, LimitView, error_body};

use crate::answer_headers::Ids;
use crate::headroom::{self, put_wait, wait};

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
    /// The limit that refused, and when.
    pub limit: Option<(Box<Refusal>, Timestamp)>,
    /// Whether a provider may have been working on the call already, so that a retry may be
    /// charged again.
    pub spent: bool,
    /// When another try may help, where that is known.
    pub retry_after: Option<Duration>,
    /// Where the answer was to come from.
    pub cache: CacheState,
    /// What names the call, where it was admitted and is settled: it has a row and a line of its own.
    pub(crate) settled: Option<Box<Ids>>,
}

impl Stop {
    /// An end with this code and message.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
            limit: None,
            spent: false,
            retry_after: None,
            cache: CacheState::Bypass,
            settled: None,
        }
    }

    /// An end that a field of the request is to blame for.
    pub fn field(message: impl Into<Cow<'static, str>>, param: Option<Cow<'static, str>>) -> Self {
        Self { param, ..Self::new(Code::InvalidRequest, message) }
    }

    /// The refusal of a limit, at this time.
    pub fn limit(refusal: Box<Refusal>, now: Timestamp) -> Self {
        let stop = Self::new(refusal.code, refusal.to_string());
        Self { limit: Some((refusal, now)), ..stop }
    }

    /// Marks an end after which the provider may charge nevertheless.
    #[must_use]
    pub fn after_spending(self) -> Self {
        Self { spent: true, ..self }
    }

    /// Says where the answer was to come from.
    #[must_use]
    pub fn instead_of(self, cache: CacheState) -> Self {
        Self { cache, ..self }
    }

    /// Whether an SDK should try again by itself.
    fn should_retry(&self) -> bool {
        let in_time =
            self.limit.as_ref().is_none_or(|(refusal, now)| wait(refusal, *now).is_some());
        self.code.retryable() && !self.spent && in_time
    }

    /// The answer in the client's dialect.
    pub fn answer(&self, dialect: Dialect, request_id: &str) -> Response<Bytes> {
        let texts = self.limit.as_ref().map(|(refusal, _)| LimitTexts::of(refusal));
        let view = ErrorView {
            param: self.param.as_deref(),
            limit: texts.as_ref().zip(self.limit.as_ref()).map(|(texts, (refusal, _))| LimitView {
                name: &refusal.limit.name,
                scope: &texts.scope,
                metric: refusal.limit.metric,
                window: &texts.window,
                max: refusal.balance.max,
                used: refusal.balance.used,
                reserved: refusal.balance.reserved,
                frees_at: texts.frees_at.as_deref(),
            }),
            request_id: Some(request_id),
            ..ErrorView::new(self.code, &self.message)
        };
        let mut response = Response::new(error_body(dialect, &view));
        *response.status_mut() =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((refusal, now)) = &self.limit {
            headroom::refuse(headers, refusal, *now);
        }
        if let Some(wait) = self.retry_after {
            put_wait(headers, wait);
        }
        if !self.should_retry() {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        } else if self.retry_after.is_none() && self.code.fault() == Fault::Us {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The words of a limit that documents show.
struct LimitTexts {
    scope: String,
    window: String,
    frees_at: Option<String>,
}

impl LimitTexts {
    fn of(refusal: &Refusal) -> Self {
        let limit = &refusal.limit;
        let scopes: Vec<&str> = limit.scope.iter().map(|scope| scope.as_str()).collect();
        Self {
            scope: scopes.join(","),
            window: limit.window.to_string(),
            frees_at: refusal.frees_at.map(|at| headroom::local(at, &limit.zone)),
        }
    }
}
