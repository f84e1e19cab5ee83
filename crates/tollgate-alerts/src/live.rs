//! The live counters: what calls of the present windows add up to, for each of whom a rule asks.
//!
//! Memory is bounded (BOUND-1): a table holds so many subjects. When there are more, those that have
//! used least are forgotten, so whoever uses much is always seen.

mod cell;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_domain::call::{CallRecord, Outcome};

use crate::measure::{Measure, Metric, Window};
use crate::span;
use crate::sums::{self, Sums};
use cell::Cell;

/// Most subjects of one table.
const MOST_SUBJECTS: usize = 20_000;
/// A sliding window is counted in so many parts.
const PARTS: i64 = 20;
/// The shortest part, in milliseconds.
const SHORTEST_PART: i64 = 1_000;

/// What one call adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    /// To a sum.
    Add(i64),
    /// To a maximum.
    Most(i64),
    /// To a share: whether it is one of those.
    Share(bool),
    /// To a distribution of durations, in microseconds.
    Took(u64),
}

/// What a call adds to a metric; `None` is nothing.
fn tally(metric: Metric, call: &CallRecord) -> Option<Tally> {
    let whole = call.outcome == Outcome::Success;
    match metric {
        Metric::CallCostUsd => Some(Tally::Most(call.cost.nanos())),
        Metric::ErrorRate => {
            let failed = sums::failed(call);
            (failed || whole).then_some(Tally::Share(failed))
        }
        Metric::GuestCalls => sums::is_guests(call).then_some(Tally::Add(1)),
        Metric::LatencyP50 | Metric::LatencyP95 | Metric::LatencyP99 => {
            whole.then_some(Tally::Took(call.latency_us))
        }
        Metric::TtftP50 | Metric::TtftP95 | Metric::TtftP99 => {
            call.ttft_us.filter(|_| whole).map(Tally::Took)
        }
        _ => Some(Sums::of(call).value(metric)).filter(|value| *value != 0).map(Tally::Add),
    }
}

/// The counters of one measure.
#[derive(Debug)]
pub(crate) struct Table {
    measure: Measure,
    zone: TimeZone,
    cells: HashMap<Arc<str>, Cell>,
    most: usize,
    /// The calendar window that was looked up last.
    last: Option<span::Span>,
}

impl Table {
    pub(crate) fn new(measure: Measure, zone: TimeZone) -> Self {
        Self { measure, zone, cells: HashMap::new(), most: MOST_SUBJECTS, last: None }
    }

    pub(crate) const fn measure(&self) -> &Measure {
        &self.measure
    }

    /// Counts a call.
    pub(crate) fn observe(&mut self, call: &CallRecord) {
        if !self.measure.covers(call) {
            return;
        }
        let Some(tally) = tally(self.measure.metric, call) else { return };
        let subject = match self.measure.by {
            None => Arc::default(),
            Some(by) => match by.of(call) {
                Some(name) => Arc::clone(name),
                None => return,
            },
        };
        // Days are counted as in reports, by the arrival; the last hour by what is over.
        let at = if self.measure.window.is_calendar() { call.time } else { ended(call) };
        self.count(subject, at, tally);
    }

    /// Counts something that happened at an instant.
    pub(crate) fn count(&mut self, subject: Arc<str>, at: Timestamp, tally: Tally) {
        let part = self.part(at);
        self.cells.entry(subject).or_default().count(part, tally);
        if self.cells.len() > self.most {
            self.forget(at);
        }
    }

    /// The value of every subject that has one.
    pub(crate) fn values(&mut self, now: Timestamp) -> Vec<(Arc<str>, i64)> {
        let first = self.first_part(now);
        self.cells.retain(|_, cell| cell.drop_before(first));
        let measure = &self.measure;
        let value = |cell: &Cell| cell.value(measure);
        self.cells
            .iter()
            .filter_map(|(name, cell)| Some((Arc::clone(name), value(cell)?)))
            .collect()
    }

    /// The parts that belong to the window now begin with this one.
    fn first_part(&mut self, now: Timestamp) -> i64 {
        match self.measure.window {
            Window::Last(length) => {
                let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
                now.as_millisecond().saturating_sub(length).div_euclid(part_length(length))
            }
            _ => self.part(now),
        }
    }

    fn part(&mut self, at: Timestamp) -> i64 {
        match self.measure.window {
            Window::Last(length) => {
                let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
                at.as_millisecond().div_euclid(part_length(length))
            }
            window => {
                let known = self.last.filter(|span| span.from <= at && at < span.to);
                let span = known.unwrap_or_else(|| span::window(window, &self.zone, at));
                self.last = Some(span);
                span.from.as_millisecond()
            }
        }
    }

    /// Forgets those that have used least, a tenth of all.
    fn forget(&mut self, now: Timestamp) {
        let mut values: Vec<i64> = self.values(now).into_iter().map(|(_, value)| value).collect();
        let spare = self.cells.len().saturating_sub(self.most - self.most / 10);
        if spare == 0 {
            return;
        }
        values.sort_unstable();
        let least = values.get(spare.saturating_sub(1)).copied().unwrap_or(i64::MAX);
        let mut spare = spare;
        let measure = self.measure.clone();
        self.cells.retain(|_, cell| {
            let small = cell.value(&measure).is_none_or(|value| value <= least);
            if small && spare > 0 {
                spare -= 1;
                return false;
            }
            true
        });
    }
}

fn part_length(window: i64) -> i64 {
    (window / PARTS).max(SHORTEST_PART)
}

/// When a call was over.
pub(crate) fn ended(call: &CallRecord) -> Timestamp {
    let took = jiff::SignedDuration::from_micros(i64::try_from(call.latency_us).unwrap_or(0));
    call.time.checked_add(took).unwrap_or(call.time)
}

#[cfg(test)]
mod tests;
