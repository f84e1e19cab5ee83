//! Schedules over changes of the clock: never twice, never left out, and caught up once.

use jiff::{SignedDuration, ToSpan as _};
use proptest::prelude::*;

use super::*;

const ZONES: [&str; 5] =
    ["Asia/Seoul", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC"];
/// Fixed times of the day, those that gaps and folds hit among them.
const DAILY: [&str; 7] =
    ["0 3 * * *", "30 2 * * *", "0 2 * * *", "15 2 * * *", "45 1 * * *", "30 1 * * *", "0 0 * * *"];
const OTHERS: [&str; 5] =
    ["* * * * *", "*/15 * * * *", "0 * * * *", "0 9 * * mon", "30 2 1,15 * *"];

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::new(text, TimeZone::get(zone).unwrap()).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

#[test]
fn a_time_of_the_day_comes_once_a_day_over_every_change_of_the_clock() {
    for zone in ZONES {
        for text in DAILY {
            let schedule = schedule(text, zone);
            let mut day = jiff::civil::date(2025, 1, 1);
            let start = day.to_zoned(schedule.zone().clone()).unwrap().timestamp();
            let mut due = later(start, -1);
            while day.year() < 2028 {
                due = schedule.next_after(due).unwrap();
                let local = due.to_zoned(schedule.zone().clone());
                assert_eq!(local.date(), day, "{text} in {zone}");
                day = day.checked_add(1.day()).unwrap();
            }
        }
    }
}

#[test]
fn a_time_in_a_gap_comes_when_the_gap_is_over_and_one_in_a_fold_at_its_first() {
    for (text, zone, before, due) in [
        ("30 2 * * *", "America/New_York", "2026-03-08T05:00:00Z", "2026-03-08T07:00:00Z"),
        ("30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T01:00:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z"),
        // Half an hour is skipped and repeated here.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T13:30:00Z", "2026-10-03T15:30:00Z"),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-04T14:45:00Z"),
        ("0 9 * * *", "Asia/Seoul", "2026-11-21T00:00:01Z", "2026-11-22T00:00:00Z"),
    ] {
        let schedule = schedule(text, zone);
        assert_eq!(schedule.next_after(at(before)), Some(at(due)), "{text} in {zone}");
        assert_eq!(schedule.last_until(at(due)), Some(at(due)), "{text} in {zone}");
    }
}

#[test]
fn a_pace_by_the_minute_is_kept_through_every_change_of_the_clock() {
    for zone in ZONES {
        let schedule = schedule("*/15 * * * *", zone);
        for start in ["2026-03-07T12:00:00Z", "2026-04-04T00:00:00Z", "2026-10-31T12:00:00Z"] {
            let mut due = at(start);
            for _ in 0..200 {
                let next = schedule.next_after(due).unwrap();
                assert_eq!(next.duration_since(due), SignedDuration::from_mins(15), "{zone}");
                due = next;
            }
        }
    }
}

#[test]
fn what_was_missed_is_due_once() {
    let schedule = schedule("0 3 * * *", "Asia/Seoul");
    let done = at("2026-11-18T18:00:00Z");
    // Down for three days.
    let now = at("2026-11-21T20:00:00Z");
    let Due::Now(due) = schedule.due(done, now) else { panic!("it is due") };
    assert_eq!(due, at("2026-11-21T18:00:00Z"), "for the last of them");
    assert_eq!(schedule.due(due, now), Due::At(at("2026-11-22T18:00:00Z")));
    assert_eq!(schedule.due(now, now), Due::At(at("2026-11-22T18:00:00Z")));
    // A clock that was put back does not bring a job again.
    assert_eq!(schedule.due(due, at("2026-11-20T00:00:00Z")), Due::At(at("2026-11-22T18:00:00Z")));
}

#[test]
fn what_is_no_schedule_is_refused() {
    let zone = TimeZone::UTC;
    assert_eq!(Schedule::new("0 0 31 2 *", zone.clone()), Err(WrongSchedule::Never));
    for wrong in ["", "0 3 * *", "0 25 * * *", "every day"] {
        let refused = Schedule::new(wrong, zone.clone());
        assert!(matches!(refused, Err(WrongSchedule::Unreadable(_))), "{wrong}: {refused:?}");
    }
    let leap = schedule("0 0 29 2 *", "UTC");
    assert_eq!(leap.next_after(at("2026-01-01T00:00:00Z")), Some(at("2028-02-29T00:00:00Z")));
    assert_eq!(leap.to_string(), "0 0 29 2 * UTC");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_next_and_what_came_last_agree(
        zone in 0..ZONES.len(),
        text in 0..DAILY.len() + OTHERS.len(),
        micros in 1_735_689_600_000_000_i64..1_830_297_600_000_000,
    ) {
        let text = DAILY.iter().chain(&OTHERS).nth(text).unwrap();
        let schedule = schedule(text, ZONES[zone]);
        let now = Timestamp::from_microsecond(micros).unwrap();
        let next = schedule.next_after(now).unwrap();
        prop_assert!(next > now);
        prop_assert_eq!(schedule.last_until(next), Some(next));
        let last = schedule.last_until(now).unwrap();
        prop_assert!(last <= now);
        prop_assert_eq!(schedule.next_after(last), Some(next));
        let seconds = next.as_second();
        prop_assert_eq!(schedule.next_after(Timestamp::from_second(seconds - 1).unwrap()), Some(next));
    }
}
