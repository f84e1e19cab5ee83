//! Calendar and rolling windows against the calendar itself, around every change of the clocks from
//! 2020 to 2035, and a sliding window against a log.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use tollgate_admission::engine::Demand;
use tollgate_domain::invariant::within_sliding;
use tollgate_domain::limit::{Limit, Metric, Window};

use crate::kit::{Desk, limit, plan, sliding, time, user};

const ZONES: [&str; 4] = ["Asia/Seoul", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"];

/// The instants from 2020 to 2035 at which the zone's clocks change, and the first of each month.
fn instants_of_interest(zone: &TimeZone) -> Vec<Timestamp> {
    let (from, to) = (time("2020-01-01T00:00:00Z"), time("2036-01-01T00:00:00Z"));
    let changes = zone.following(from).map(|change| change.timestamp());
    let mut instants: Vec<Timestamp> = changes.take_while(|at| *at < to).collect();
    for month in 0..(16 * 12) {
        let first = jiff::civil::date(2020, 1, 1).checked_add(month.months()).unwrap();
        instants.push(first.to_zoned(zone.clone()).unwrap().timestamp());
    }
    instants.sort();
    instants
}

/// Around each instant: so many steps of so many minutes either way, and a moment before each.
fn around(instants: &[Timestamp], steps: i64, minutes: i64) -> BTreeSet<Timestamp> {
    let near = |instant: &Timestamp| {
        let instant = *instant;
        (-steps..=steps).flat_map(move |step| {
            let at = instant + SignedDuration::from_mins(step * minutes);
            [at - SignedDuration::from_millis(1), at]
        })
    };
    instants.iter().flat_map(near).collect()
}

/// Which window of the kind a date lies in, told by the calendar.
fn window_of(window: Window, date: Date) -> String {
    match window {
        Window::Day => date.to_string(),
        Window::Week => {
            let week = date.iso_week_date();
            format!("{} week {}", week.year(), week.week())
        }
        _ => format!("{}-{}", date.year(), date.month()),
    }
}

#[test]
fn calendar_windows_turn_when_the_date_does_in_every_zone() {
    let mut changes = BTreeMap::new();
    for name in ZONES {
        let zone = TimeZone::get(name).unwrap();
        let instants = instants_of_interest(&zone);
        changes.insert(name, instants.len() - 16 * 12);
        let kinds = [Window::Day, Window::Week, Window::Month];
        let mut seen = [const { BTreeSet::new() }; 3];
        let of_kind = |window: Window| Limit {
            zone: zone.clone(),
            ..limit(&window.to_string(), Metric::Requests, window, 1)
        };
        let mut desks = kinds.map(|window| Desk::new(plan("free", [of_kind(window)])));
        for at in around(&instants, 12, 30) {
            let date = at.to_zoned(zone.clone()).date();
            for ((window, desk), seen) in kinds.iter().zip(&mut desks).zip(&mut seen) {
                desk.now = at;
                let fresh = seen.insert(window_of(*window, date));
                assert_eq!(desk.send_one(), fresh, "{name} {window} {at}");
            }
        }
    }
    // Korea has not changed its clocks since 1988; the others did twice a year (the zone database
    // of the machine may know better for years to come).
    assert_eq!(changes["Asia/Seoul"], 0);
    assert!(changes["Australia/Lord_Howe"] >= 10, "{changes:?}");
}

#[test]
fn rolling_windows_hold_the_last_dates_in_every_zone() {
    for name in ZONES {
        let zone = TimeZone::get(name).unwrap();
        let rolling = Limit {
            zone: zone.clone(),
            ..limit("rolling", Metric::Requests, Window::Rolling { days: 3 }, 5)
        };
        let mut desk = Desk::new(plan("free", [rolling]));
        let mut taken: BTreeMap<Date, usize> = BTreeMap::new();
        let instants = instants_of_interest(&zone);
        for at in around(&instants, 14, 180) {
            desk.now = at;
            let date = at.to_zoned(zone.clone()).date();
            let first = date.checked_sub(2.days()).unwrap();
            let used: usize = taken.range(first..=date).map(|(_, count)| count).sum();
            let passed = desk.send_one();
            assert_eq!(passed, used < 5, "{name} {at}: {used} used");
            *taken.entry(date).or_default() += usize::from(passed);
        }
    }
}

#[test]
fn a_sliding_window_is_the_log_of_the_last_span() {
    let mut desk = Desk::new(plan("free", [limit("burst", Metric::Requests, sliding(10), 7)]));
    let mut log: Vec<(i64, i64)> = Vec::new();
    let mut seed = 1u64;
    let mut refused = 0;
    for _ in 0..20_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Steps of up to three seconds, in microseconds.
        desk.now += SignedDuration::from_micros(i64::try_from((seed >> 33) % 3_000_000).unwrap());
        let now = desk.now.as_microsecond();
        let in_span = log.iter().rev().take_while(|(at, _)| now - at < 10_000_000).count();
        if desk.send_one() {
            assert!(in_span < 7);
            log.push((now, 1));
        } else {
            // Instants are rounded to milliseconds, so one may count for up to two longer.
            let nearly = log.iter().rev().take_while(|(at, _)| now - at < 10_002_000).count();
            assert!(nearly >= 7, "{nearly}");
            refused += 1;
        }
    }
    assert!(within_sliding(&log, 10_000_000, 7));
    assert!(refused > 1_000 && log.len() > 5_000, "{refused} {}", log.len());
}

impl Desk {
    /// Whether a call that completes at once is admitted.
    fn send_one(&self) -> bool {
        let grant = self.admit(&user("alice"), &Demand::default());
        let passed = grant.is_ok();
        if let Ok(grant) = grant {
            self.settle(grant, &crate::kit::success(0, 0, 0));
        }
        passed
    }
}
