//! Closed calls on their way to the database, in the order in which they lie in the journal.

use std::collections::VecDeque;
use std::sync::Arc;

use tollgate_domain::call::CallRecord;

/// A capacity that is kept after a burst.
const KEPT: usize = 4096;

/// A place in the journal: everything before it, in file order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Number of the segment.
    pub(crate) segment: u64,
    /// Offset behind the last byte that counts.
    pub(crate) offset: u64,
}

/// A call that has ended, and where the journal has it.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) record: Arc<CallRecord>,
    pub(crate) position: Position,
}

/// What a turn of the folding thread gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// A batch, which reaches to this position; more is waiting.
    More(Position),
    /// A batch, which reaches to this position; it was all there was.
    All(Position),
    /// Nothing, and nothing will follow.
    Ended,
}

/// The queue, and how many calls have left it but are not yet in the database.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Closed>,
    folding: usize,
    parked: bool,
    hurry: bool,
}

impl Queue {
    /// Adds a call; `true` where the folding thread sleeps and must be woken.
    pub(crate) fn push(&mut self, call: Closed) -> bool {
        self.waiting.push_back(call);
        std::mem::take(&mut self.parked)
    }

    /// Notes that the folding thread goes to sleep.
    pub(crate) fn park(&mut self) {
        self.parked = true;
    }

    /// Notes that somebody waits for what is queued.
    pub(crate) fn hurry(&mut self) {
        self.hurry = true;
    }

    /// Whether somebody waits for what has been queued since the last batch.
    pub(crate) fn is_urgent(&self) -> bool {
        self.hurry
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Calls that are not yet in the database.
    pub(crate) fn waiting(&self) -> u64 {
        u64::try_from(self.waiting.len() + self.folding).unwrap_or(u64::MAX)
    }

    /// Moves up to `most` calls into `batch`, which must be empty.
    pub(crate) fn take(&mut self, batch: &mut Vec<Closed>, most: usize) -> Take {
        self.parked = false;
        self.hurry = false;
        let count = most.min(self.waiting.len());
        batch.extend(self.waiting.drain(..count));
        self.folding = count;
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
        }
        match batch.last().map(|call| call.position) {
            None => Take::Ended,
            Some(position) if self.waiting.is_empty() => Take::All(position),
            Some(position) => Take::More(position),
        }
    }

    /// Notes that `count` calls are in the database.
    pub(crate) fn done(&mut self, count: usize) {
        self.folding = self.folding.saturating_sub(count);
    }
}
