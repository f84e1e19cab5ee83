//! `/metrics`: the exposition, made when it is asked for.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

/// The content type of OpenMetrics text, which Prometheus reads since its version 2.5.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the exposition of all metrics.
#[derive(Clone)]
pub struct Scrape(Arc<dyn Fn(&mut String) -> fmt::Result + Send + Sync>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape(..)")
    }
}

impl Scrape {
    /// A scrape that `write` makes.
    pub fn new(write: impl Fn(&mut String) -> fmt::Result + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }
}

pub(crate) async fn metrics(State(scrape): State<Scrape>) -> Response {
    let mut text = String::with_capacity(16 * 1024);
    match (scrape.0)(&mut text) {
        Ok(()) => {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, axum::http::HeaderValue::from_static(OPENMETRICS));
            (headers, text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
