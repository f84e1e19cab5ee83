//! Records and ledgers to test with.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_admission::ledger::{Ledger, Written};
use tollgate_domain::call::{CacheState, CallRecord, Dialect, Outcome};
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;
use tollgate_store::{Options, SqliteLedger};

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A successful call of `user` that arrived at `at` and cost `n` thousand nano-dollars.
pub(crate) fn call(at: &str, user: &str, n: u32) -> CallRecord {
    call_at(time(at), user, n)
}

pub(crate) fn call_at(time: Timestamp, user: &str, n: u32) -> CallRecord {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&n.to_be_bytes());
    let call_id = CallId::new(time.as_millisecond().try_into().unwrap(), random);
    CallRecord {
        call_id,
        request_id: Arc::from(format!("req-{n}")),
        time,
        user: Arc::from(user),
        key: Some(Arc::from("backend")),
        team: None,
        ip: None,
        session: Some(Arc::from("run-1")),
        feature: None,
        tags: Vec::new(),
        dialect: Dialect::Openai,
        endpoint: Arc::from("/v1/chat/completions"),
        provider: Arc::from("openai"),
        model_asked: Arc::from("gpt-4o-mini"),
        model: Arc::from("gpt-4o-mini-2024-07-18"),
        stream: false,
        status: 200,
        outcome: Outcome::Success,
        error_type: None,
        attempts: 1,
        cache: CacheState::Miss,
        usage: Usage::tokens(10, 5),
        cost: NanoUsd::from_nanos(i64::from(n) * 1_000),
        provider_cost: None,
        saved: NanoUsd::ZERO,
        repetition: None,
        price_version: Arc::from("book"),
        estimated: false,
        latency_us: 1_000,
        ttft_us: None,
        trace: None,
        decision: None,
        tries: Vec::new(),
    }
}

/// Writes a ledger that holds these calls and closes it.
pub(crate) fn ledger(path: &Path, zone: &str, calls: impl IntoIterator<Item = CallRecord>) {
    let zone = TimeZone::get(zone).unwrap();
    let (ledger, _) = SqliteLedger::open(path, &Options { zone, ..Options::default() }).unwrap();
    for call in calls {
        assert!(matches!(ledger.open(&call).unwrap(), Written::Durable));
        assert!(matches!(ledger.close(Arc::new(call)).unwrap(), Written::Durable));
    }
    ledger.shutdown().unwrap();
}
