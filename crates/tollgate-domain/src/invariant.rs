//! What must always be true, as pure predicates. Property tests, the simulation and the test
//! harness use these; `ARCHITECTURE.md` explains them.

use crate::money::NanoUsd;

/// LIMIT-1: what is used and what is set aside never pass a hard maximum.
///
/// `used` may pass it alone, where an actual amount came out above its reservation (debt is
/// debited in full); then nothing more may be set aside.
pub fn within_limit(used: i64, reserved: i64, max: Option<i64>) -> bool {
    max.is_none_or(|max| used.saturating_add(reserved) <= max || reserved == 0)
}

/// LEDGER-2: the rows, the rollups and the counters tell the same sum.
pub fn sums_agree(rows: NanoUsd, rollups: NanoUsd, counters: NanoUsd) -> bool {
    rows == rollups && rollups == counters
}

/// LIMIT-1 for sliding windows: of these admissions (instant, amount), in order of time, no span
/// `[t, t + length)` holds more than `max`.
pub fn within_sliding(admissions: &[(i64, i64)], length: i64, max: i64) -> bool {
    admissions.iter().enumerate().all(|(first, (start, _))| {
        let sum: i64 = admissions
            .iter()
            .skip(first)
            .take_while(|(at, _)| at - start < length)
            .map(|(_, amount)| amount)
            .sum();
        sum <= max
    })
}

/// SETTLE-1: whoever was admitted is in flight or has settled, and nobody twice.
pub fn every_call_settles(admitted: u64, in_flight: u64, settled: u64) -> bool {
    settled.checked_add(in_flight) == Some(admitted)
}
