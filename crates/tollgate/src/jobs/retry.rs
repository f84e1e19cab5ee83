//! When a job that failed is tried again for the same instant. What is only looked at once a day or a
//! week would otherwise be lost to one bad minute. Pure.

use jiff::{SignedDuration, Timestamp};

use super::later;
use crate::config::JobKind;
use crate::schedule::Schedule;

/// The pauses before each further try.
const PAUSES: [SignedDuration; 5] = [
    SignedDuration::from_secs(10),
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(15),
    SignedDuration::from_mins(45),
];

/// Whether a failed run of a job is tried again. The others fail for what they find (a ledger that
/// is not sound), or come again soon.
pub(super) const fn is_retried(kind: JobKind) -> bool {
    matches!(kind, JobKind::DailyReport | JobKind::WeeklyReport | JobKind::PriceRefresh)
}

/// When a run for the instant `due`, which has failed at `now` after `tries` others, is tried again;
/// `None` where it is given up, because of so many or because the next instant comes before.
pub(super) fn again(
    kind: JobKind,
    schedule: &Schedule,
    (due, tries): (Timestamp, u32),
    now: Timestamp,
) -> Option<Timestamp> {
    let pause = usize::try_from(tries).ok().and_then(|tries| PAUSES.get(tries));
    let again = later(now, *pause.filter(|_| is_retried(kind))?);
    let is_next = schedule.next_after(due).is_some_and(|next| next <= again);
    (!is_next).then_some(again)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_report_is_tried_again_with_growing_pauses_and_given_up() {
        let daily = Schedule::new("0 9 * * *", TimeZone::UTC).unwrap();
        let due: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        let (mut now, mut tries, mut before) = (due, 0, SignedDuration::ZERO);
        while let Some(next) = again(JobKind::DailyReport, &daily, (due, tries), now) {
            assert!(next.duration_since(now) > before, "try {tries}");
            before = next.duration_since(now);
            (now, tries) = (next, tries + 1);
        }
        assert_eq!(tries, 5);
        assert!(now.duration_since(due) > SignedDuration::from_hours(1));
        assert_eq!(again(JobKind::RollupCheck, &daily, (due, 0), due), None);
    }

    #[test]
    fn a_try_never_runs_into_the_next_instant() {
        let often = Schedule::new("* * * * *", TimeZone::UTC).unwrap();
        let due: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        assert!(again(JobKind::PriceRefresh, &often, (due, 0), due).is_some());
        assert_eq!(
            again(JobKind::PriceRefresh, &often, (due, 1), due),
            None,
            "it comes in a minute"
        );
        let late = later(due, SignedDuration::from_secs(55));
        assert_eq!(again(JobKind::PriceRefresh, &often, (due, 0), late), None);
    }
}
