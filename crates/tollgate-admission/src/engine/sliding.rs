//! A sliding window: what was admitted in the last so many milliseconds, as a log.
//!
//! Each admission is an entry (instant, amount) that counts until its instant plus the length of the
//! window. Instants are rounded up and "now" down, so no span of that length ever holds more than
//! the maximum. The log is bounded: when it is full, entries within 1/64 of the window are merged
//! into the *latest* of them, which can only keep an amount for longer (by less than 1/64 of the
//! window), never drop it early. Up to [`MOST`] admissions in a window are therefore exact.
//!
//! Instants come from the stripe's own clock, which never runs backwards (see `stripe`).

use super::entry::{Entry, reserve_one};

/// Entries beyond which the log is compacted.
const MOST: usize = 128;
/// Parts of the window into which a full log is compacted; well below [`MOST`], so that a compaction
/// pays for many admissions.
const PARTS: i64 = 64;

/// The log of one counter.
#[derive(Clone, Debug)]
pub(super) struct Sliding {
    entries: Vec<Entry>,
    /// The instant of key 0.
    base: i64,
    length: i64,
    /// Sum of the entries.
    sum: i64,
    /// The part of it that is reserved and not settled; of calls that have left the window, too.
    held: i64,
}

impl Sliding {
    /// The key of the newest entry.
    pub(super) fn newest(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.key.into())
    }

    pub(super) fn new(millis: u64) -> Self {
        let length = i64::try_from(millis).unwrap_or(i64::MAX / 4).clamp(1, i64::MAX / 4);
        Self { entries: Vec::new(), base: 0, length, sum: 0, held: 0 }
    }

    /// What is admitted in the window that ends now, and how much of it is reserved.
    pub(super) fn count(&mut self, now: i64) -> (i64, i64) {
        self.expire(now);
        let held = self.held.min(self.sum);
        (self.sum - held, held)
    }

    /// Adds an admission at an instant that is not before any other.
    pub(super) fn push(&mut self, at: i64, amount: i64, reserved: bool) {
        if reserved {
            self.held = self.held.saturating_add(amount);
        }
        if amount > 0 {
            self.insert(at, amount);
        }
    }

    /// Turns a reservation of that instant into what was used.
    pub(super) fn settle(&mut self, at: i64, reserved: i64, actual: i64, now: i64) {
        self.expire(now);
        self.held = self.held.saturating_sub(reserved).max(0);
        if at.saturating_add(self.length) <= now {
            return;
        }
        let change = actual.saturating_sub(reserved);
        // Merging moves an amount to a later entry of the log, so the first that is not earlier
        // than the admission holds it.
        let index = self.entries.partition_point(|entry| self.time_of(*entry) < at);
        match self.entries.get_mut(index) {
            Some(entry) => self.sum = self.sum.saturating_add(entry.add(change)),
            None if change > 0 => self.insert(at, change),
            None => {}
        }
    }

    /// Adds history, in any order; what is a window older than the newest entry no longer counts.
    pub(super) fn absorb(&mut self, at: i64, amount: i64) {
        let newest = self.entries.last().map(|entry| self.time_of(*entry));
        if amount > 0 && newest.is_none_or(|newest| at.saturating_add(self.length) > newest) {
            self.insert(at, amount);
        }
    }

    /// Takes the log of a gathered history where that knows of more; what is set aside stays, at the
    /// newest instant of both.
    pub(super) fn adopt(&mut self, gathered: Self) {
        if gathered.sum <= self.sum.saturating_sub(self.held) {
            return;
        }
        let newest = |log: &Self| log.entries.last().map(|entry| log.time_of(*entry));
        let at = newest(self).max(newest(&gathered));
        let held = std::mem::replace(self, gathered).held;
        if let Some(at) = at.filter(|_| held > 0) {
            self.push(at, held, true);
        }
    }

    /// When so much has left the window, if ever.
    pub(super) fn frees_at(&self, amount: i64) -> Option<i64> {
        let mut left = amount;
        self.entries.iter().find_map(|entry| {
            left = left.saturating_sub(entry.amount());
            (left <= 0).then(|| self.end_of(*entry))
        })
    }

    /// When something leaves the window next.
    pub(super) fn turns_at(&self) -> Option<i64> {
        self.entries.first().map(|entry| self.end_of(*entry))
    }

    /// The length of the window in milliseconds.
    pub(super) fn length(&self) -> i64 {
        self.length
    }

    /// Whether it holds nothing that is still needed.
    pub(super) fn is_spent(&self, now: i64) -> bool {
        self.held == 0 && self.entries.last().is_none_or(|entry| self.end_of(*entry) <= now)
    }

    /// Milliseconds per key: one, unless the window is longer than twelve days.
    fn tick(&self) -> i64 {
        (self.length >> 30) + 1
    }

    fn time_of(&self, entry: Entry) -> i64 {
        self.base.saturating_add(i64::from(entry.key).saturating_mul(self.tick()))
    }

    fn end_of(&self, entry: Entry) -> i64 {
        self.time_of(entry).saturating_add(self.length)
    }

    fn expire(&mut self, now: i64) {
        let gone = self.entries.iter().take_while(|entry| self.end_of(**entry) <= now).count();
        if gone > 0 {
            let freed: i64 = self.entries.drain(..gone).map(Entry::amount).sum();
            self.sum -= freed;
            // A burst must not hold its room for ever.
            let wanted = self.entries.len().saturating_mul(2).max(4);
            if self.entries.capacity() > 2 * wanted {
                self.entries.shrink_to(wanted);
            }
        }
    }

    fn insert(&mut self, at: i64, amount: i64) {
        if self.entries.len() >= MOST {
            self.compact();
        }
        let key = self.key_for(at);
        self.sum = self.sum.saturating_add(amount);
        let index = self.entries.partition_point(|entry| entry.key < key);
        match self.entries.get_mut(index).filter(|entry| entry.key == key) {
            Some(entry) => {
                entry.add(amount);
            }
            None => {
                reserve_one(&mut self.entries);
                self.entries.insert(index, Entry::new(key, amount));
            }
        }
    }

    /// The key of an instant, rounded up; moves the base so that it fits. The entries of one window
    /// lie within 2³⁰ ticks, so they all do.
    fn key_for(&mut self, at: i64) -> u32 {
        let tick = self.tick();
        let Some(first) = self.entries.first().copied() else {
            self.base = at;
            return 0;
        };
        if at < self.base {
            let ticks = (self.base - at + tick - 1) / tick;
            let up = u32::try_from(ticks).unwrap_or(u32::MAX);
            self.base -= i64::from(up) * tick;
            for entry in &mut self.entries {
                entry.key = entry.key.saturating_add(up);
            }
        } else if (at - self.base) / tick > i64::from(u32::MAX / 2) {
            self.base += i64::from(first.key) * tick;
            for entry in &mut self.entries {
                entry.key -= first.key;
            }
        }
        u32::try_from((at - self.base + tick - 1) / tick).unwrap_or(u32::MAX)
    }

    /// Merges the entries of each part of the window into the latest of them.
    fn compact(&mut self) {
        let tick = self.tick();
        let ticks = (self.length / PARTS / tick).max(1);
        let part = u32::try_from(ticks).unwrap_or(u32::MAX);
        self.entries.dedup_by(|later, kept| {
            let same = later.key / part == kept.key / part;
            if same {
                kept.key = later.key;
                kept.add(later.amount());
            }
            same
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_counts_for_exactly_the_length_of_the_window() {
        let mut log = Sliding::new(60_000);
        log.push(1_000, 2, false);
        log.push(31_000, 3, true);
        assert_eq!(log.count(60_999), (2, 3));
        assert_eq!(log.frees_at(1), Some(61_000));
        assert_eq!(log.frees_at(3), Some(91_000));
        assert_eq!(log.frees_at(6), None);
        assert_eq!(log.count(61_000), (0, 3));
        log.settle(31_000, 3, 1, 61_000);
        assert_eq!(log.count(61_000), (1, 0));
        assert_eq!(log.count(91_000), (0, 0));
        assert!(log.is_spent(91_000));
    }

    #[test]
    fn a_settlement_after_its_window_has_passed_touches_nobody_elses_amount() {
        let mut log = Sliding::new(1_000);
        log.push(0, 5, true);
        log.push(900, 7, false);
        log.settle(0, 5, 0, 1_500);
        assert_eq!(log.count(1_500), (7, 0));
    }

    #[test]
    fn a_full_log_is_compacted_and_keeps_every_amount_for_at_least_its_window() {
        let length = 60_000;
        let mut log = Sliding::new(60_000);
        let all: Vec<i64> = (0..2_000).map(|n| n * 29).collect();
        for at in &all {
            log.push(*at, 1, false);
            assert!(log.entries.len() <= MOST);
        }
        for now in (57_971..130_000).step_by(97) {
            let (used, _) = log.count(now);
            let exact = i64::try_from(all.iter().filter(|at| **at + length > now).count()).unwrap();
            let late =
                i64::try_from(all.iter().filter(|at| **at + length + length / PARTS > now).count())
                    .unwrap();
            assert!(exact <= used && used <= late, "{now}: {exact} {used} {late}");
        }
        assert_eq!(log.sum, 0);
    }

    #[test]
    fn windows_of_months_and_logs_of_years_keep_their_order() {
        let day = 86_400_000;
        let mut log = Sliding::new(90 * 86_400_000);
        for n in 0..4_000 {
            log.push(n * day, 1, false);
            let (used, _) = log.count(n * day);
            assert!(used >= (n + 1).min(90), "{n}: {used}");
            assert!(used <= (n + 1).min(92), "{n}: {used}");
        }
    }

    #[test]
    fn history_may_come_in_any_order() {
        let mut log = Sliding::new(1_000);
        for at in [5_000, 4_500, 4_100, 3_900, 4_500] {
            log.absorb(at, 1);
        }
        assert_eq!(log.count(5_000), (4, 0));
        assert_eq!(log.count(5_099), (4, 0));
        assert_eq!(log.count(5_100), (3, 0));
        assert_eq!(log.count(5_500), (1, 0));
    }
}
