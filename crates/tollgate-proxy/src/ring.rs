//! Two counts over the last so much time. The time is divided into parts, and a part leaves as a
//! whole, so what is counted is never older than the window and nothing is reset by a job.

use std::time::Duration;

/// Parts of a window.
pub(crate) const PARTS: u64 = 10;

/// Two counts over a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ring {
    parts: [Part; 10],
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Which part of all time this is.
    number: u64,
    counts: [u32; 2],
}

impl Ring {
    /// Adds to both counts, now.
    pub(crate) fn add(&mut self, window: Duration, now: Duration, counts: [u32; 2]) {
        let number = part_of(window, now);
        let place = usize::try_from(number % PARTS).unwrap_or(0);
        let Some(part) = self.parts.get_mut(place) else { return };
        if part.number != number {
            *part = Part { number, counts: [0; 2] };
        }
        for (sum, more) in part.counts.iter_mut().zip(counts) {
            *sum = sum.saturating_add(more);
        }
    }

    /// Both counts over the window that ends now.
    pub(crate) fn sums(&self, window: Duration, now: Duration) -> [u64; 2] {
        let newest = part_of(window, now);
        let counted = |part: &&Part| part.number <= newest && part.number + PARTS > newest;
        self.parts.iter().filter(counted).fold([0; 2], |[first, second], part| {
            let [more_first, more_second] = part.counts.map(u64::from);
            [first + more_first, second + more_second]
        })
    }
}

/// Which part of all time an instant is in. The first is one, so that an empty part is long over.
pub(crate) fn part_of(window: Duration, at: Duration) -> u64 {
    let part = (window / 10).as_nanos().max(1);
    u64::try_from(at.as_nanos() / part).unwrap_or(u64::MAX - PARTS).saturating_add(PARTS)
}
