//! Calls for the tests of this crate.

use jiff::Timestamp;
use serde_json::json;
use tollgate_domain::call::CallRecord;
use tollgate_domain::money::NanoUsd;

/// A call of a user that cost so much.
pub(crate) fn call(user: &str, at: Timestamp, cost: NanoUsd) -> CallRecord {
    let document = json!({
        "call_id": "019a0000-0000-7000-8000-000000000000", "request_id": "r", "time": at,
        "user": user, "key": "backend", "team": null, "ip": "10.0.0.1", "session": null,
        "feature": null, "tags": {}, "dialect": "openai", "endpoint": "/v1/chat/completions",
        "provider": "openai", "model_asked": "gpt-4o-mini", "model": "gpt-4o-mini",
        "stream": false, "status": 200, "outcome": "success", "error_type": null, "attempts": 1,
        "cache": "miss", "input_tokens": 100, "cached_input_tokens": 0, "cache_write_tokens": 0,
        "output_tokens": 50, "reasoning_tokens": 0,
        "usage": {"input": 100, "output": 50}, "cost_usd": cost, "estimated": false,
        "latency_ms": 0, "ttft_ms": null,
    });
    serde_json::from_value(document).unwrap()
}

/// An instant.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// So many dollars.
pub(crate) fn usd(text: &str) -> NanoUsd {
    text.parse().unwrap()
}
