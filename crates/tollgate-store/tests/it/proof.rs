//! Proving the ledger, and purging it.

use std::ops::ControlFlow;

use jiff::tz::TimeZone;
use rusqlite::Connection;
use tollgate_store::{Options, Reader, Report, SqliteLedger, UsageQuery, purge};

use crate::given::{call, ledger, time};

fn tamper(path: &std::path::Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// The proof of a server that goes on serving.
fn stepwise(reader: &Reader) -> Report {
    reader.check(|| ControlFlow::Continue(())).unwrap().unwrap()
}

#[test]
fn every_kind_of_tampering_is_found() {
    let cases = [
        ("UPDATE calls SET cost_nanos = cost_nanos + 1 WHERE request_id = 'req-2'", "user `bob`"),
        ("DELETE FROM calls WHERE request_id = 'req-1'", "user `alice`"),
        ("UPDATE rollup_quarter SET output_tokens = 0", "user `alice`"),
        ("DELETE FROM rollup_quarter", "rows are stored"),
        ("UPDATE rollup_day SET calls = calls + 1", "day 20261121"),
        ("DELETE FROM rollup_day WHERE day = 20261122", "day 20261122"),
        ("UPDATE rollup_day SET day = day + 100", "day 20261121"),
        ("UPDATE calls SET outcome = 1 WHERE request_id = 'req-1'", "user `alice`"),
        ("UPDATE calls SET time_us = time_us + 864e8", "rows are stored"),
    ];
    for (sql, named) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let calls = [
            call("2026-11-21T10:00:00Z", "alice", 1),
            call("2026-11-21T10:00:01Z", "bob", 2),
            call("2026-11-22T10:00:01Z", "bob", 3),
        ];
        ledger(&path, "UTC", calls);
        let sound = Reader::open(&path).unwrap().verify(|_, _| {}).unwrap();
        assert!(sound.is_sound(), "{sound:?}");
        assert_eq!((sound.rows, sound.totals.cost_usd.nanos()), (3, 6_000));
        assert_eq!(stepwise(&Reader::open(&path).unwrap()), sound);
        tamper(&path, sql);
        let report = Reader::open(&path).unwrap().verify(|_, _| {}).unwrap();
        assert!(!report.is_sound(), "{sql}");
        assert!(!stepwise(&Reader::open(&path).unwrap()).is_sound(), "{sql}, step by step");
        assert!(report.listed.iter().any(|line| line.contains(named)), "{sql}: {report:?}");
    }
}

#[test]
fn purging_removes_rows_and_leaves_sums_and_proof() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let calls = (0..50).map(|n| call(&format!("2026-11-{:02}T10:00:00Z", n % 25 + 1), "alice", n));
    ledger(&path, "Asia/Seoul", calls);
    let total = |reader: &Reader| {
        let all = UsageQuery::between(time("2026-11-01T00:00:00Z"), time("2026-12-01T00:00:00Z"));
        reader.total(&all).unwrap()
    };
    let before = total(&Reader::open(&path).unwrap());
    for (until, rows) in [("2026-11-11T10:07:00Z", 20), ("2026-11-21T10:20:00Z", 22)] {
        let mut told = 0;
        let purged = purge(&path, time(until), |rows| {
            told = rows;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((purged.rows, told), (rows, rows), "{until}");
        let reader = Reader::open(&path).unwrap();
        let report = reader.verify(|_, _| {}).unwrap();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(stepwise(&reader), report);
        assert_eq!(report.rows + report.purged.calls, 50);
        assert_eq!(total(&reader), before);
    }
    tamper(&path, "UPDATE purged SET cost_nanos = cost_nanos - 1");
    let report = Reader::open(&path).unwrap().verify(|_, _| {}).unwrap();
    assert!(report.listed[0].contains("purge boundary"), "{report:?}");
    assert_eq!(stepwise(&Reader::open(&path).unwrap()).listed, report.listed);
}

#[test]
fn what_is_told_to_stop_stops_between_two_steps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let calls = (1..6).map(|n| call(&format!("2026-11-{n:02}T10:00:00Z"), "alice", n));
    ledger(&path, "UTC", calls);
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.check(|| ControlFlow::Break(())).unwrap(), None);
    // A step is some thousand rows, so all of these go with the first; the proof still holds.
    purge(&path, time("2026-11-04T00:00:00Z"), |_| ControlFlow::Break(())).unwrap();
    assert!(stepwise(&reader).is_sound());
}

#[test]
fn another_zone_makes_the_day_rollups_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let calls = ["2026-11-20T14:59:59Z", "2026-11-20T15:00:00Z", "2026-11-20T23:59:59Z"];
    ledger(&path, "UTC", (1..).zip(calls).map(|(n, at)| call(at, "alice", n)));
    let days = || -> Vec<(i64, i64)> {
        let connection = Connection::open(&path).unwrap();
        let mut days = connection.prepare("SELECT day, calls FROM rollup_day").unwrap();
        let rows = days.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(days(), [(20_261_120, 3)]);
    let zone = TimeZone::get("Asia/Seoul").unwrap();
    SqliteLedger::open(&path, &Options { zone, ..Options::default() }).unwrap();
    assert_eq!(days(), [(20_261_120, 1), (20_261_121, 2)]);
    assert!(Reader::open(&path).unwrap().verify(|_, _| {}).unwrap().is_sound());
}
