//! One counter of one subject: the same questions to each form of window, and the memory of which
//! warnings it has given.

use tollgate_domain::limit::{Limit, Metric, Window};

use super::calendar::Calendar;
use super::rolling::Rolling;
use super::sliding::Sliding;

/// How long a window with carry-over is remembered after its end, in milliseconds: 400 days.
const CARRY_LINGER: i64 = 400 * 86_400_000;
/// How long what runs now keeps silent after a warning, in milliseconds.
const NOW_SILENCE: i64 = 60_000;

/// An instant as a stripe sees it, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The clock on the wall.
    pub(super) wall: i64,
    /// The stripe's own clock, which never runs backwards, rounded down: what "now" is for a
    /// sliding window.
    pub(super) steady: i64,
    /// The same rounded up: what an admission is stamped with.
    pub(super) stamp: i64,
}

/// What a counter holds now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) used: i64,
    pub(super) held: i64,
    /// The maximum; `None` is unlimited.
    pub(super) max: Option<i64>,
    /// The maximum with what is carried over.
    pub(super) ceiling: Option<i64>,
    /// The window.
    pub(super) key: i64,
    /// When something leaves it next, on the wall.
    pub(super) turns_at: Option<i64>,
}

impl Standing {
    /// A counter that nobody has touched.
    pub(super) const fn untouched(max: Option<i64>) -> Self {
        Self { used: 0, held: 0, max, ceiling: max, key: 0, turns_at: None }
    }

    /// How much more fits; `None` is any amount. Below zero where more was used than reserved.
    pub(super) fn room(&self) -> Option<i64> {
        self.ceiling.map(|ceiling| ceiling.saturating_sub(self.used).saturating_sub(self.held))
    }
}

/// A counter.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    /// Which limit it belongs to: the number that the table gave to the limit's identity.
    pub(super) identity: u32,
    warned: Warned,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    Calendar(Calendar),
    Sliding(Sliding),
    Rolling(Rolling),
}

/// Which steps have fired, and since when (seconds).
#[derive(Clone, Copy, Debug, Default)]
struct Warned {
    since: u32,
    steps: u16,
}

impl Counter {
    pub(super) fn new(identity: u32, window: Window) -> Self {
        let shape = match window {
            Window::Sliding { millis } => Shape::Sliding(Sliding::new(millis)),
            Window::Rolling { days } => Shape::Rolling(Rolling::new(days)),
            _ => Shape::Calendar(Calendar::new()),
        };
        Self { identity, warned: Warned::default(), shape }
    }

    /// When its newest entry was made, in the terms of its window.
    pub(super) fn newest(&self) -> i64 {
        match &self.shape {
            // It stands in the counter itself.
            Shape::Calendar(_) => 0,
            Shape::Sliding(sliding) => sliding.newest(),
            Shape::Rolling(rolling) => rolling.newest(),
        }
    }

    /// What it holds at this moment, against a maximum.
    pub(super) fn count(&mut self, limit: &Limit, max: Option<i64>, at: &Moment) -> Standing {
        match &mut self.shape {
            Shape::Calendar(calendar) => {
                let count = calendar.count(limit, max, at.wall);
                Standing {
                    used: count.used,
                    held: count.held,
                    max,
                    ceiling: max.map(|max| max.saturating_add(count.carry)),
                    key: count.key,
                    turns_at: Some(count.end).filter(|end| *end != i64::MAX),
                }
            }
            Shape::Sliding(log) => {
                let (used, held) = log.count(at.steady);
                let turns_at = log.turns_at().map(|end| on_wall(end, at));
                Standing { used, held, max, ceiling: max, key: at.stamp, turns_at }
            }
            Shape::Rolling(days) => {
                let (used, held) = days.count(&limit.zone, at.wall);
                let turns_at = Some(days.turns_at());
                Standing { used, held, max, ceiling: max, key: 0, turns_at }
            }
        }
    }

    /// Sets an amount aside in the window that was just counted; returns the window's key.
    pub(super) fn reserve(&mut self, limit: &Limit, key: i64, amount: i64) -> i64 {
        match &mut self.shape {
            Shape::Calendar(calendar) => calendar.push(key, amount),
            Shape::Sliding(log) => log.push(key, amount, !counts_admissions(limit)),
            Shape::Rolling(days) => return days.push(amount),
        }
        key
    }

    /// Turns what was reserved into what was used, in the window that it was taken from.
    pub(super) fn settle(&mut self, key: i64, reserved: i64, actual: i64, at: &Moment) {
        match &mut self.shape {
            Shape::Calendar(calendar) => calendar.settle(key, reserved, actual),
            Shape::Sliding(log) => log.settle(key, reserved, actual, at.steady),
            Shape::Rolling(days) => days.settle(key, reserved, actual),
        }
    }

    /// Adds history at an instant.
    pub(super) fn absorb(&mut self, limit: &Limit, max: Option<i64>, at: &Moment, amount: i64) {
        match &mut self.shape {
            Shape::Calendar(calendar) => calendar.absorb(limit, max, at.wall, amount),
            Shape::Sliding(log) => log.absorb(at.stamp, amount),
            Shape::Rolling(days) => days.absorb(&limit.zone, at.wall, amount),
        }
    }

    /// Takes a history that was gathered elsewhere in the place of what was used; what is set aside
    /// stays.
    pub(super) fn adopt(&mut self, gathered: Self) {
        match (&mut self.shape, gathered.shape) {
            (Shape::Calendar(to), Shape::Calendar(from)) => to.adopt(from),
            (Shape::Sliding(to), Shape::Sliding(from)) => to.adopt(from),
            (Shape::Rolling(to), Shape::Rolling(from)) => to.adopt(from),
            // One identity has one form of window.
            _ => {}
        }
    }

    /// When so much more will fit by time alone, on the wall. `need` is what is asked in all,
    /// `excess` by how much it is too much now.
    pub(super) fn frees_at(
        &self,
        limit: &Limit,
        standing: &Standing,
        (need, excess): (i64, i64),
        at: &Moment,
    ) -> Option<i64> {
        // What was carried over does not come again by itself.
        if standing.max.is_some_and(|max| need > max || max <= 0) {
            return None;
        }
        match &self.shape {
            Shape::Calendar(_) => standing.turns_at,
            Shape::Sliding(log) => log.frees_at(excess).map(|end| on_wall(end, at)),
            Shape::Rolling(days) => days.frees_at(&limit.zone, excess),
        }
    }

    /// What is used now, for warnings; `None` where the amount went into a window that is over.
    pub(super) fn used(&mut self, limit: &Limit, key: i64, at: &Moment) -> Option<i64> {
        match &mut self.shape {
            Shape::Calendar(calendar) => calendar.used_in(key),
            Shape::Sliding(log) => Some(log.count(at.steady).0),
            Shape::Rolling(days) => Some(days.count(&limit.zone, at.wall).0),
        }
    }

    /// Which steps of use were reached from `before` to `after` and have not fired in this window,
    /// in parts per thousand; they count as fired. In a window that holds still, one that was passed
    /// before fires too: after a restart nobody knows whether it was told. What comes and goes by
    /// itself (a rate, what runs at once) fires only as it crosses.
    pub(super) fn crossed(
        &mut self,
        limit: &Limit,
        ceiling: i64,
        (before, after): (i64, i64),
        at: &Moment,
    ) -> Vec<u16> {
        let mut fired = Vec::new();
        if limit.warn_at.is_empty() {
            return fired;
        }
        self.rearm(limit, ceiling, before, at);
        let comes_and_goes = matches!(self.shape, Shape::Sliding(_)) || limit.window == Window::Now;
        for (index, step) in limit.warn_at.iter().enumerate() {
            let threshold = threshold(ceiling, *step);
            let reached = threshold <= after && (!comes_and_goes || before < threshold);
            if reached && self.fire(index, at) {
                fired.push(*step);
            }
        }
        fired
    }

    /// Which steps at or above the whole fire because a call was refused. A fresh budget that
    /// refuses one oversized call is not used up, so at least half must be.
    pub(super) fn refused(&mut self, limit: &Limit, standing: &Standing, at: &Moment) -> Vec<u16> {
        let ceiling = standing.ceiling.unwrap_or(i64::MAX);
        let taken = standing.used.saturating_add(standing.held);
        let mut fired = Vec::new();
        if ceiling > 0 && taken >= threshold(ceiling, 500) {
            self.rearm(limit, ceiling, taken, at);
            for (index, step) in
                limit.warn_at.iter().enumerate().filter(|(_, step)| **step >= 1_000)
            {
                if self.fire(index, at) {
                    fired.push(*step);
                }
            }
        }
        fired
    }

    /// Whether it can be forgotten.
    pub(super) fn is_spent(&self, now: &Moment, carries: bool) -> bool {
        match &self.shape {
            Shape::Calendar(calendar) => {
                calendar.is_spent(now.wall, if carries { CARRY_LINGER } else { 0 })
            }
            Shape::Sliding(log) => log.is_spent(now.steady),
            Shape::Rolling(days) => days.is_spent(now.wall),
        }
    }

    /// Whether its window never ends.
    pub(super) const fn is_endless(&self) -> bool {
        match &self.shape {
            Shape::Calendar(calendar) => calendar.is_endless(),
            Shape::Sliding(_) | Shape::Rolling(_) => false,
        }
    }

    /// Forgets what fired in a window that is over, or before use fell low (a top-up, a raised
    /// maximum).
    fn rearm(&mut self, limit: &Limit, ceiling: i64, before: i64, at: &Moment) {
        let since = i64::from(self.warned.since).saturating_mul(1_000);
        let over = match &self.shape {
            Shape::Sliding(log) => since.saturating_add(log.length()) <= at.wall,
            Shape::Rolling(days) => since.saturating_add(days.length()) <= at.wall,
            Shape::Calendar(_) if limit.window == Window::Now => {
                since.saturating_add(NOW_SILENCE) <= at.wall
            }
            Shape::Calendar(calendar) => {
                let least = limit.warn_at.iter().copied().min().unwrap_or(0).min(500);
                since < calendar.start() || before < threshold(ceiling, least)
            }
        };
        if over {
            self.warned.steps = 0;
        }
    }

    /// Marks a step as fired; whether it had not been. Only the first sixteen steps are remembered.
    fn fire(&mut self, index: usize, at: &Moment) -> bool {
        let bit = u32::try_from(index).ok().and_then(|index| 1u16.checked_shl(index)).unwrap_or(0);
        let fresh = self.warned.steps & bit == 0;
        if self.warned.steps == 0 {
            // Rounded up, so that it is never before the window's own start.
            let seconds = at.wall.max(0) / 1_000 + 1;
            self.warned.since = u32::try_from(seconds).unwrap_or(u32::MAX);
        }
        self.warned.steps |= bit;
        fresh
    }
}

/// Whether a limit counts admissions as such: those stay counted whatever becomes of the call.
pub(super) fn counts_admissions(limit: &Limit) -> bool {
    limit.metric == Metric::Requests && matches!(limit.window, Window::Sliding { .. })
}

/// An instant of the steady clock on the wall.
fn on_wall(steady: i64, at: &Moment) -> i64 {
    at.wall.saturating_add(steady.saturating_sub(at.steady))
}

/// The least use that reaches a step, given in parts per thousand.
fn threshold(ceiling: i64, step: u16) -> i64 {
    let (ceiling, step) = (ceiling.max(0), i64::from(step));
    let (whole, rest) = (ceiling / 1_000, ceiling % 1_000);
    whole.saturating_mul(step).saturating_add((rest * step + 999) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_small() {
        assert!(size_of::<Counter>() <= 104, "{}", size_of::<Counter>());
    }

    #[test]
    fn thresholds_are_the_least_use_that_reaches_them() {
        for (ceiling, step, least) in
            [(10, 800, 8), (3, 500, 2), (1, 800, 1), (i64::MAX, 1_000, i64::MAX)]
        {
            assert_eq!(threshold(ceiling, step), least);
        }
    }
}
