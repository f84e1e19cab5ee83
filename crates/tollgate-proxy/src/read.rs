//! Step 3: the request body, whole, bounded in size and in patience, and what it asks for.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tollgate_domain::fault::Code;
use tollgate_wire::dialect;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::form::{Form, peek_form};
use tollgate_wire::peek::{BodyError, Peek, Span};

use crate::snapshot::Settings;
use crate::stop::Stop;

/// Below this many bytes a body is copied out of its connection's read buffer.
const SHORT: usize = 4 * 1024;

/// A request that was read: its bytes, and where in them stands what matters.
#[derive(Debug)]
pub struct Asked {
    /// The body as it came.
    pub body: Bytes,
    /// What it asks for.
    pub peek: Peek,
    /// Where the file of a form stands in the body.
    pub file: Option<Span>,
    /// Whether a client of Gemini wants its stream as one JSON array: it did not say `alt=sse`.
    pub array: bool,
}

/// What is called: the operation, and the model where the path names it.
#[derive(Clone, Debug)]
pub struct Called {
    /// The operation.
    pub endpoint: Endpoint,
    /// The model.
    pub model: Option<Box<str>>,
}

/// Reads the body of a request and looks into it.
pub async fn read(
    settings: &Settings,
    called: &Called,
    head: &Parts,
    body: Incoming,
) -> Result<Asked, Stop> {
    let body = collect(settings, &head.headers, body).await?;
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (peek, file) = peek(called.endpoint, called.model.as_deref(), kind, &body)
        .map_err(|error| Stop::field(error.message, error.param.map(Cow::from)))?;
    let sse = head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
    let array = called.endpoint == Endpoint::StreamGenerateContent && !sse;
    Ok(Asked { body, peek, file, array })
}

/// Looks into a body, and finds the file in it. A form is told by its content type, where one may
/// come; everything else is JSON, and nothing else is taken for it.
pub fn peek(
    endpoint: Endpoint,
    path_model: Option<&str>,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<(Peek, Option<Span>), BodyError> {
    match content_type.filter(|kind| is_form(kind)) {
        Some(_) if !endpoint.takes_form() => {
            let message = "this path takes a JSON body: content-type application/json".to_owned();
            Err(BodyError { message, param: None })
        }
        Some(kind) => {
            let Form { mut peek, picture, file, .. } = peek_form(kind, body)?;
            peek.max_output = (endpoint == Endpoint::Images).then_some(picture);
            Ok((peek, file))
        }
        None => dialect::peek(endpoint, path_model, body).map(|peek| (peek, None)),
    }
}

fn is_form(content_type: &str) -> bool {
    const FORM: &str = "multipart/form-data";
    content_type.get(..FORM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(FORM))
}

/// The whole body, or why not.
pub async fn collect(
    settings: &Settings,
    headers: &HeaderMap,
    mut body: Incoming,
) -> Result<Bytes, Stop> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > settings.max_body) {
        return Err(too_large(settings.max_body));
    }
    let Some(first) = next(&mut body, settings.body_pause).await? else {
        return Ok(Bytes::new());
    };
    if body.is_end_stream() && first.len() <= settings.max_body {
        // A short body would keep the whole read buffer of its connection for as long as the call
        // lasts.
        return Ok(if first.len() < SHORT { Bytes::copy_from_slice(&first) } else { first });
    }
    let expected = announced.unwrap_or(first.len() * 2).min(settings.max_body);
    let mut all = BytesMut::with_capacity(expected.min(1 << 20));
    all.extend_from_slice(&first);
    while let Some(data) = next(&mut body, settings.body_pause).await? {
        if all.len() + data.len() > settings.max_body {
            return Err(too_large(settings.max_body));
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

async fn next(body: &mut Incoming, patience: Duration) -> Result<Option<Bytes>, Stop> {
    loop {
        let frame = tokio::time::timeout(patience, body.frame()).await.map_err(|_| {
            Stop::new(Code::RequestTimeout, "the request body did not arrive in time")
        })?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => {
                let message = format!("the request body broke off: {error}");
                return Err(Stop::new(Code::InvalidRequest, message));
            }
        }
    }
}

fn too_large(max: usize) -> Stop {
    Stop::new(
        Code::BodyTooLarge,
        format!("the request body is larger than {max} bytes (`server.max_body`)"),
    )
}
