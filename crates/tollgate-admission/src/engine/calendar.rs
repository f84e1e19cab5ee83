//! A window with fixed ends: day, week, month, and "for ever" (total, balance, what runs now).
//!
//! Two windows are remembered: the newest and one before it. The older takes what was admitted in it
//! and settles late, tells what is carried over, and serves when the clock steps back over the turn.
//! Where the clock steps back further, to a window that is no longer remembered, that window starts
//! afresh as the older one: to refuse there would lock everybody out once a clock that was days
//! ahead has been put right. (What it held stands in the ledger, which a start reads again.)

use tollgate_domain::limit::Limit;

use super::window::{self, Span};

/// The start of a window that is not there.
const NONE: i64 = i64::MIN;

/// What one window holds.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    start: i64,
    used: i64,
    held: i64,
    /// What it got carried over from the window before it.
    carry: i64,
}

impl Bucket {
    const fn new(start: i64, carry: i64) -> Self {
        Self { start, used: 0, held: 0, carry }
    }
}

/// The windows of one counter.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    new: Bucket,
    end: i64,
    old: Bucket,
}

/// What a window holds, and by how much its maximum is raised by what was left of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) used: i64,
    pub(super) held: i64,
    pub(super) carry: i64,
    /// The window, by its start.
    pub(super) key: i64,
    pub(super) end: i64,
}

impl Calendar {
    pub(super) const fn new() -> Self {
        Self { new: Bucket::new(NONE, 0), end: NONE, old: Bucket::new(NONE, 0) }
    }

    /// What the window of this instant holds. `max` is the maximum without what is carried over.
    pub(super) fn count(&mut self, limit: &Limit, max: Option<i64>, now: i64) -> Count {
        if self.covers(now) {
            return self.newest(limit, max);
        }
        let span = window::span(limit.window, &limit.zone, now);
        if span.start > self.new.start {
            self.turn(limit, max, span);
            return self.newest(limit, max);
        }
        if span.start != self.old.start {
            self.old = Bucket::new(span.start, 0);
        }
        let Bucket { start, used, held, carry } = self.old;
        Count { used, held, carry, key: start, end: span.end }
    }

    /// Reserves in the window with this key; the caller has just counted it.
    pub(super) fn push(&mut self, key: i64, amount: i64) {
        if let Some(bucket) = self.bucket(key) {
            bucket.held = bucket.held.saturating_add(amount);
        }
    }

    /// Turns a reservation into what was used, in the window that it was taken from. A window that
    /// is no longer remembered is no longer asked either.
    pub(super) fn settle(&mut self, key: i64, reserved: i64, actual: i64) {
        if let Some(bucket) = self.bucket(key) {
            bucket.held = bucket.held.saturating_sub(reserved).max(0);
            bucket.used = bucket.used.saturating_add(actual);
        }
    }

    /// Adds history, in any order; windows before the two remembered ones no longer count.
    pub(super) fn absorb(&mut self, limit: &Limit, max: Option<i64>, at: i64, amount: i64) {
        let key = if self.covers(at) {
            self.new.start
        } else {
            let span = window::span(limit.window, &limit.zone, at);
            if span.start > self.new.start {
                self.turn(limit, max, span);
            } else if span.start > self.old.start {
                self.old = Bucket::new(span.start, 0);
            }
            span.start
        };
        self.settle(key, 0, amount);
    }

    /// Takes the windows of a gathered history; what is set aside in the same windows stays, and so
    /// does a window that is newer than all of the history.
    pub(super) fn adopt(&mut self, gathered: Self) {
        let before = std::mem::replace(self, gathered);
        if before.new.start > self.new.start {
            (self.old, self.new, self.end) = (self.new, before.new, before.end);
        }
        for Bucket { start, held, .. } in [before.new, before.old] {
            if let Some(bucket) = self.bucket(start).filter(|bucket| bucket.start != NONE) {
                bucket.held = held;
            }
        }
    }

    /// What the newest window has used, if that is the window with this key.
    pub(super) fn used_in(&self, key: i64) -> Option<i64> {
        (self.new.start == key).then_some(self.new.used)
    }

    /// The start of the newest window.
    pub(super) const fn start(&self) -> i64 {
        self.new.start
    }

    /// Whether it holds nothing that is still needed `linger` milliseconds after its window.
    pub(super) fn is_spent(&self, now: i64, linger: i64) -> bool {
        let blank = |bucket: &Bucket| bucket.used == 0 && bucket.held == 0;
        let held = self.new.held != 0 || self.old.held != 0;
        let known = linger == 0 && blank(&self.new) && blank(&self.old);
        !held && (known || self.end.saturating_add(linger) <= now)
    }

    /// Whether its window never ends.
    pub(super) const fn is_endless(&self) -> bool {
        self.end == i64::MAX
    }

    fn covers(&self, at: i64) -> bool {
        self.new.start <= at && at < self.end && self.new.start != NONE
    }

    fn newest(&self, limit: &Limit, max: Option<i64>) -> Count {
        let Bucket { start, used, held, .. } = self.new;
        let carry = self.carried(limit, max);
        Count { used, held, carry, key: start, end: self.end }
    }

    fn turn(&mut self, limit: &Limit, max: Option<i64>, span: Span) {
        let carry = self.carried(limit, max);
        self.old = Bucket { carry, ..self.new };
        if limit.rollover > 0 && self.old.start != NONE {
            // Windows without a call in between left all of their allowance.
            let before = window::span(limit.window, &limit.zone, span.start.saturating_sub(1));
            if before.start != self.old.start {
                self.old = Bucket::new(before.start, cap(limit, max));
            }
        }
        self.new = Bucket::new(span.start, 0);
        self.end = span.end;
    }

    /// What the newest window has on top of its maximum: what was left of the one before it,
    /// reservations counted as used, up to the cap. A counter without a past gets nothing.
    fn carried(&self, limit: &Limit, max: Option<i64>) -> i64 {
        let Some(max) = max.filter(|_| limit.rollover > 0 && self.old.start != NONE) else {
            return 0;
        };
        let Bucket { used, held, carry, .. } = self.old;
        let left = max.saturating_add(carry).saturating_sub(used).saturating_sub(held);
        left.clamp(0, cap(limit, Some(max)))
    }

    fn bucket(&mut self, key: i64) -> Option<&mut Bucket> {
        [&mut self.new, &mut self.old].into_iter().find(|bucket| bucket.start == key)
    }
}

/// The most that is carried over.
fn cap(limit: &Limit, max: Option<i64>) -> i64 {
    let share = i128::from(max.unwrap_or(0).max(0)) * i128::from(limit.rollover) / 1_000;
    i64::try_from(share).unwrap_or(i64::MAX)
}
