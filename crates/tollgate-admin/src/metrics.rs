//! `/metrics`: the exposition, made when it is asked for, in the format that the reader takes:
//! `OpenMetrics` where it asks for that, else the older text format, which everything reads.

mod plain;

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// The content type of `OpenMetrics` text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of the text format.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the exposition of all metrics as `OpenMetrics` text.
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

pub(crate) async fn metrics(State(scrape): State<Scrape>, asked: HeaderMap) -> Response {
    let mut text = String::with_capacity(16 * 1024);
    if (scrape.0)(&mut text).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let (kind, text) =
        if takes_openmetrics(&asked) { (OPENMETRICS, text) } else { (PLAIN, plain::of(&text)) };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (VARY, HeaderValue::from_static("accept")),
    ];
    (headers, text).into_response()
}

/// Whether the reader asks for `OpenMetrics` and does not rank it below the text format.
fn takes_openmetrics(asked: &HeaderMap) -> bool {
    let accepts = asked.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = accepts.flat_map(|value| value.split(',')).collect();
    let rank = |kind: &str| ranges.iter().filter_map(|range| quality(range, kind)).max();
    match (rank("application/openmetrics-text"), rank("text/plain")) {
        (Some(open), plain) => open > 0 && plain.is_none_or(|plain| open >= plain),
        (None, _) => false,
    }
}

/// The quality of a media range in thousandths (RFC 9110, 12.4.2), where it names this type. A
/// version of `OpenMetrics` that is not ours is passed over.
fn quality(range: &str, kind: &str) -> Option<u32> {
    let mut parts = range.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(kind) {
        return None;
    }
    let mut quality = 1_000;
    for part in parts {
        match part.split_once('=') {
            Some(("version", "0.0.1" | "0.0.4" | "1.0.0")) => {}
            Some(("version", _)) => return None,
            Some(("q" | "Q", value)) => quality = thousandths(value)?,
            _ => {}
        }
    }
    Some(quality)
}

fn thousandths(value: &str) -> Option<u32> {
    let (whole, rest) = value.split_once('.').unwrap_or((value, ""));
    let digits: String = rest.chars().chain("000".chars()).take(3).collect();
    Some(whole.parse::<u32>().ok()?.min(1) * 1_000 + digits.parse::<u32>().ok()?)
        .map(|q| q.min(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(accept: &str) -> bool {
        let mut asked = HeaderMap::new();
        if !accept.is_empty() {
            asked.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        }
        takes_openmetrics(&asked)
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        // What Prometheus 2.42 and 3 send.
        assert!(takes(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(takes(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        ));
        assert!(takes("application/openmetrics-text"));
        for other in [
            "",
            "*/*",
            "text/plain",
            "text/html,*/*;q=0.8",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=2.0.0",
            "text/plain;q=0.9, application/openmetrics-text;q=0.5",
            "nonsense;q=x",
        ] {
            assert!(!takes(other), "{other}");
        }
    }
}
