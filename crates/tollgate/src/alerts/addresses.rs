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

/// The addresses of the present hour.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    hour: i64,
    sums: HashMap<Arc<str>, Sums>,
}

impl Addresses {
    /// Counts a call; gives what is to be kept where it is the first of another hour.
    pub(super) fn observe(&mut self, call: &CallRecord, now: Timestamp) -> Vec<AddressRecord> {
        let hour = now.as_second().div_euclid(HOUR) * HOUR;
        let over = if hour == self.hour { Vec::new() } else { self.take() };
        self.hour = hour;
        let Some(address) = &call.ip else { return over };
        if self.sums.len() < MOST || self.sums.contains_key(address) {
            self.sums.entry(Arc::clone(address)).or_default().add(&Sums::of(call));
        }
        over
    }

    /// What is to be kept of the hour.
    pub(super) fn take(&mut self) -> Vec<AddressRecord> {
        let mut all: Vec<(Arc<str>, Sums)> = self.sums.drain().collect();
        let mut kept: HashMap<Arc<str>, Sums> = HashMap::new();
        all.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.cost));
        kept.extend(all.iter().take(KEPT).cloned());
        all.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.calls));
        kept.extend(all.into_iter().take(KEPT));
        let hour = Timestamp::from_second(self.hour).unwrap_or(Timestamp::UNIX_EPOCH);
        kept.into_iter()
            .map(|(address, sums)| AddressRecord {
                hour,
                address: address.to_string(),
                figures: figures(&sums),
            })
            .collect()
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
