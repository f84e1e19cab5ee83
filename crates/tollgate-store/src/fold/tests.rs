//! Rows and rollups as the fold writes them.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use tollgate_domain::call::{CacheState, Dialect, Outcome};
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

use super::*;
use crate::reader::Reader;

/// A plain call; calls of different `n` differ in id and time.
pub(crate) fn record(n: u32) -> CallRecord {
    let millis = 1_790_000_000_000 + u64::from(n);
    let mut random = [7; 10];
    random[6..].copy_from_slice(&n.to_be_bytes());
    let call_id = CallId::new(millis, random);
    CallRecord {
        call_id,
        request_id: Arc::from(call_id.to_string()),
        time: Timestamp::from_millisecond(millis.try_into().unwrap()).unwrap(),
        user: Arc::from(format!("user-{}", n % 3)),
        key: Some(Arc::from("backend")),
        team: None,
        ip: Some(Arc::from("203.0.113.7")),
        session: None,
        feature: Some(Arc::from("diary_analysis")),
        tags: vec![(Arc::from("env"), Arc::from("test"))],
        dialect: Dialect::Openai,
        endpoint: Arc::from("/v1/chat/completions"),
        provider: Arc::from("openai"),
        model_asked: Arc::from("gpt-4o-mini"),
        model: Arc::from("gpt-4o-mini-2024-07-18"),
        stream: n % 2 == 1,
        status: 200,
        outcome: Outcome::Success,
        error_type: None,
        attempts: 1,
        cache: CacheState::Miss,
        usage: Usage::tokens(u64::from(n % 50) + 8, 9),
        cost: NanoUsd::from_nanos(6_600 + i64::from(n)),
        provider_cost: None,
        saved: NanoUsd::ZERO,
        repetition: None,
        price_version: Arc::from("book 2026-10-30 openai/gpt-4o-mini"),
        estimated: false,
        latency_us: 412_345,
        ttft_us: Some(398_000),
        trace: None,
        decision: None,
        tries: Vec::new(),
    }
}

/// The record as a crash would leave it.
pub(crate) fn intent(n: u32) -> CallRecord {
    CallRecord { outcome: Outcome::InDoubt, cost: NanoUsd::from_nanos(50_000), ..record(n) }
}

fn folder(path: &Path) -> Folder {
    Folder::new(crate::database::open(path, false).unwrap(), TimeZone::UTC)
}

#[test]
fn of_two_records_of_one_call_the_first_stays_and_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let mut folder = folder(&path);
    let later = CallRecord { cost: NanoUsd::from_nanos(1), ..record(1) };
    let at = |offset| Position { segment: 1, offset };
    assert_eq!(folder.apply([record(1), later.clone()].iter(), at(100)).unwrap(), 1);
    assert_eq!(folder.apply([later].iter(), at(200)).unwrap(), 0);
    assert_eq!(applied(folder.connection()).unwrap(), at(200));
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.call(record(1).call_id).unwrap(), Some(record(1)));
    let report = reader.verify(|_, _| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.listed);
    assert_eq!((report.rows, report.totals.cost_usd), (1, record(1).cost));
}

#[test]
fn absurd_figures_are_bounded_and_do_not_stop_the_fold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let mut folder = folder(&path);
    for n in 0..2_000 {
        let mut call = record(n * 3);
        call.usage = Usage::tokens(u64::MAX, u64::MAX);
        call.latency_us = u64::MAX;
        call.cost = NanoUsd::from_nanos(if n % 2 == 0 { i64::MAX } else { i64::MIN });
        folder.apply([call].iter(), Position::default()).unwrap();
    }
    let report = Reader::open(&path).unwrap().verify(|_, _| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.listed);
    assert_eq!(report.totals.input_tokens, 2_000 << 40);
    assert_eq!(report.totals.cost_usd, NanoUsd::ZERO);
}

#[test]
fn a_failed_batch_leaves_no_trace_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let mut folder = folder(&path);
    folder.connection.pragma_update(None, "query_only", true).unwrap();
    assert!(folder.apply([record(1)].iter(), Position::default()).is_err());
    folder.connection.pragma_update(None, "query_only", false).unwrap();
    assert_eq!(folder.apply([record(1)].iter(), Position::default()).unwrap(), 1);
    assert!(Reader::open(&path).unwrap().verify(|_, _| {}).unwrap().is_sound());
}

#[test]
fn the_view_for_people_shows_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = folder(&dir.path().join("t.db"));
    folder.apply([record(4)].iter(), Position::default()).unwrap();
    let seen: (String, String, String, String) = folder
        .connection
        .query_row("SELECT call_id, user, outcome, time FROM ledger", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    let id = record(4).call_id.to_string();
    let time = "2026-09-21T14:13:20.004Z".to_owned();
    assert_eq!(seen, (id, "user-1".to_owned(), "success".to_owned(), time));
}

/// What the database holds of a record: bounded figures.
fn held(mut call: CallRecord) -> CallRecord {
    let cut = |count: u64| count.min(1 << 40);
    call.usage.input = cut(call.usage.input);
    call.usage.output = cut(call.usage.output);
    call.usage.cache_read = cut(call.usage.cache_read);
    call.usage.cache_write = cut(call.usage.cache_write);
    call.usage.reasoning = cut(call.usage.reasoning);
    call.latency_us = cut(call.latency_us);
    call.ttft_us = call.ttft_us.map(cut);
    call.cost = NanoUsd::from_nanos(call.cost.nanos().clamp(-(1 << 53), 1 << 53));
    call.saved = NanoUsd::from_nanos(call.saved.nanos().clamp(-(1 << 53), 1 << 53));
    call
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_record_reads_back_from_its_row(record in crate::codec::tests::any_record()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        folder(&path).apply([record.clone()].iter(), Position::default()).unwrap();
        let stored = Reader::open(&path).unwrap().call(record.call_id).unwrap();
        prop_assert_eq!(stored, Some(held(record)));
    }
}
