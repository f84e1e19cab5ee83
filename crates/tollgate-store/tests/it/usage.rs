//! Usage reports.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::money::NanoUsd;
use tollgate_store::{Dim, Reader, UsageQuery, UsageRow};

use crate::given::{call, call_at, ledger, time};

fn query(from: &str, to: &str, zone: &str, group_by: &[&str]) -> UsageQuery {
    UsageQuery {
        zone: TimeZone::get(zone).unwrap(),
        group_by: group_by.iter().map(|word| word.parse().unwrap()).collect(),
        ..UsageQuery::between(time(from), time(to))
    }
}

/// Labels and number of calls.
fn table(rows: &[UsageRow]) -> Vec<(String, u64)> {
    let label = |row: &UsageRow| {
        row.group.iter().map(|v| v.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" ")
    };
    rows.iter().map(|row| (label(row), row.sums.calls)).collect()
}

#[test]
fn days_follow_the_zone_across_daylight_saving() {
    // New York: 2026-03-08 has 23 hours, 2026-11-01 has 25.
    let calls = [
        "2026-03-08T04:59:59Z",
        "2026-03-08T05:00:00Z",
        "2026-03-09T03:59:59Z",
        "2026-03-09T04:00:00Z",
        "2026-11-01T03:59:59Z",
        "2026-11-01T04:00:00Z",
        "2026-11-02T04:59:59Z",
        "2026-11-02T05:00:00Z",
    ];
    let expected = [
        ("2026-03-07", 1),
        ("2026-03-08", 2),
        ("2026-03-09", 1),
        ("2026-10-31", 1),
        ("2026-11-01", 2),
        ("2026-11-02", 1),
    ]
    .map(|(day, count)| (day.to_owned(), count));
    // The day rollups must agree with what is made of the quarters of another ledger.
    for ledger_zone in ["America/New_York", "Asia/Seoul", "Asia/Kolkata"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        ledger(&path, ledger_zone, (1..).zip(calls).map(|(n, at)| call(at, "alice", n)));
        let reader = Reader::open(&path).unwrap();
        let query =
            query("2026-01-01T05:00:00Z", "2027-01-01T05:00:00Z", "America/New_York", &["day"]);
        assert_eq!(table(&reader.usage(&query).unwrap()), expected, "{ledger_zone}");
        assert!(reader.verify(|_, _| {}).unwrap().is_sound());
    }
}

#[test]
fn months_hours_and_zones_off_by_half_an_hour_are_exact() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let calls = ["2026-10-31T18:29:59Z", "2026-10-31T18:30:00Z", "2026-11-01T00:10:00Z"];
    ledger(&path, "Asia/Seoul", (1..).zip(calls).map(|(n, at)| call(at, "alice", n)));
    let reader = Reader::open(&path).unwrap();
    let table_by = |dims: &[&str]| {
        let query = query("2026-10-01T00:00:00Z", "2026-12-01T00:00:00Z", "Asia/Kolkata", dims);
        table(&reader.usage(&query).unwrap())
    };
    let owned = |rows: &[(&str, u64)]| -> Vec<_> {
        rows.iter().map(|(label, calls)| ((*label).to_owned(), *calls)).collect()
    };
    assert_eq!(table_by(&["month"]), owned(&[("2026-10", 1), ("2026-11", 2)]));
    assert_eq!(
        table_by(&["hour"]),
        owned(&[
            ("2026-10-31T23:00+05:30", 1),
            ("2026-11-01T00:00+05:30", 1),
            ("2026-11-01T05:00+05:30", 1)
        ])
    );
    assert_eq!(table_by(&[]), owned(&[("", 3)]));
}

#[test]
fn reports_group_by_names_and_tags_and_leave_refused_calls_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let tagged = |value: &str, call: CallRecord| CallRecord {
        tags: vec![(Arc::from("env"), Arc::from(value))],
        ..call
    };
    let refused = CallRecord {
        outcome: Outcome::Refused,
        cost: NanoUsd::ZERO,
        ..call("2026-11-21T10:00:03Z", "bob", 4)
    };
    let calls = [
        tagged("prod", call("2026-11-21T10:00:00Z", "alice", 1)),
        tagged("test", call("2026-11-21T10:00:01Z", "alice", 2)),
        call("2026-11-21T10:00:02Z", "bob", 3),
        refused,
    ];
    ledger(&path, "Asia/Seoul", calls);
    let reader = Reader::open(&path).unwrap();
    let query =
        |dims: &[&str]| query("2026-11-20T15:00:00Z", "2026-11-21T15:00:00Z", "Asia/Seoul", dims);
    let rows = reader.usage(&query(&["user", "tag:env"])).unwrap();
    let expected = [("alice prod", 1), ("alice test", 1), ("bob -", 1)];
    assert_eq!(table(&rows), expected.map(|(label, calls)| (label.to_owned(), calls)));
    let rows = reader.usage(&query(&["user"])).unwrap();
    assert_eq!(table(&rows), [("alice".to_owned(), 2), ("bob".to_owned(), 1)]);
    assert_eq!((rows[1].sums.refused, rows[1].sums.cost_usd.nanos()), (1, 3_000));
    let alice = UsageQuery { user: Some(Arc::from("alice")), ..query(&[]) };
    assert_eq!(reader.total(&alice).unwrap().cost_usd.nanos(), 3_000);
    let nobody = UsageQuery { user: Some(Arc::from("nobody")), ..query(&[]) };
    assert_eq!(reader.usage(&nobody).unwrap(), []);
    assert!("tag:".parse::<Dim>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_range_in_any_zone_equals_the_sum_of_its_calls(
        minutes in prop::collection::vec(0_i64..20_000, 1..60),
        from in 0_i64..20_000,
        length in 0_i64..20_000,
        ledger_zone in prop::sample::select(vec!["UTC", "Asia/Seoul", "America/New_York"]),
        zone in prop::sample::select(vec!["UTC", "Asia/Kathmandu", "America/New_York"]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let at = |minute: i64| {
            let start = time("2026-10-25T00:00:00Z").as_second();
            Timestamp::from_second(start + minute * 60 + minute % 60).unwrap()
        };
        let names = ["alice", "bob"];
        let calls: Vec<_> = (1..)
            .zip(&minutes)
            .map(|(n, minute)| call_at(at(*minute), names[usize::from(n % 2 == 0)], n))
            .collect();
        ledger(&path, ledger_zone, calls.clone());
        let reader = Reader::open(&path).unwrap();
        for user in [None, Some(Arc::from("bob"))] {
            let query = UsageQuery {
                zone: TimeZone::get(zone).unwrap(),
                group_by: vec![Dim::Day],
                user: user.clone(),
                ..UsageQuery::between(at(from), at(from + length))
            };
            let wanted = calls.iter().filter(|call| {
                call.time >= query.from
                    && call.time < query.to
                    && user.as_ref().is_none_or(|user| *user == call.user)
            });
            let mut expected = std::collections::BTreeMap::<String, (u64, i64)>::new();
            for call in wanted {
                let day = query.zone.to_datetime(call.time).date().to_string();
                let sums = expected.entry(day).or_default();
                sums.0 += 1;
                sums.1 += call.cost.nanos();
            }
            let rows: std::collections::BTreeMap<_, _> = reader
                .usage(&query)
                .unwrap()
                .into_iter()
                .map(|row| {
                    let day = row.group[0].as_deref().unwrap().to_owned();
                    (day, (row.sums.calls, row.sums.cost_usd.nanos()))
                })
                .collect();
            prop_assert_eq!(rows, expected);
        }
    }
}
