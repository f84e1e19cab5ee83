//! What addresses use by the hour. No rollup has addresses, so what is usual for one is kept here:
//! the few that used most, hour by hour, in a table of its own.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use tollgate_alerts::Sums;
use tollgate_domain::call::CallRecord;
use tollgate_domain::money::NanoUsd;
use tollgate_store::AddressRecord;

/// Most addresses of one hour that are counted.
const MOST: usize = 20_000;
/// So many of those that cost most, and of those that called most, are kept.
const KEPT: usize = 200;
const HOUR: i64 = 3_600;

/// Most records that wait where the database refuses: those of two days.
const MOST_WAITING: usize = 2 * 24 * 2 * KEPT;

/// The addresses of the present hour, and those of hours before that are not written down.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    hour: i64,
    sums: HashMap<Arc<str>, Sums>,
    waiting: Vec<AddressRecord>,
}

impl Addresses {
    /// Counts a call.
    pub(super) fn observe(&mut self, call: &CallRecord, now: Timestamp) {
        let hour = now.as_second().div_euclid(HOUR) * HOUR;
        if hour != self.hour {
            self.end_hour();
        }
        self.hour = hour;
        let Some(address) = &call.ip else { return };
        if self.sums.len() < MOST || self.sums.contains_key(address) {
            self.sums.entry(Arc::clone(address)).or_default().add(&Sums::of(call));
        }
    }

    /// Writes hours that are over. What cannot be written waits for the next time.
    pub(super) fn write<E>(
        &mut self,
        put: impl FnOnce(&[AddressRecord]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.waiting.is_empty() {
            put(&self.waiting)?;
            self.waiting.clear();
        }
        Ok(())
    }

    /// Takes the present hour for over.
    pub(super) fn end_hour(&mut self) {
        let mut all: Vec<(Arc<str>, Sums)> = self.sums.drain().collect();
        let mut kept: HashMap<Arc<str>, Sums> = HashMap::new();
        all.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.cost));
        kept.extend(all.iter().take(KEPT).cloned());
        all.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.calls));
        kept.extend(all.into_iter().take(KEPT));
        let hour = Timestamp::from_second(self.hour).unwrap_or(Timestamp::UNIX_EPOCH);
        self.waiting.extend(kept.into_iter().map(|(address, sums)| AddressRecord {
            hour,
            address: address.to_string(),
            figures: figures(&sums),
        }));
        self.waiting.drain(..self.waiting.len().saturating_sub(MOST_WAITING));
    }
}

fn figures(sums: &Sums) -> [i64; 6] {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    [
        count(sums.calls),
        count(sums.failed),
        count(sums.refused),
        count(sums.input_tokens),
        count(sums.output_tokens),
        sums.cost.nanos(),
    ]
}

/// What was kept, as sums.
pub(super) fn sums(figures: [i64; 6]) -> Sums {
    let [calls, failed, refused, input, output, cost] = figures;
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    Sums {
        cost: NanoUsd::from_nanos(cost),
        calls: count(calls),
        failed: count(failed),
        refused: count(refused),
        input_tokens: count(input),
        output_tokens: count(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_that_cannot_be_written_wait_and_are_bounded() {
        let mut addresses = Addresses::default();
        let hour = |addresses: &mut Addresses, hour: i64, count: usize| {
            addresses.hour = hour * HOUR;
            for n in 0..count {
                addresses.sums.insert(format!("10.0.0.{n}").into(), Sums::default());
            }
            addresses.end_hour();
        };
        hour(&mut addresses, 1, 2);
        addresses.write(|_| Err("full")).unwrap_err();
        hour(&mut addresses, 2, 1);
        let mut written = Vec::new();
        let mut put = |records: &[AddressRecord]| {
            written.extend(records.iter().map(|record| record.hour.as_second() / HOUR));
            Ok::<_, &str>(())
        };
        addresses.write(&mut put).unwrap();
        addresses.write(&mut put).unwrap();
        assert_eq!(written, [1, 1, 2], "all of them, once");
        for n in 0..200 {
            hour(&mut addresses, n, 300);
        }
        assert_eq!(addresses.waiting.len(), MOST_WAITING);
    }
}
