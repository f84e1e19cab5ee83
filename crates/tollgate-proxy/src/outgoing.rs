//! What a provider is sent: the client's own request but for credentials, model name and the usage
//! that must be asked for, or its translation into the provider's form.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE,
    EXPECT, FORWARDED, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use tollgate_wire::bedrock::messages::{Host, invoke_body};
use tollgate_wire::bedrock::sigv4;
use tollgate_wire::dialect::{Rewrite, rewrite};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::form::rewrite_form;

use crate::accept::TRACEPARENT;
use crate::identify::{API_KEY, GOOGLE_API_KEY, without_credential};
use crate::open_call::OpenCall;
use crate::provider::{Api, Remote, Serving, Signer, Wanted};
use crate::upstream::{Broken, Phase};

/// Headers whose names begin so are between the client and us.
const KEPT_HERE: [&str; 3] = ["x-tollgate-", "x-forwarded-", "proxy-"];
pub(crate) const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
/// The version of Anthropic's form that is spoken where the client names none.
pub(crate) const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The request that the provider gets.
pub(crate) fn request(
    call: &OpenCall,
    remote: &Remote,
    head: &Parts,
) -> Result<Request<Full<Bytes>>, Broken> {
    let api = &call.chosen.target.provider.api;
    let operation = call.operation();
    let body = body(call, operation, head);
    let native = matches!(call.chosen.serving, Serving::Native(_));
    let query = query(api, operation, head.uri.query().filter(|_| native));
    let wanted = Wanted {
        endpoint: operation,
        model: &call.chosen.target.model,
        stream: call.peek.stream,
        query: query.as_deref(),
    };
    let (method, path) = match &call.through {
        Some(through) => (through.method.clone(), Cow::Borrowed(&*through.path)),
        None => (Method::POST, Cow::Owned(remote.path(api, &wanted))),
    };
    let uri = address(remote, &path)?;
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    *request.headers_mut() =
        if native { own_headers(call, &head.headers) } else { new_headers(&head.headers) };
    take_part(call, &head.headers, request.headers_mut());
    finish(&mut request, remote, uri);
    if operation == Endpoint::Messages || operation == Endpoint::MessageTokens {
        request.headers_mut().entry(VERSION).or_insert(ANTHROPIC_VERSION);
    }
    authorize(api, &mut request, (&body, call.plane.clock.now()))?;
    *request.body_mut() = Full::new(body);
    Ok(request)
}

/// The body, with the few bytes changed that must change.
fn body(call: &OpenCall, operation: Endpoint, head: &Parts) -> Bytes {
    let target = &call.chosen.target;
    let (sent, peek) = call.sent();
    let change = Rewrite {
        model: Some(&target.model),
        include_usage: true,
        max_output: call.clamped_output,
        legacy_max_tokens: target.provider.vendor.legacy_max_tokens,
    };
    if operation == Endpoint::Other || operation == Endpoint::Read {
        return sent.clone();
    }
    if operation.takes_form() && !sent.trim_ascii_start().starts_with(b"{") {
        return rewrite_form(sent, peek, &target.model);
    }
    let body = rewrite(operation, sent, peek, &change);
    if operation != Endpoint::Messages || call.through.is_some() {
        return body;
    }
    let betas = head.headers.get_all(BETA).iter().filter_map(|value| value.to_str().ok());
    let host = match target.provider.api {
        Api::Bedrock(_) => Host::Bedrock,
        Api::Vertex(_) => Host::Vertex,
        _ => return body,
    };
    // What was peeked into is a JSON object.
    invoke_body(host, &body, betas).unwrap_or(body)
}

/// The query that goes along: the client's own without its credential, and what the form of a
/// stream needs.
fn query(api: &Api, operation: Endpoint, client: Option<&str>) -> Option<String> {
    if !matches!(api, Api::Anthropic | Api::Gemini | Api::Vertex(_)) {
        return None;
    }
    match client {
        Some(query) => Some(without_credential(query)),
        None if operation == Endpoint::StreamGenerateContent => Some("alt=sse".to_owned()),
        None => None,
    }
}

pub(crate) fn address(remote: &Remote, path: &str) -> Result<Uri, Broken> {
    Uri::builder()
        .scheme(if remote.origin.tls { "https" } else { "http" })
        .authority(remote.host.as_bytes())
        .path_and_query(path)
        .build()
        .map_err(|error| Broken::new(Phase::Connect, error))
}

/// Sets the address and the provider's own headers.
pub(crate) fn finish(request: &mut Request<Full<Bytes>>, remote: &Remote, uri: Uri) {
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(HOST, remote.host.clone());
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &remote.headers {
        headers.insert(name.clone(), value.clone());
    }
}

/// Adds the credentials that are made for each request.
pub(crate) fn authorize(
    api: &Api,
    request: &mut Request<Full<Bytes>>,
    (body, now): (&Bytes, jiff::Timestamp),
) -> Result<(), Broken> {
    match api {
        Api::Vertex(Some(token)) => {
            let missing = || Broken::new(Phase::Connect, "no access token could be fetched yet");
            let header = token.header().ok_or_else(missing)?;
            request.headers_mut().insert(AUTHORIZATION, header);
            Ok(())
        }
        Api::Bedrock(Some(signer)) => sign(signer, request, body, now),
        _ => Ok(()),
    }
}

/// Signs a request for Amazon Web Services: its host, path, query and body.
fn sign(
    signer: &Signer,
    request: &mut Request<Full<Bytes>>,
    body: &Bytes,
    now: jiff::Timestamp,
) -> Result<(), Broken> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let signed = sigv4::Request {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        headers: &[("host", host)],
        payload_hash: &sigv4::payload_hash(body),
    };
    let credentials = sigv4::Credentials {
        access_key_id: &signer.access_key_id,
        secret_access_key: &signer.secret_access_key,
        session_token: signer.session_token.as_deref(),
    };
    let scope = sigv4::Scope { region: &signer.region, service: "bedrock", time: now };
    for (name, value) in sigv4::sign(&signed, &credentials, &scope) {
        let mut value =
            HeaderValue::from_str(&value).map_err(|error| Broken::new(Phase::Connect, error))?;
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    Ok(())
}

/// The client's headers without what is between it and us.
pub(crate) fn own_headers(call: &OpenCall, from_client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from_client.len() + 6);
    for (name, value) in from_client {
        if passes(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    if let Some(captcha) = call.snapshot.captcha() {
        headers.remove(captcha.header());
    }
    headers
}

/// The headers of a request in another form than the client's: of its own, those that belong to no
/// dialect.
fn new_headers(from_client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    if let Some(value) = from_client.get(USER_AGENT) {
        headers.insert(USER_AGENT, value.clone());
    }
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers
}

/// In the trace of the client the provider is asked by our span, not by the client's; what others
/// keep in `tracestate` goes along as it is. A provider is told nothing of a trace that no client
/// began, and a malformed one ends here with its state.
fn take_part(call: &OpenCall, from_client: &HeaderMap, headers: &mut HeaderMap) {
    let record = call.admitted.record();
    let Some(client) = record.trace else { return };
    let Ok(parent) = HeaderValue::from_bytes(&client.at(record.call_id).encode()) else { return };
    headers.insert(TRACEPARENT, parent);
    for state in from_client.get_all(TRACESTATE) {
        headers.append(TRACESTATE, state.clone());
    }
}

/// Whether a client's header is for the provider. Credentials, cookies, addresses and everything
/// that belongs to one connection are not; nor is the wish for compression, because usage is read
/// from the answer as it passes.
fn passes(name: &HeaderName) -> bool {
    const STAY: [HeaderName; 23] = [
        HOST,
        AUTHORIZATION,
        API_KEY,
        GOOGLE_API_KEY,
        HeaderName::from_static("api-key"),
        COOKIE,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        ACCEPT_ENCODING,
        CONNECTION,
        EXPECT,
        TE,
        TRAILER,
        UPGRADE,
        FORWARDED,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("baggage"),
        // They are said anew, by what takes part in the trace.
        TRACEPARENT,
        TRACESTATE,
        // It is a promise between the client and us: to a provider, keys of all clients are those of
        // one account, and two of them may be the same.
        HeaderName::from_static("idempotency-key"),
        // What was admitted is the method that was sent.
        HeaderName::from_static("x-http-method"),
        HeaderName::from_static("x-http-method-override"),
        HeaderName::from_static("x-method-override"),
    ];
    !STAY.contains(name)
        && !KEPT_HERE.iter().any(|prefix| name.as_str().starts_with(prefix))
        && *name != crate::accept::REQUEST_ID
}
