//! When a message that was not taken is sent again, and when it is given up.
//!
//! Pure: the time and what came back are arguments. Waits differ a little from message to message,
//! so that many do not come back to a service at the same moment.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::channel::Verdict;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The waits of webhooks, as Standard Webhooks proposes them.
const WEBHOOK: &[Duration] = &[
    seconds(5),
    seconds(5 * 60),
    seconds(30 * 60),
    seconds(2 * 3_600),
    seconds(5 * 3_600),
    seconds(10 * 3_600),
    seconds(14 * 3_600),
    seconds(20 * 3_600),
    seconds(24 * 3_600),
];
/// The waits of services that people look at: after a working day the news is old.
const PEOPLE: &[Duration] = &[
    seconds(5),
    seconds(30),
    seconds(2 * 60),
    seconds(10 * 60),
    seconds(30 * 60),
    seconds(3_600),
    seconds(2 * 3_600),
    seconds(4 * 3_600),
];
/// No service keeps a channel waiting for longer than this, whatever it asks for.
const LONGEST: Duration = Duration::from_hours(24);

/// What becomes of a message after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It was delivered.
    Done,
    /// It is sent again then, and the channel is left alone until then where the service asked so.
    Again {
        /// When.
        at: Timestamp,
        /// Until when the channel is left alone.
        pause: Option<Timestamp>,
    },
    /// It is given up.
    GiveUp {
        /// Why.
        why: String,
        /// Whether the channel takes nothing any more.
        is_disabled: bool,
    },
}

/// What becomes of a message on a channel of this kind that has been sent `attempts` times, the last
/// one included.
pub fn next(kind: &str, attempts: u32, verdict: &Verdict, (now, seed): (Timestamp, u64)) -> Next {
    let (why, asked) = match verdict {
        Verdict::Delivered => return Next::Done,
        Verdict::Refused { why } => {
            return Next::GiveUp { why: why.clone(), is_disabled: false };
        }
        Verdict::Gone { why } => return Next::GiveUp { why: why.clone(), is_disabled: true },
        Verdict::Later { why, after } => (why, *after),
    };
    let waits = if kind == "webhook" { WEBHOOK } else { PEOPLE };
    let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(wait) = waits.get(place) else {
        // An endpoint that was away for days takes nothing any more.
        return Next::GiveUp { why: why.clone(), is_disabled: kind == "webhook" };
    };
    let wait = spread(*wait, seed).max(asked.unwrap_or_default()).min(LONGEST);
    let later = |wait: Duration| {
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::ZERO);
        now.checked_add(wait).unwrap_or(now)
    };
    Next::Again { at: later(wait), pause: asked.map(|asked| later(asked.min(LONGEST))) }
}

/// How long a channel of this kind rests between two messages.
pub fn pace(kind: &str) -> Duration {
    // Slack takes about one message a second.
    if kind == "slack" { seconds(1) } else { Duration::ZERO }
}

/// A wait, up to a tenth longer.
fn spread(wait: Duration, seed: u64) -> Duration {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let share = u32::try_from((z >> 33) % 1_000).unwrap_or_default();
    wait + wait / 10_000 * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::at;

    fn later(after: Option<u64>) -> Verdict {
        Verdict::Later { why: "it answers 503".to_owned(), after: after.map(seconds) }
    }

    /// Seconds until it is sent again, attempt by attempt, until it is given up.
    fn waits(kind: &str) -> (Vec<i64>, Next) {
        let now = at("2026-11-21T00:00:00Z");
        let mut waits = Vec::new();
        for attempt in 1.. {
            match next(kind, attempt, &later(None), (now, u64::from(attempt))) {
                Next::Again { at, pause: None } => waits.push(at.duration_since(now).as_secs()),
                last => return (waits, last),
            }
        }
        unreachable!()
    }

    #[test]
    fn waits_grow_as_standard_webhooks_proposes_and_end() {
        let (told, last) = waits("webhook");
        let hours = 3_600;
        let expected =
            [5, 300, 1_800, 2 * hours, 5 * hours, 10 * hours, 14 * hours, 20 * hours, 24 * hours];
        assert_eq!(told.len(), expected.len());
        for (told, expected) in told.iter().zip(expected) {
            assert!((expected..=expected * 11 / 10).contains(told), "{told} of {expected}");
        }
        assert!(matches!(last, Next::GiveUp { is_disabled: true, .. }));
        let (told, last) = waits("slack");
        assert_eq!(told.len(), PEOPLE.len());
        assert!(matches!(last, Next::GiveUp { is_disabled: false, .. }));
    }

    #[test]
    fn a_service_may_ask_for_more_and_is_left_alone() {
        let now = at("2026-11-21T00:00:00Z");
        let told = next("slack", 1, &later(Some(60)), (now, 1));
        let minute = at("2026-11-21T00:01:00Z");
        assert_eq!(told, Next::Again { at: minute, pause: Some(minute) });
        let told = next("slack", 1, &later(Some(u64::MAX)), (now, 1));
        assert_eq!(
            told,
            Next::Again { at: at("2026-11-22T00:00:00Z"), pause: Some(at("2026-11-22T00:00:00Z")) }
        );
        assert_eq!(next("slack", 1, &Verdict::Delivered, (now, 1)), Next::Done);
        let why = || "no".to_owned();
        assert_eq!(
            next("email", 1, &Verdict::Refused { why: why() }, (now, 1)),
            Next::GiveUp { why: why(), is_disabled: false }
        );
        assert_eq!(
            next("email", 1, &Verdict::Gone { why: why() }, (now, 1)),
            Next::GiveUp { why: why(), is_disabled: true }
        );
    }
}
