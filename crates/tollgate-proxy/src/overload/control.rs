//! How many calls a second may pass, from what is seen interval by interval. Arithmetic only: what is
//! seen comes from outside.

use std::time::Duration;

use super::TICK;

/// Intervals for which a queue must have stood before calls are refused: half a second.
const ONSET: u32 = 10;
/// By how many the calls under way and the connections may have grown since the queue stands.
const CROWD: i64 = 1_024;
/// The part of the delay that is borne, which is a queue where there are too many already.
const SHORT: u32 = 4;
/// So many calls and connections are no overload, whatever the machine does.
const FEW: i64 = 32;
/// Intervals in which nobody was refused and no queue stood, after which all may pass.
const OVER: u32 = 10;
/// The part of the calls that pass which may go on passing where the queue does not get shorter.
const FEWER: f64 = 0.7;
/// Parts of the calls that passed when the last queue came: how many may soon pass again, by how many
/// more with each interval until then, and by how many after it.
const NEARLY: f64 = 0.9;
const AGAIN: f64 = 0.05;
const MORE: f64 = 0.005;
/// Intervals without a queue after which the last step is twice as long.
const TWICE: u32 = 20;
/// The part of the calls that passed as it began which passes however long the queue is, and the fewest
/// calls a second, or nobody would see that the queue is gone.
const SOME: f64 = 0.125;
const LEAST: f64 = 50.0;

/// Says how many calls a second may pass.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// How many, where not all may.
    rate: Option<f64>,
    /// How many do in any case.
    least: f64,
    /// How many did when the last queue came.
    peak: f64,
    /// Intervals without a queue since.
    good: u32,
    /// Intervals for which a queue has stood that is not borne.
    stood: u32,
    /// Intervals for which nobody was refused and no queue stood.
    calm: u32,
    /// The delay of the interval before.
    last: Duration,
    /// How many there were when the short queue began to stand.
    before: Load,
}

/// What was seen in an interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Interval {
    /// How long it took, by the clock on the wall.
    pub(super) length: Duration,
    /// The median of the delays in it.
    pub(super) delay: Duration,
    /// How many calls passed, and how many were refused.
    pub(super) passed: u32,
    pub(super) refused: u32,
    /// What is there at its end.
    pub(super) load: Load,
}

/// What is there to be served.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// Calls under way.
    pub(super) calls: i64,
    /// Connections of clients.
    pub(super) connections: i64,
}

impl Load {
    /// Whether there is too little for an overload.
    fn is_small(self) -> bool {
        self.calls.max(self.connections) <= FEW
    }

    /// Whether far more is there than before.
    fn is_crowd(self, before: Self) -> bool {
        let more = |now: i64, before: i64| now.saturating_sub(before) > CROWD;
        more(self.calls, before.calls) || more(self.connections, before.connections)
    }
}

impl Control {
    /// An interval is over; `most` is the delay that is borne.
    pub(super) fn interval(&mut self, seen: Interval, most: Duration) -> Option<f64> {
        let queue = seen.delay > most / SHORT;
        let grows = seen.delay >= std::mem::replace(&mut self.last, seen.delay);
        let stands = seen.delay > most && !seen.load.is_small();
        self.stood = if stands { self.stood.saturating_add(1) } else { 0 };
        self.calm = if queue || seen.refused > 0 { 0 } else { self.calm.saturating_add(1) };
        let passed = f64::from(seen.passed) / seen.length.as_secs_f64().max(TICK.as_secs_f64());
        self.rate = match self.rate {
            None if self.stood >= ONSET || (queue && seen.load.is_crowd(self.before)) => {
                (self.peak, self.least) = (passed, (passed * SOME).max(LEAST));
                Some(passed * FEWER)
            }
            None => None,
            Some(_) if self.calm >= OVER => None,
            Some(rate) if queue && grows => {
                self.peak = if self.good > 0 { rate } else { self.peak };
                Some(rate * FEWER)
            }
            Some(rate) if !queue && seen.refused > 0 => Some(rate + self.peak * self.step(rate)),
            same => same,
        };
        self.rate = self.rate.map(|rate| rate.max(self.least));
        self.good = if queue { 0 } else { self.good.saturating_add(1) };
        if !queue {
            self.before = seen.load;
        }
        self.rate
    }

    /// How many more may pass, as a part of the peak.
    fn step(&self, rate: f64) -> f64 {
        if rate < self.peak * NEARLY {
            return AGAIN;
        }
        let doubled = 1_u32.checked_shl(self.good / TWICE).unwrap_or(u32::MAX);
        MORE * f64::from(doubled)
    }
}

#[cfg(test)]
mod tests {
    use super::super::INTERVAL;
    use super::*;

    const BORNE: Duration = Duration::from_millis(16);

    fn seen(delay_ms: u64, refused: u32, calls: i64) -> Interval {
        Interval {
            length: TICK * INTERVAL,
            delay: Duration::from_millis(delay_ms),
            passed: 100,
            refused,
            load: Load { calls, connections: 7 },
        }
    }

    /// Intervals, each with its delay in milliseconds and the calls under way.
    fn run(control: &mut Control, intervals: &[(u64, i64)]) -> Option<f64> {
        intervals
            .iter()
            .fold(control.rate, |_, (ms, calls)| control.interval(seen(*ms, 0, *calls), BORNE))
    }

    fn is(rate: Option<f64>, expected: f64) -> bool {
        rate.is_some_and(|rate| (rate - expected).abs() < 1e-6)
    }

    /// A hundred calls passed in 50 ms.
    const PASSED: f64 = 2_000.0;

    #[test]
    fn a_queue_that_stands_has_calls_refused_and_a_crowd_or_a_hiccup_does_not() {
        let mut control = Control::default();
        assert_eq!(run(&mut control, &[(500, 10), (1, 10), (900, 10), (2, 10)]), None, "hiccups");
        let crowd: Vec<(u64, i64)> =
            (0..9).rev().map(|left| (left * 50, i64::try_from(left).unwrap() * 100)).collect();
        assert_eq!(run(&mut control, &crowd), None, "a crowd that is served in its turn");
        assert_eq!(run(&mut control, &[(16, 60); 100]), None, "a few who keep the machine busy");
        assert_eq!(run(&mut control, &[(99, 32); 100]), None, "a few on a machine that is slow");
        assert_eq!(run(&mut control, &[(17, 60); 9]), None, "it has not stood for long enough");
        assert!(is(run(&mut control, &[(17, 60)]), PASSED * FEWER));
    }

    #[test]
    fn what_passes_follows_the_queue() {
        let mut control = Control {
            rate: Some(1_000.0),
            least: 70.0,
            peak: 9_000.0,
            good: 1,
            ..Control::default()
        };
        let mut next = |ms, refused| control.interval(seen(ms, refused, 60), BORNE);
        assert!(is(next(5, 9), 700.0), "a short queue counts");
        assert!(is(next(9, 9), 490.0), "and a longer one");
        assert!(is(next(8, 9), 490.0), "one that gets shorter is waited for");
        assert!(is(next(2, 9), 540.0), "without one more may pass");
        assert!(is(next(2, 0), 540.0), "not where all have passed");
        for _interval in 0..8 {
            next(2, 9);
        }
        assert!(is(next(2, 9), 945.0), "carefully, from nearly as many as when the queue came");
        for _interval in 0..99 {
            next(50, 9);
        }
        assert!(is(next(50, 9), 70.0), "some always pass");
    }

    #[test]
    fn a_flood_is_refused_before_its_queue_has_stood_for_long() {
        let mut control = Control::default();
        assert_eq!(run(&mut control, &[(0, 3_000), (5, 4_000)]), None, "a thousand more");
        assert!(run(&mut control, &[(5, 4_025)]).is_some());
        let mut control = Control::default();
        let connected = |delay, connections| Interval {
            load: Load { calls: 60, connections },
            ..seen(delay, 0, 60)
        };
        assert_eq!(control.interval(connected(0, 5_000), BORNE), None);
        assert_eq!(control.interval(connected(5, 6_024), BORNE), None);
        assert!(control.interval(connected(5, 6_025), BORNE).is_some());
    }

    #[test]
    fn all_may_pass_half_a_second_after_the_overload() {
        let mut control = Control { rate: Some(1_000.0), ..Control::default() };
        assert!(run(&mut control, &[(0, 5); 9]).is_some());
        assert_eq!(run(&mut control, &[(0, 5)]), None);
        assert_eq!(TICK * INTERVAL * OVER, Duration::from_millis(500));
    }
}
