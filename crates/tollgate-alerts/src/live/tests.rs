//! What the live counters make of calls, and how much they hold at most.

use jiff::SignedDuration;
use tollgate_domain::money::NanoUsd;

use super::*;
use crate::condition::Condition;
use crate::sample::{at, call, usd};

fn table(measure: &str) -> Table {
    let condition: Condition =
        format!("{measure} > 1ms").parse().or_else(|_| format!("{measure} > 1").parse()).unwrap();
    Table::new(condition.measure, TimeZone::get("Asia/Seoul").unwrap())
}

fn only(values: &[(Arc<str>, i64)]) -> Option<i64> {
    assert!(values.len() <= 1, "{values:?}");
    values.first().map(|(_, value)| *value)
}

#[test]
fn a_sliding_window_holds_its_length_and_little_more() {
    let start = at("2026-11-21T00:00:00Z");
    let mut table = table("cost_usd{by=user,window=1h}");
    table.observe(&call("alice", start, usd("2")));
    let value = |table: &mut Table, minutes| {
        only(&table.values(start + SignedDuration::from_mins(minutes)))
    };
    assert_eq!(value(&mut table, 0), Some(2_000_000_000));
    assert_eq!(value(&mut table, 59), Some(2_000_000_000));
    assert_eq!(value(&mut table, 64), None, "it is forgotten");
    assert!(table.cells.is_empty());
}

#[test]
fn a_day_begins_in_its_zone_and_counts_by_arrival() {
    let mut table = table("cost_usd{window=day}");
    let before =
        CallRecord { latency_us: 3_600_000_000, ..call("a", at("2026-11-20T14:59:00Z"), usd("5")) };
    table.observe(&before);
    table.observe(&call("b", at("2026-11-20T15:01:00Z"), usd("1")));
    table.observe(&call("c", at("2026-11-21T14:59:59Z"), usd("2")));
    assert_eq!(only(&table.values(at("2026-11-21T14:59:59Z"))), Some(3_000_000_000));
    assert_eq!(only(&table.values(at("2026-11-21T15:00:00Z"))), None);
}

#[test]
fn each_metric_counts_what_it_says() {
    let now = at("2026-11-21T00:00:00Z");
    let good = call("alice", now, usd("0.5"));
    let refused = |status: u16, code: &str, user: &str| CallRecord {
        status,
        outcome: Outcome::Refused,
        error_type: Some(code.into()),
        ..call(user, now, NanoUsd::ZERO)
    };
    let calls = [
        good.clone(),
        CallRecord { cost: usd("3"), latency_us: 900_000, ttft_us: Some(100_000), ..good.clone() },
        CallRecord { status: 502, outcome: Outcome::Failed, ..good.clone() },
        CallRecord { outcome: Outcome::Failed, ..good.clone() },
        CallRecord { status: 400, outcome: Outcome::Failed, ..good.clone() },
        CallRecord { status: 499, outcome: Outcome::Cancelled, ..good.clone() },
        refused(429, "rate_limited", "alice"),
        refused(503, "degraded", "alice"),
        refused(503, "kill_switch", "alice"),
        refused(401, "unauthenticated", ""),
        call("guest:10.0.0.1", now, usd("0.1")),
    ];
    for (measure, value) in [
        ("cost_usd{window=5m}", 5_600_000_000),
        ("calls{window=5m}", 7),
        ("failed_calls{window=5m}", 3),
        ("refusals{window=5m}", 4),
        ("guest_calls{window=5m}", 2),
        ("tokens{window=5m}", 11 * 150),
        ("call_cost_usd{window=5m}", 3_000_000_000),
        ("error_rate{window=5m,min_calls=1}", 500_000),
        ("calls{window=5m,user=alice}", 6),
        ("calls{window=5m,user=al*}", 6),
        ("calls{by=user,window=5m,user=guest*}", 1),
    ] {
        let mut table = table(measure);
        for call in &calls {
            table.observe(call);
        }
        let values = table.values(now + SignedDuration::from_secs(1));
        assert_eq!(only(&values), Some(value), "{measure}");
    }
    for (measure, most) in [
        ("latency_p50{window=5m,min_calls=1}", 1_000),
        ("ttft_p99{window=5m,min_calls=1}", 112_500),
    ] {
        let mut table = table(measure);
        for call in &calls {
            table.observe(call);
        }
        let told = only(&table.values(now + SignedDuration::from_secs(1))).unwrap();
        assert!(told > 0 && told <= most.max(1_125), "{measure}: {told}");
    }
    let mut few = table("error_rate{window=5m}");
    for call in &calls {
        few.observe(call);
    }
    assert_eq!(few.values(now), [], "eight calls tell no rate");
}

#[test]
fn a_table_is_bounded_and_keeps_whoever_uses_most() {
    let now = at("2026-11-21T00:00:00Z");
    let mut table = Table { most: 1_000, ..table("cost_usd{by=user,window=1h}") };
    table.observe(&call("runaway", now, usd("50")));
    for user in 0..50_000 {
        table.observe(&call(&format!("u{user}"), now, usd("0.001")));
        assert!(table.cells.len() <= 1_001);
    }
    let values = table.values(now);
    assert!(values.iter().any(|(name, value)| &**name == "runaway" && *value == 50_000_000_000));
}
