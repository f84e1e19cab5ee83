//! The counter of one subject: the parts of its window that are not empty.

use super::Tally;
use crate::measure::{Measure, Metric};

/// What fell into the parts of a window.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    /// In the order of their keys.
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    key: i64,
    /// A sum, a maximum, or how many of those that a share is of.
    value: i64,
    /// How many were counted.
    count: u32,
    took: Option<Box<Distribution>>,
}

impl Cell {
    /// Counts in a part.
    pub(crate) fn count(&mut self, key: i64, tally: Tally) {
        let place = self.parts.partition_point(|part| part.key < key);
        if self.parts.get(place).is_none_or(|part| part.key != key) {
            self.parts.insert(place, Part { key, value: 0, count: 0, took: None });
        }
        let Some(part) = self.parts.get_mut(place) else { return };
        part.count = part.count.saturating_add(1);
        match tally {
            Tally::Add(amount) => part.value = part.value.saturating_add(amount),
            Tally::Most(amount) => part.value = part.value.max(amount),
            Tally::Share(one) => part.value = part.value.saturating_add(i64::from(one)),
            Tally::Took(micros) => part.took.get_or_insert_default().count(micros),
        }
    }

    /// Forgets the parts before this one; whether any is left.
    pub(crate) fn drop_before(&mut self, key: i64) -> bool {
        let gone = self.parts.partition_point(|part| part.key < key);
        drop(self.parts.drain(..gone));
        !self.parts.is_empty()
    }

    /// The value of a metric over all parts; `None` where too few calls tell it.
    pub(crate) fn value(&self, measure: &Measure) -> Option<i64> {
        let count: u64 = self.parts.iter().map(|part| u64::from(part.count)).sum();
        let values = self.parts.iter().map(|part| part.value);
        if let Some(beyond) = measure.metric.beyond() {
            if count < u64::from(measure.min_calls) {
                return None;
            }
            let mut all = Distribution::default();
            self.parts.iter().filter_map(|part| part.took.as_deref()).for_each(|it| all.add(it));
            return all.quantile(beyond);
        }
        match measure.metric {
            Metric::ErrorRate => {
                if count < u64::from(measure.min_calls) || count == 0 {
                    return None;
                }
                let these = i128::from(values.fold(0, i64::saturating_add));
                i64::try_from(these * 1_000_000 / i128::from(count)).ok()
            }
            Metric::CallCostUsd => values.max(),
            _ => Some(values.fold(0, i64::saturating_add)),
        }
    }
}

/// Parts of a power of two.
const STEPS: u32 = 8;
const STEP_BITS: u32 = 3;
/// Powers of two above a millisecond that are told apart: up to four hours.
const POWERS: u32 = 24;
const BUCKETS: usize = 24 * 8;

/// How long calls took, by eighths of powers of two of a millisecond.
#[derive(Clone, Debug)]
struct Distribution([u32; BUCKETS]);

impl Default for Distribution {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Distribution {
    fn count(&mut self, micros: u64) {
        if let Some(bucket) = self.0.get_mut(bucket_of(micros)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    fn add(&mut self, other: &Self) {
        for (to, from) in self.0.iter_mut().zip(other.0) {
            *to = to.saturating_add(from);
        }
    }

    /// The duration in microseconds that so many parts per thousand lie beyond, even within a bucket.
    fn quantile(&self, beyond: u32) -> Option<i64> {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        if all == 0 {
            return None;
        }
        let mut below = all - all * u64::from(beyond) / 1_000;
        for (bucket, count) in self.0.iter().enumerate() {
            let count = u64::from(*count);
            if below <= count {
                let (low, high) = (low_end(bucket), low_end(bucket + 1));
                let within = (high - low) * below / count.max(1);
                return i64::try_from(low + within).ok();
            }
            below -= count;
        }
        i64::try_from(low_end(BUCKETS)).ok()
    }
}

fn bucket_of(micros: u64) -> usize {
    let millis = (micros / 1_000).max(1);
    let power = millis.ilog2();
    if power >= POWERS {
        return BUCKETS - 1;
    }
    // The three bits behind the first one.
    let step = (millis << STEP_BITS >> power) & u64::from(STEPS - 1);
    let place = u64::from(power * STEPS) + step;
    usize::try_from(place).unwrap_or(BUCKETS - 1)
}

/// Where a bucket begins, in microseconds.
fn low_end(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or_default();
    let (power, step) = (bucket / u64::from(STEPS), bucket % u64::from(STEPS));
    ((u64::from(STEPS) + step) * 1_000) << power >> STEP_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_an_eighth_of_the_truth() {
        let mut took = Distribution::default();
        for millis in 1..=10_000u64 {
            took.count(millis * 1_000);
        }
        for (beyond, millis) in [(500, 5_000), (50, 9_500), (10, 9_900)] {
            let told = took.quantile(beyond).unwrap() / 1_000;
            assert!((told - millis).abs() * 16 <= millis, "{beyond}: {told}");
        }
        let mut one = Distribution::default();
        one.count(4_999_000);
        assert!(one.quantile(10).unwrap() <= 5_120_000);
        assert_eq!(Distribution::default().quantile(10), None);
    }

    #[test]
    fn every_duration_lies_in_its_bucket() {
        for micros in [0, 999, 1_000, 1_500, 63_000, 64_000, 999_999_999, u64::MAX] {
            let bucket = bucket_of(micros);
            assert!(bucket < BUCKETS);
            let inside = micros.max(1_000) / 1_000 * 1_000;
            if bucket < BUCKETS - 1 {
                assert!(low_end(bucket) <= inside && inside < low_end(bucket + 1), "{micros}");
            }
        }
    }
}
