//! One amount at one point of time, packed: a known user may have dozens of these.

/// An amount under a key (ticks or days, as the owner of the list counts). Twelve bytes, because
/// the amount is kept in halves that need no alignment to eight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) key: u32,
    low: u32,
    high: u32,
}

impl Entry {
    pub(super) fn new(key: u32, amount: i64) -> Self {
        let mut entry = Self { key, low: 0, high: 0 };
        entry.set(amount);
        entry
    }

    pub(super) fn amount(self) -> i64 {
        (i64::from(self.high.cast_signed()) << 32) | i64::from(self.low)
    }

    fn set(&mut self, amount: i64) {
        let bits = amount.cast_unsigned();
        self.low = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        self.high = u32::try_from(bits >> 32).unwrap_or(u32::MAX);
    }

    /// Adds an amount, negative to take away, and returns by how much the entry changed; it never
    /// falls below zero.
    pub(super) fn add(&mut self, amount: i64) -> i64 {
        let before = self.amount();
        let after = before.saturating_add(amount).max(0);
        self.set(after);
        after - before
    }
}

/// Makes room for one more by half the length, so that a list wastes little.
pub(super) fn reserve_one(entries: &mut Vec<Entry>) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact((entries.len() / 2).max(4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_any_size_are_kept_and_never_fall_below_zero() {
        assert_eq!(size_of::<Entry>(), 12);
        for amount in [0, 1, u32::MAX.into(), 1 << 40, i64::MAX] {
            let mut entry = Entry::new(7, amount);
            assert_eq!(entry.amount(), amount);
            assert_eq!(entry.add(1), i64::from(amount != i64::MAX));
            assert_eq!(entry.add(i64::MIN), -amount.saturating_add(1));
            assert_eq!(entry.amount(), 0);
        }
    }
}
