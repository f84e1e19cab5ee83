//! The journal: an append-only log in segments, the durable step of the hot path.
//!
//! A call costs two appends, each one `write` into the page cache under a short lock. Closed
//! calls also go into a queue in memory, in the order of the file, which the folding thread takes
//! in batches. Segments whose closed calls are all in the database are deleted; an intent that is
//! still open then would pin its segment, so open intents are copied into each new segment.
//!
//! A write that fails is undone (the file is cut back to its last whole record), so that whatever
//! follows is sound; where even that fails the journal refuses for good.

pub(crate) mod dir;
pub(crate) mod durability;
pub(crate) mod frame;
mod queue;
mod segment;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tollgate_admission::ledger::{LedgerError, Written};
use tollgate_domain::call::CallRecord;
use tollgate_domain::id::CallId;

use dir::Dir;
use durability::Durability;
use frame::Kind;
use queue::Queue;
pub(crate) use queue::{Closed, Position, Take};
use segment::{Place, Segment};

/// A backlog of segments beyond its size, tolerated while no new one can be created.
const OVERGROWTH: u64 = 4;

thread_local! {
    /// Frames are encoded here before the lock is taken.
    static FRAME: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What can be set of a journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Size at which the next segment is begun.
    pub(crate) segment_bytes: u64,
    /// Closed calls that may wait for the fold.
    pub(crate) backlog: u64,
}

/// The journal of one database, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: Dir,
    limits: Limits,
    state: Mutex<State>,
    filled: Condvar,
    durability: Option<Arc<Durability>>,
}

#[derive(Debug)]
struct State {
    segment: Segment,
    /// Where the intents of calls in flight lie in the current segment.
    open: HashMap<CallId, Place>,
    queue: Queue,
    /// Closed segments that are not yet deleted, oldest first: number and size.
    old: Vec<(u64, u64)>,
    failed: Option<Arc<io::Error>>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// Drain the queue, then stop.
    Drain,
    /// Stop at once and leave the rest to the next start.
    #[cfg(test)]
    Abandon,
}

/// Figures for metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) waiting: u64,
    pub(crate) open: u64,
    pub(crate) segments: u64,
    pub(crate) bytes: u64,
    pub(crate) failed: Option<String>,
}

impl Journal {
    /// Begins segment `number` in a directory that holds nothing unread.
    pub(crate) fn begin(dir: Dir, number: u64, limits: Limits, power: bool) -> io::Result<Self> {
        let segment = Segment::create(&dir, number)?;
        if power {
            dir.sync()?;
        }
        let durability = power.then(|| Arc::new(Durability::new(segment.file())));
        let state = State {
            segment,
            open: HashMap::new(),
            queue: Queue::default(),
            old: Vec::new(),
            failed: None,
            ending: Ending::No,
        };
        Ok(Self { dir, limits, state: Mutex::new(state), filled: Condvar::new(), durability })
    }

    /// What the syncing thread runs on, where records must survive loss of power.
    pub(crate) fn durability(&self) -> Option<&Arc<Durability>> {
        self.durability.as_ref()
    }

    /// Appends an intent.
    pub(crate) fn open(&self, record: &CallRecord) -> Result<Written, LedgerError> {
        self.append(Kind::Intent, record, |state, place| {
            state.open.insert(record.call_id, place);
        })
    }

    /// Appends how a call ended, and queues it for the fold.
    pub(crate) fn close(&self, record: Arc<CallRecord>) -> Result<Written, LedgerError> {
        let shared = Arc::clone(&record);
        self.append(Kind::Closed, &shared, |state, _| {
            state.open.remove(&record.call_id);
            let position = state.segment.position();
            if state.queue.push(Closed { record, position }) {
                self.filled.notify_one();
            }
        })
    }

    fn append(
        &self,
        kind: Kind,
        record: &CallRecord,
        then: impl FnOnce(&mut State, Place),
    ) -> Result<Written, LedgerError> {
        FRAME.with_borrow_mut(|bytes| {
            frame::put(kind, record, bytes);
            let mut state = self.state.lock();
            self.check(&state, kind)?;
            let place = self.write(&mut state, bytes).map_err(LedgerError::Storage)?;
            then(&mut state, place);
            let down = self.durability.as_ref().map(Durability::appended);
            drop(state);
            Ok(down.map_or(Written::Durable, |down| Written::Pending(Box::pin(down))))
        })
    }

    fn check(&self, state: &State, kind: Kind) -> Result<(), LedgerError> {
        if state.ending != Ending::No {
            return Err(LedgerError::Closed);
        }
        let synced = self.durability.as_ref().and_then(|durability| durability.failed());
        if let Some(error) = state.failed.clone().or(synced) {
            return Err(LedgerError::Storage(error));
        }
        let waiting = state.queue.waiting();
        if kind == Kind::Intent && waiting >= self.limits.backlog {
            return Err(LedgerError::Behind { waiting });
        }
        Ok(())
    }

    fn write(&self, state: &mut State, bytes: &[u8]) -> Result<Place, Arc<io::Error>> {
        let limit = self.limits.segment_bytes;
        if state.segment.grown() >= limit {
            let rotated = self.rotate(state);
            if let (Err(error), true) = (rotated, state.segment.grown() > limit * OVERGROWTH) {
                return Err(Arc::new(error));
            }
        }
        state.segment.append(bytes).map_err(|failure| {
            let error = Arc::new(failure.error);
            if failure.unsound {
                state.failed = Some(Arc::clone(&error));
            }
            error
        })
    }

    /// Begins the next segment and copies open intents into it.
    fn rotate(&self, state: &mut State) -> io::Result<()> {
        let number = state.segment.number() + 1;
        let (next, moved) = state.segment.carry(&self.dir, number, &state.open)?;
        if let Some(durability) = &self.durability {
            // The old segment may be deleted before the next group sync: the copies come first.
            next.file().sync_data()?;
            self.dir.sync()?;
            durability.rotated(next.file());
        }
        state.open = moved;
        let old = std::mem::replace(&mut state.segment, next);
        state.old.push((old.number(), old.size()));
        Ok(())
    }

    /// Moves what waits into `batch`, at most `most` calls; parks while there is nothing.
    pub(crate) fn take(&self, batch: &mut Vec<Closed>, most: usize) -> Take {
        let mut state = self.state.lock();
        loop {
            match state.ending {
                #[cfg(test)]
                Ending::Abandon => return Take::Ended,
                Ending::Drain if state.queue.is_empty() => return Take::Ended,
                _ if !state.queue.is_empty() => return state.queue.take(batch, most),
                _ => {}
            }
            state.queue.park();
            self.filled.wait(&mut state);
        }
    }

    /// Cuts a pause of the folding thread short, the one under way or the next.
    pub(crate) fn hurry(&self) {
        self.state.lock().queue.hurry();
        self.filled.notify_all();
    }

    /// Waits for `pause`, less when somebody is in a hurry or the journal is ending. Appends do not
    /// cut it short.
    pub(crate) fn pause(&self, pause: Duration) {
        let mut state = self.state.lock();
        if state.ending == Ending::No && !state.queue.is_urgent() {
            self.filled.wait_for(&mut state, pause);
        }
    }

    /// Whether the ledger is being closed.
    pub(crate) fn is_ending(&self) -> bool {
        self.state.lock().ending != Ending::No
    }

    /// Notes that `count` calls up to `applied` are in the database; deletes what that frees.
    pub(crate) fn folded(&self, count: usize, applied: Position) {
        let freed: Vec<u64> = {
            let mut state = self.state.lock();
            state.queue.done(count);
            let through = if state.queue.waiting() == 0 { u64::MAX } else { applied.segment };
            state.old.extract_if(.., |(number, _)| *number < through).map(|(n, _)| n).collect()
        };
        for number in freed {
            // A segment that cannot be deleted is read again at the next start, without effect.
            drop(std::fs::remove_file(self.dir.segment(number)));
        }
    }

    /// Refuses appends from now on and lets the folding thread drain the queue.
    pub(crate) fn end(&self) {
        self.finish(Ending::Drain);
    }

    /// Stops as a crash would, for tests.
    #[cfg(test)]
    pub(crate) fn abandon(&self) {
        self.finish(Ending::Abandon);
    }

    fn finish(&self, ending: Ending) {
        self.state.lock().ending = ending;
        self.filled.notify_all();
    }

    /// Deletes the last segment where nothing in it is needed any more; called when all has ended.
    pub(crate) fn remove_if_settled(&self) {
        let state = self.state.lock();
        if state.open.is_empty() && state.queue.waiting() == 0 && state.old.is_empty() {
            drop(std::fs::remove_file(self.dir.segment(state.segment.number())));
        }
    }

    /// What is there now.
    pub(crate) fn figures(&self) -> Figures {
        let state = self.state.lock();
        let synced = self.durability.as_ref().and_then(|durability| durability.failed());
        Figures {
            waiting: state.queue.waiting(),
            open: u64::try_from(state.open.len()).unwrap_or(u64::MAX),
            segments: u64::try_from(state.old.len()).unwrap_or(u64::MAX).saturating_add(1),
            bytes: state.old.iter().map(|(_, size)| size).sum::<u64>() + state.segment.size(),
            failed: state.failed.clone().or(synced).map(|error| error.to_string()),
        }
    }

    /// Where the journal ends.
    #[cfg(test)]
    pub(crate) fn position(&self) -> Position {
        self.state.lock().segment.position()
    }

    /// Lets the next writes fail after so many bytes, as a full disk would.
    #[cfg(test)]
    pub(crate) fn fail_after(&self, bytes: Option<u64>) {
        self.state.lock().segment.fail_after = bytes;
    }
}
