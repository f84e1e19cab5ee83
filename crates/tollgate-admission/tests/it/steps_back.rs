//! The clock steps back: no span of real time admits more than a sliding limit, no window more than
//! its own.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;
use tollgate_admission::engine::Demand;
use tollgate_domain::invariant::{within_limit, within_sliding};
use tollgate_domain::limit::{Metric, Window};

use crate::kit::{Desk, limit, plan, sliding, success, time, user};

#[test]
fn a_step_back_neither_opens_a_rate_nor_locks_it() {
    let mut desk = Desk::new(plan("free", [limit("burst", Metric::Requests, sliding(60), 2)]));
    desk.send("alice").unwrap();
    desk.send("alice").unwrap();
    desk.now -= SignedDuration::from_hours(5);
    let refusal = desk.send("alice").unwrap_err();
    assert_eq!(refusal.retry_after(desk.now), Some(Duration::from_mins(1)));
    desk.pass(Duration::from_mins(1));
    desk.send("alice").unwrap();
}

#[test]
fn a_clock_that_was_days_ahead_locks_nobody_out_when_it_is_put_right() {
    let mut desk = Desk::new(plan("free", [limit("daily", Metric::Successes, Window::Day, 2)]));
    for day in [20, 22, 9] {
        desk.now = time(&format!("2026-12-{day:02}T03:00:00Z"));
        for _ in 0..2 {
            desk.send("alice").unwrap();
        }
        assert!(desk.send("alice").is_err());
    }
    for day in 10..15 {
        desk.now = time(&format!("2026-12-{day:02}T03:00:00Z"));
        desk.send("alice").unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_in_real_time_however_often_the_clock_steps_back(
        moves in prop::collection::vec((0u64..40_000, 0i64..20), 1..150),
    ) {
        let mut desk = Desk::new(plan("free", [
            limit("burst", Metric::Requests, sliding(60), 5),
            limit("daily", Metric::Requests, Window::Day, 40),
        ]));
        desk.now = time("2026-11-21T14:30:00Z");
        let (mut real, mut log, mut days) = (0i64, Vec::new(), BTreeMap::new());
        let mut owed = 0;
        for (forward, back) in moves {
            // At most a day behind the latest time there was: two windows are remembered.
            let step = if back > 16 && owed < 72_000_000 { back * 400_000 } else { 0 };
            let forward = i64::try_from(forward).unwrap();
            desk.now += SignedDuration::from_millis(forward - step);
            owed = (owed + step - forward).max(0);
            real += forward;
            if let Ok(grant) = desk.admit(&user("alice"), &Demand::default()) {
                desk.settle(grant, &success(0, 0, 0));
                log.push((real, 1));
                *days.entry(desk.now.to_zoned(desk.plan.limits[1].zone.clone()).date()).or_insert(0) += 1;
            }
        }
        prop_assert!(within_sliding(&log, 60_000, 5), "{log:?}");
        prop_assert!(days.values().all(|used| within_limit(*used, 0, Some(40)) && *used <= 40));
    }
}
