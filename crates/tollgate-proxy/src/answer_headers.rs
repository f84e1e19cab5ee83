//! The headers of an answer: the provider's own, without those of its connection, and ours.

use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER, SERVER, SET_COOKIE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tollgate_domain::call::CallRecord;
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;

use crate::accept::REQUEST_ID;
use crate::headroom::LimitHeaders;
use crate::open_call::OpenCall;

const CALL_ID: HeaderName = HeaderName::from_static("x-tollgate-call-id");
const PROVIDER: HeaderName = HeaderName::from_static("x-tollgate-provider");
const MODEL: HeaderName = HeaderName::from_static("x-tollgate-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
pub(crate) const CACHE: HeaderName = HeaderName::from_static("x-tollgate-cache");
const COST: HeaderName = HeaderName::from_static("x-tollgate-cost-usd");
/// Hints of the client that a translated request could not carry.
const LEFT_OUT: HeaderName = HeaderName::from_static("x-tollgate-left-out");
/// What goes along with an answer in another form than the provider's.
const OF_ALL: [HeaderName; 3] =
    [REQUEST_ID, RETRY_AFTER, HeaderName::from_static("retry-after-ms")];
const LITELLM_COST: HeaderName = HeaderName::from_static("x-litellm-response-cost");
/// Says that an idempotency key was used before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const UPSTREAM_ID: HeaderName = HeaderName::from_static("x-tollgate-upstream-request-id");

/// What names a call in the headers of its answer.
#[derive(Debug)]
pub(crate) struct Ids {
    request_id: Arc<str>,
    call_id: CallId,
    provider: Arc<str>,
    model: Arc<str>,
    attempts: u16,
    limits: LimitHeaders,
    /// Hints that were left out of a translated request; `None` where the answer is the
    /// provider's own.
    left_out: Option<String>,
    cache: &'static str,
    /// Whether a translated stream is one JSON array.
    array: bool,
}

impl Ids {
    pub(crate) fn of(call: &OpenCall) -> Self {
        let record = call.admitted.record();
        Self {
            request_id: Arc::clone(&record.request_id),
            call_id: record.call_id,
            provider: Arc::clone(&call.chosen.target.provider.name),
            model: Arc::clone(&call.chosen.target.model),
            attempts: call.tries.count(),
            limits: call.limits.clone(),
            cache: record.cache.as_str(),
            array: call.chosen.translated.as_ref().is_some_and(|it| it.view.array),
            left_out: call.chosen.translated.as_ref().map(|it| it.left_out.join(", ")),
        }
    }
}

impl Ids {
    /// Says which call it was, who served it and at which attempt; the model as the answer names it,
    /// where it does.
    pub(crate) fn put_on(&self, headers: &mut HeaderMap, served: Option<&str>) {
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(REQUEST_ID, &self.request_id);
        put(CALL_ID, self.call_id.encode(&mut [0; 36]));
        put(PROVIDER, &self.provider);
        put(MODEL, served.unwrap_or(&self.model));
        headers.insert(ATTEMPTS, HeaderValue::from(self.attempts));
    }
}

/// The provider's headers without those of its connection and its own ids, and with ours.
pub(crate) fn answer_headers(
    upstream: &HeaderMap,
    ids: &Ids,
    record: Option<&CallRecord>,
) -> HeaderMap {
    const STAY: [HeaderName; 10] = [
        CONNECTION,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        TRAILER,
        UPGRADE,
        DATE,
        SERVER,
        SET_COOKIE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("alt-svc"),
    ];
    let mut headers = HeaderMap::with_capacity(upstream.len() + 8);
    for (name, value) in upstream {
        if ids.left_out.is_some() && !OF_ALL.contains(name) {
            continue;
        }
        if *name == REQUEST_ID {
            headers.append(UPSTREAM_ID, value.clone());
        } else if !STAY.contains(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    // Where the client asked for a stream and the provider sends one, no row is known yet.
    if ids.left_out.is_some() {
        let json = record.is_some() || ids.array;
        let kind = if json { "application/json" } else { "text/event-stream" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    ids.limits.put_on(&mut headers);
    ids.put_on(&mut headers, record.map(|record| &*record.model));
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(CACHE, ids.cache);
    if let Some(left_out) = ids.left_out.as_deref().filter(|names| !names.is_empty()) {
        put(LEFT_OUT, left_out);
    }
    if let Some(record) = record {
        let cost = record.cost.to_string();
        put(COST, &cost);
        put(LITELLM_COST, &cost);
    }
    headers
}

/// The headers of an answer that was not bought: the call's own, and what it cost. `model` is the one
/// that served, where it is known; `repeated` says that an idempotency key was used again.
pub(crate) fn given_headers(
    headers: &mut HeaderMap,
    record: &CallRecord,
    (model, repeated): (&str, bool),
) {
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(REQUEST_ID, &record.request_id);
    put(CALL_ID, record.call_id.encode(&mut [0; 36]));
    put(PROVIDER, &record.provider);
    put(MODEL, if model.is_empty() { &record.model } else { model });
    put(ATTEMPTS, "0");
    put(CACHE, record.cache.as_str());
    let cost = NanoUsd::ZERO.to_string();
    put(COST, &cost);
    put(LITELLM_COST, &cost);
    if repeated {
        put(REPLAYED, "true");
    }
}
