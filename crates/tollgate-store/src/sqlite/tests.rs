//! The ledger as its users see it, failures included.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Wake, Waker};

use jiff::Timestamp;
use tollgate_domain::call::Outcome;
use tollgate_domain::money::NanoUsd;

use super::*;
use crate::fold::tests::{intent, record};
use crate::options::InDoubt;
use crate::reader::Reader;
use crate::reader::calls::Filter;

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait(written: Result<Written, LedgerError>) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut down = pin!(written.unwrap().durable());
    while down.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        thread::park();
    }
}

fn open_at(path: &Path, options: &Options) -> (SqliteLedger, Recovery) {
    SqliteLedger::open(path, options).unwrap()
}

fn run(ledger: &SqliteLedger, numbers: std::ops::Range<u32>) {
    for n in numbers {
        wait(Ledger::open(ledger, &intent(n)));
        wait(Ledger::close(ledger, Arc::new(record(n))));
    }
}

/// Outcome and cost of every row, and the proof that they add up.
fn rows(path: &Path) -> BTreeMap<String, (Outcome, NanoUsd)> {
    let reader = Reader::open(path).unwrap();
    assert!(reader.catch_up(Duration::from_secs(10)).unwrap());
    let report = reader.verify(|_, _| {}).unwrap();
    assert_eq!(report.listed, Vec::<String>::new());
    let mut rows = BTreeMap::new();
    reader
        .for_each_since(Timestamp::UNIX_EPOCH, |call| {
            rows.insert(call.call_id.to_string(), (call.outcome, call.cost));
        })
        .unwrap();
    assert_eq!(report.rows, u64::try_from(rows.len()).unwrap());
    rows
}

fn id(n: u32) -> String {
    record(n).call_id.to_string()
}

#[test]
fn a_crash_loses_no_closed_call_and_marks_those_in_flight() {
    for (policy, cost) in [(InDoubt::Charge, intent(0).cost), (InDoubt::Release, NanoUsd::ZERO)] {
        for durability in [Durability::Process, Durability::Power] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("t.db");
            let options = Options { in_doubt: policy, durability, ..Options::default() };
            let (ledger, recovery) = open_at(&path, &options);
            assert_eq!(recovery, Recovery::default());
            run(&ledger, 0..300);
            wait(Ledger::open(&ledger, &intent(300)));
            ledger.abandon();
            drop(ledger);

            let (ledger, recovery) = open_at(&path, &options);
            assert_eq!((recovery.in_doubt, recovery.torn_bytes), (1, 0));
            assert!(recovery.is_clean());
            let rows = rows(&path);
            assert_eq!(rows.len(), 301);
            assert_eq!(rows[&id(7)], (Outcome::Success, record(7).cost));
            assert_eq!(rows[&id(300)], (Outcome::InDoubt, cost));
            ledger.shutdown().unwrap();
        }
    }
}

#[test]
fn closing_leaves_nothing_to_recover_and_refuses_what_comes_after() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let (ledger, _) = open_at(&path, &Options::default());
    run(&ledger, 0..5);
    ledger.shutdown().unwrap();
    ledger.shutdown().unwrap();
    assert!(matches!(Ledger::open(&ledger, &intent(9)), Err(LedgerError::Closed)));
    assert_eq!(Dir::of(&path).segments().unwrap(), Vec::<u64>::new());
    assert_eq!(rows(&path).len(), 5);
    assert_eq!(open_at(&path, &Options::default()).1, Recovery::default());
}

#[test]
fn a_call_that_stays_open_is_carried_along_and_pins_no_segment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let options = Options { segment_bytes: 4_096, ..Options::default() };
    let (ledger, _) = open_at(&path, &options);
    wait(Ledger::open(&ledger, &intent(5_000)));
    wait(Ledger::open(&ledger, &intent(5_001)));
    run(&ledger, 0..500);
    assert!(Reader::open(&path).unwrap().catch_up(Duration::from_secs(10)).unwrap());
    run(&ledger, 500..501);
    assert!(Reader::open(&path).unwrap().catch_up(Duration::from_secs(10)).unwrap());
    while ledger.status().waiting > 0 {
        thread::park_timeout(Duration::from_millis(2));
    }
    assert!(ledger.status().segments <= 2, "{:?}", ledger.status());
    wait(Ledger::close(&ledger, Arc::new(record(5_001))));
    ledger.abandon();
    drop(ledger);
    let (_ledger, recovery) = open_at(&path, &options);
    assert_eq!(recovery.in_doubt, 1);
    let rows = rows(&path);
    assert_eq!(rows.len(), 503);
    assert_eq!(rows[&id(5_000)].0, Outcome::InDoubt);
    assert_eq!(rows[&id(5_001)].0, Outcome::Success);
}

#[test]
fn a_full_disk_refuses_calls_and_leaves_the_journal_sound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let (ledger, _) = open_at(&path, &Options::default());
    run(&ledger, 0..3);
    for room in [0, 1, 30] {
        ledger.journal().fail_after(Some(room));
        assert!(matches!(Ledger::open(&ledger, &intent(10)), Err(LedgerError::Storage(_))));
        let closed = Ledger::close(&ledger, Arc::new(record(11)));
        assert!(matches!(closed, Err(LedgerError::Storage(_))));
    }
    ledger.journal().fail_after(None);
    run(&ledger, 3..6);
    ledger.abandon();
    drop(ledger);
    let (_ledger, recovery) = open_at(&path, &Options::default());
    assert_eq!((recovery.torn_bytes, recovery.in_doubt, recovery.corrupt_bytes), (0, 0, 0));
    assert_eq!(rows(&path).len(), 6);
}

#[test]
fn a_second_server_on_the_same_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let (first, _) = open_at(&path, &Options::default());
    let error = SqliteLedger::open(&path, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("another tollgate server"), "{error}");
    first.shutdown().unwrap();
    SqliteLedger::open(&path, &Options::default()).unwrap();
}

#[test]
fn calls_are_refused_while_too_many_wait_for_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let (ledger, _) = open_at(&path, &Options { backlog_bound: 10, ..Options::default() });
    let other = database::open(&path, false).unwrap();
    let busy = Transaction::new_unchecked(&other, TransactionBehavior::Immediate).unwrap();
    run(&ledger, 0..9);
    wait(Ledger::open(&ledger, &intent(9)));
    wait(Ledger::open(&ledger, &intent(10)));
    wait(Ledger::close(&ledger, Arc::new(record(9))));
    let refused = Ledger::open(&ledger, &intent(11));
    assert!(matches!(refused, Err(LedgerError::Behind { waiting: 10 })), "{refused:?}");
    wait(Ledger::close(&ledger, Arc::new(record(10))));
    drop(busy);
    assert_eq!(rows(&path).len(), 11);
}

#[test]
fn many_threads_write_and_nothing_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let options = Options { segment_bytes: 16_384, ..Options::default() };
    let (ledger, _) = open_at(&path, &options);
    thread::scope(|scope| {
        for part in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || run(ledger, part * 250..(part + 1) * 250));
        }
    });
    ledger.abandon();
    drop(ledger);
    let (ledger, recovery) = open_at(&path, &options);
    assert_eq!((recovery.in_doubt, recovery.corrupt_bytes), (0, 0));
    assert_eq!(rows(&path).len(), 2_000);
    assert_eq!(ledger.status().last_error, None);
}

#[test]
fn a_reader_finds_a_call_as_soon_as_it_was_reported_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let (ledger, _) = open_at(&path, &Options::default());
    let reader = Reader::open(&path).unwrap();
    let mut follow = reader.follow().unwrap();
    for n in 0..20 {
        run(&ledger, n..n + 1);
        wait(Ledger::open(&ledger, &intent(900 + n)));
        ledger.hurry();
        assert!(reader.catch_up(Duration::from_secs(10)).unwrap());
        assert_eq!(reader.call(record(n).call_id).unwrap(), Some(record(n)));
    }
    // A call that began first and ends last is followed too.
    wait(Ledger::close(&ledger, Arc::new(record(900))));
    assert!(reader.catch_up(Duration::from_secs(10)).unwrap());
    let mut seen: Vec<_> = follow.look(&reader, &Filter::default()).unwrap();
    seen.sort_by_key(|call| call.call_id);
    assert_eq!(seen, (0..20).chain([900]).map(record).collect::<Vec<_>>());
    wait(Ledger::close(&ledger, Arc::new(record(899))));
    assert!(reader.catch_up(Duration::from_secs(10)).unwrap());
    assert_eq!(follow.look(&reader, &Filter::default()).unwrap(), [record(899)]);
}

#[test]
fn a_reader_recovers_what_a_dead_server_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let options = Options { in_doubt: InDoubt::Release, ..Options::default() };
    let (ledger, _) = open_at(&path, &options);
    run(&ledger, 0..4);
    wait(Ledger::open(&ledger, &intent(4)));
    ledger.abandon();
    drop(ledger);
    let rows = rows(&path);
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[&id(4)], (Outcome::InDoubt, NanoUsd::ZERO));
    assert_eq!(open_at(&path, &options).1, Recovery::default());
}

#[test]
fn long_texts_are_cut_and_the_call_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let (ledger, _) = open_at(&path, &Options::default());
    let huge: Arc<str> = Arc::from("\u{d55c}".repeat(1_000_000));
    let call = CallRecord { model_asked: huge, ..record(1) };
    wait(Ledger::open(&ledger, &call));
    wait(Ledger::close(&ledger, Arc::new(call)));
    ledger.shutdown().unwrap();
    let stored = Reader::open(&path).unwrap().call(record(1).call_id).unwrap().unwrap();
    assert_eq!(stored.model_asked.len(), 1_023);
    assert_eq!(stored.usage, record(1).usage);
}
