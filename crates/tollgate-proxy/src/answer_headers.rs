//! The headers of an answer: the provider's own, without those of its connection, and ours.

use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, SERVER, SET_COOKIE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tollgate_domain::call::CallRecord;
use tollgate_domain::id::CallId;

use crate::accept::REQUEST_ID;
use crate::headroom::LimitHeaders;
use crate::open_call::OpenCall;

const CALL_ID: HeaderName = HeaderName::from_static("x-tollgate-call-id");
const PROVIDER: HeaderName = HeaderName::from_static("x-tollgate-provider");
const MODEL: HeaderName = HeaderName::from_static("x-tollgate-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
const CACHE: HeaderName = HeaderName::from_static("x-tollgate-cache");
const COST: HeaderName = HeaderName::from_static("x-tollgate-cost-usd");
const LITELLM_COST: HeaderName = HeaderName::from_static("x-litellm-response-cost");
const UPSTREAM_ID: HeaderName = HeaderName::from_static("x-tollgate-upstream-request-id");

/// What names a call in the headers of its answer.
pub(crate) struct Ids {
    request_id: Arc<str>,
    call_id: CallId,
    provider: Arc<str>,
    model: Arc<str>,
    limits: LimitHeaders,
}

impl Ids {
    pub(crate) fn of(call: &OpenCall) -> Self {
        let record = call.admitted.record();
        Self {
            request_id: Arc::clone(&record.request_id),
            call_id: record.call_id,
            provider: Arc::clone(&call.chosen.target.provider.name),
            model: Arc::clone(&call.chosen.target.model),
            limits: call.limits.clone(),
        }
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
        if *name == REQUEST_ID {
            headers.append(UPSTREAM_ID, value.clone());
        } else if !STAY.contains(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    ids.limits.put_on(&mut headers);
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(REQUEST_ID, &ids.request_id);
    put(CALL_ID, ids.call_id.encode(&mut [0; 36]));
    put(PROVIDER, &ids.provider);
    put(MODEL, record.map_or(&*ids.model, |record| &*record.model));
    put(ATTEMPTS, "1");
    put(CACHE, "miss");
    if let Some(record) = record {
        let cost = record.cost.to_string();
        put(COST, &cost);
        put(LITELLM_COST, &cost);
    }
    headers
}
