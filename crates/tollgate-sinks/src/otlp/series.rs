//! One number, or one histogram, for each combination of labels; so many and no more.
//!
//! What comes after the bound is counted under one combination, as the SDKs do
//! (`otel.metric.overflow`), so that sums stay right.

use std::collections::BTreeMap;

use super::message::{Attributes, Distribution, Value};

/// Most combinations of one metric.
const BOUND: usize = 2_000;

/// A value of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    Text(String),
    Int(i64),
    Overflow,
}

/// Names and values of labels.
pub(super) type Labels = Vec<(&'static str, Label)>;

/// The labels that attributes make: texts and whole numbers.
pub(super) fn labels(attributes: Attributes) -> Labels {
    let label = |(name, value): (&'static str, Value)| match value {
        Value::Text(text) => Some((name, Label::Text(text))),
        Value::Int(number) => Some((name, Label::Int(number))),
        Value::Double(_) | Value::Flag(_) | Value::Texts(_) => None,
    };
    attributes.into_iter().filter_map(label).collect()
}

fn attributes(labels: &Labels) -> Attributes {
    let value = |label: &Label| match label {
        Label::Text(text) => Value::Text(text.clone()),
        Label::Int(number) => Value::Int(*number),
        Label::Overflow => Value::Flag(true),
    };
    labels.iter().map(|(name, label)| (*name, value(label))).collect()
}

/// The points of a metric.
#[derive(Clone, Debug)]
pub(super) struct Series<V>(BTreeMap<Labels, V>);

impl<V> Default for Series<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> Series<V> {
    /// The point of these labels; `new` makes it.
    pub(super) fn point(&mut self, labels: &Labels, new: impl FnOnce() -> V) -> &mut V {
        let known = self.0.len() < BOUND || self.0.contains_key(labels);
        let labels =
            if known { labels.clone() } else { vec![("otel.metric.overflow", Label::Overflow)] };
        self.0.entry(labels).or_insert_with(new)
    }

    /// All points.
    pub(super) fn points<T>(&self, value: impl Fn(&V) -> T) -> Vec<(Attributes, T)> {
        self.0.iter().map(|(labels, point)| (attributes(labels), value(point))).collect()
    }
}

impl Distribution {
    /// Nothing counted yet.
    pub(super) fn new(bounds: &[f64]) -> Self {
        Self { buckets: vec![0; bounds.len() + 1], sum: 0.0, count: 0 }
    }

    /// Counts a value: the bucket of an upper end holds what is not above it.
    pub(super) fn observe(&mut self, bounds: &[f64], value: f64) {
        let place = bounds.iter().position(|end| value <= *end).unwrap_or(bounds.len());
        if let Some(bucket) = self.buckets.get_mut(place) {
            *bucket += 1;
        }
        self.sum += value;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_beyond_the_bound_are_counted_together() {
        let mut series = Series::<u64>::default();
        for n in 0..BOUND + 10 {
            let labels = vec![("model", Label::Text(format!("m{n}")))];
            *series.point(&labels, || 0) += 1;
        }
        let points = series.points(|count| *count);
        assert_eq!(points.len(), BOUND + 1);
        assert_eq!(points.iter().map(|(_, count)| count).sum::<u64>(), 2_010);
        let overflow = points.iter().find(|(all, _)| all[0].0 == "otel.metric.overflow").unwrap();
        assert_eq!(*overflow, (vec![("otel.metric.overflow", Value::Flag(true))], 10));
    }

    #[test]
    fn a_value_at_the_end_of_a_bucket_is_in_it() {
        let bounds = [1.0, 4.0];
        let mut counted = Distribution::new(&bounds);
        for value in [0.5, 1.0, 1.5, 4.0, 9.0] {
            counted.observe(&bounds, value);
        }
        assert_eq!((counted.buckets, counted.count), (vec![2, 2, 1], 5));
    }
}
