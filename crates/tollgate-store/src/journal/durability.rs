//! Group sync: one thread calls `fdatasync` for everything that was appended since the last time,
//! then wakes those whose records it covers.
//!
//! A failed sync is final. The system may have dropped the dirty pages, so a second call that
//! succeeds would prove nothing; the journal refuses from then on.

use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};
use tollgate_admission::ledger::LedgerError;

/// What has been appended, what has been synced, and who waits for the difference.
#[derive(Debug)]
pub(crate) struct Durability {
    state: Mutex<State>,
    appended: Condvar,
}

#[derive(Debug)]
struct State {
    /// Appends so far.
    appended: u64,
    /// Appends that are on the medium.
    synced: u64,
    /// The segment that grows.
    current: Arc<File>,
    /// Segments that were closed since the last sync.
    closed: Vec<Arc<File>>,
    waiters: Vec<Waker>,
    failed: Option<Arc<io::Error>>,
    ending: bool,
}

impl Durability {
    pub(crate) fn new(current: Arc<File>) -> Self {
        let state = State {
            appended: 0,
            synced: 0,
            current,
            closed: Vec::new(),
            waiters: Vec::new(),
            failed: None,
            ending: false,
        };
        Self { state: Mutex::new(state), appended: Condvar::new() }
    }

    /// Notes an append and gives what resolves when it is on the medium.
    pub(crate) fn appended(self: &Arc<Self>) -> Down {
        let mut state = self.state.lock();
        state.appended += 1;
        self.appended.notify_one();
        Down { durability: Arc::clone(self), append: state.appended }
    }

    /// Goes over to a new segment; what the old one holds is synced with the next group.
    pub(crate) fn rotated(&self, next: Arc<File>) {
        let mut state = self.state.lock();
        let old = std::mem::replace(&mut state.current, next);
        state.closed.push(old);
    }

    /// Why a sync failed, if one did.
    pub(crate) fn failed(&self) -> Option<Arc<io::Error>> {
        self.state.lock().failed.clone()
    }

    /// Lets [`Self::run`] return once everything is synced.
    pub(crate) fn end(&self) {
        self.state.lock().ending = true;
        self.appended.notify_one();
    }

    /// The body of the syncing thread.
    pub(crate) fn run(&self) {
        while let Some((append, files)) = self.next_group() {
            let outcome = files.iter().try_for_each(|file| file.sync_data());
            let waiters = {
                let mut state = self.state.lock();
                match outcome {
                    Ok(()) => state.synced = append,
                    Err(error) => state.failed = Some(Arc::new(error)),
                }
                std::mem::take(&mut state.waiters)
            };
            waiters.into_iter().for_each(Waker::wake);
        }
    }

    fn next_group(&self) -> Option<(u64, Vec<Arc<File>>)> {
        let mut state = self.state.lock();
        while state.appended == state.synced && !state.ending && state.failed.is_none() {
            self.appended.wait(&mut state);
        }
        if state.appended == state.synced || state.failed.is_some() {
            return None;
        }
        let mut files = std::mem::take(&mut state.closed);
        files.push(Arc::clone(&state.current));
        Some((state.appended, files))
    }
}

/// Resolves when one append is on the medium.
#[derive(Debug)]
pub(crate) struct Down {
    durability: Arc<Durability>,
    append: u64,
}

impl Future for Down {
    type Output = Result<(), LedgerError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.durability.state.lock();
        if state.synced >= self.append {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = &state.failed {
            return Poll::Ready(Err(LedgerError::Storage(Arc::clone(error))));
        }
        state.waiters.push(context.waker().clone());
        Poll::Pending
    }
}
