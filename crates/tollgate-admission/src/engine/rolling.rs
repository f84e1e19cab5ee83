//! A rolling window: the last so many calendar days, today included.
//!
//! One entry per day on which something was counted. What is read is the sum of the days that lie in
//! the window now, so a day leaves by itself. Old days are dropped only for want of room, never
//! because the clock says so: a clock that was wrong for a moment must not wipe a month of spending.
//! Days that lie ahead (the clock went back) count as well.

use jiff::tz::TimeZone;

use super::entry::{Entry, reserve_one};
use super::window::{self, Span};

/// The days of one counter.
#[derive(Clone, Debug)]
pub(super) struct Rolling {
    entries: Vec<Entry>,
    held: i64,
    /// The day of the last question, so that the zone is asked once a day.
    today: Span,
    number: u32,
    days: u16,
}

impl Rolling {
    /// The key of the newest entry.
    pub(super) fn newest(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.key.into())
    }

    pub(super) fn new(days: u16) -> Self {
        let never = Span { start: 0, end: 0 };
        Self { entries: Vec::new(), held: 0, today: never, number: 0, days: days.max(1) }
    }

    /// What the window holds now, and how much of it is reserved.
    pub(super) fn count(&mut self, zone: &TimeZone, now: i64) -> (i64, i64) {
        self.turn(zone, now);
        let window = self.in_window(self.number);
        let sum = window.fold(0i64, |sum, entry| sum.saturating_add(entry.amount()));
        let held = self.held.min(sum);
        (sum - held, held)
    }

    /// Reserves in the day of the last question; returns the day.
    pub(super) fn push(&mut self, amount: i64) -> i64 {
        self.held = self.held.saturating_add(amount);
        self.add(self.number, amount);
        i64::from(self.number)
    }

    /// Turns a reservation of that day into what was used.
    pub(super) fn settle(&mut self, day: i64, reserved: i64, actual: i64) {
        self.held = self.held.saturating_sub(reserved).max(0);
        self.add(number(day), actual.saturating_sub(reserved));
    }

    /// Adds history, in any order.
    pub(super) fn absorb(&mut self, zone: &TimeZone, at: i64, amount: i64) {
        if !self.today.holds(at) {
            let (span, day) = window::day(zone, at);
            if self.today.end <= span.start {
                (self.today, self.number) = (span, number(day));
            }
            return self.add(number(day), amount);
        }
        self.add(self.number, amount);
    }

    /// Takes the days of a gathered history; what is set aside stays, in the newest day.
    pub(super) fn adopt(&mut self, gathered: Self) {
        let before = std::mem::replace(self, gathered);
        if before.today.end > self.today.end {
            (self.today, self.number) = (before.today, before.number);
        }
        if before.held > 0 {
            self.held = before.held;
            self.add(before.number, before.held);
        }
    }

    /// The midnight at which so much has left the window, if ever.
    pub(super) fn frees_at(&self, zone: &TimeZone, amount: i64) -> Option<i64> {
        let mut left = amount;
        let day = self.in_window(self.number).find_map(|entry| {
            left = left.saturating_sub(entry.amount());
            (left <= 0).then_some(entry.key)
        })?;
        window::day_start(zone, i64::from(day) + i64::from(self.days))
    }

    /// The next midnight: before it nothing leaves.
    pub(super) fn turns_at(&self) -> i64 {
        self.today.end
    }

    /// The length of the window in milliseconds, days taken as 24 hours.
    pub(super) fn length(&self) -> i64 {
        i64::from(self.days).saturating_mul(86_400_000)
    }

    /// Whether it holds nothing that is still needed: a whole window has passed since the last
    /// question.
    pub(super) fn is_spent(&self, now: i64) -> bool {
        const DAY: i64 = 86_400_000;
        let end = self.today.end.saturating_add((i64::from(self.days) + 1).saturating_mul(DAY));
        self.held == 0 && (self.entries.is_empty() || end <= now)
    }

    fn turn(&mut self, zone: &TimeZone, now: i64) {
        if !self.today.holds(now) {
            let (span, day) = window::day(zone, now);
            (self.today, self.number) = (span, number(day));
        }
    }

    fn in_window(&self, today: u32) -> impl Iterator<Item = &Entry> {
        let first = (today + 1).saturating_sub(u32::from(self.days));
        let past = self.entries.iter().rev().take_while(|entry| entry.key >= first).count();
        self.entries.iter().skip(self.entries.len() - past)
    }

    fn add(&mut self, day: u32, amount: i64) {
        let after = self.entries.iter().rev().take_while(|entry| entry.key > day).count();
        let index = self.entries.len() - after;
        let known = index.checked_sub(1).and_then(|last| self.entries.get_mut(last));
        match known.filter(|entry| entry.key == day) {
            Some(entry) => {
                entry.add(amount);
            }
            None if amount > 0 => {
                reserve_one(&mut self.entries);
                self.entries.insert(index, Entry::new(day, amount));
                if self.entries.len() > usize::from(self.days) + 1 {
                    self.entries.remove(0);
                }
            }
            None => {}
        }
    }
}

/// The number of a day as a key; days before 1970 count as its first, and none is the last number,
/// so that "tomorrow" can be said of each.
fn number(day: i64) -> u32 {
    u32::try_from(day.max(0)).unwrap_or(u32::MAX).min(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn a_day_leaves_when_it_is_as_many_days_past_as_the_window_is_long() {
        let zone = TimeZone::UTC;
        let mut days = Rolling::new(3);
        for (day, amount) in [(10, 5), (11, 7), (13, 1)] {
            days.count(&zone, day * DAY);
            let key = days.push(amount);
            days.settle(key, amount, amount);
        }
        for (day, used) in [(13, 8), (14, 1), (15, 1), (16, 0)] {
            assert_eq!(days.count(&zone, day * DAY), (used, 0), "day {day}");
        }
        days.count(&zone, 13 * DAY);
        assert_eq!(days.frees_at(&zone, 7), Some(14 * DAY));
        assert_eq!(days.frees_at(&zone, 8), Some(16 * DAY));
        assert_eq!(days.frees_at(&zone, 9), None);
    }

    #[test]
    fn a_clock_that_is_wrong_for_a_moment_wipes_nothing() {
        let zone = TimeZone::UTC;
        let mut days = Rolling::new(30);
        days.count(&zone, 1_000 * DAY);
        days.push(5);
        assert_eq!(days.count(&zone, 9_000 * DAY), (0, 0));
        days.push(1);
        assert_eq!(days.count(&zone, 1_000 * DAY), (0, 6));
        days.settle(1_000, 5, 9);
        assert_eq!(days.count(&zone, 1_000 * DAY), (9, 1));
    }

    #[test]
    fn the_list_never_holds_more_days_than_the_window_and_one() {
        let zone = TimeZone::UTC;
        let mut days = Rolling::new(7);
        for day in 0..100 {
            days.count(&zone, day * DAY);
            days.push(1);
            assert!(days.entries.len() <= 8);
            assert_eq!(days.count(&zone, day * DAY), (0, (day + 1).min(7)));
        }
    }
}
