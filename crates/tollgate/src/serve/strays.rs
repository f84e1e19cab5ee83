//! Admitted calls that nobody settled (a panic, a task that was cut off, an answer that never came)
//! are settled here, as in doubt at their reservation.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tollgate_admission::gate::{Stray, Unwritten};
use tollgate_proxy::leftover::Leftover;
use tollgate_proxy::plane::Plane;
use tollgate_proxy::record::stray;

use crate::out;

/// How often the thread looks whether the program ends.
const LOOK: Duration = Duration::from_millis(500);

/// The thread that settles strays.
pub(super) struct Strays {
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Strays {
    /// Starts the thread that settles what is dropped of the gate of `plane`.
    pub(super) fn start(plane: Arc<Plane>, strays: Receiver<Stray>) -> io::Result<Self> {
        let ending = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ending);
        let thread = thread::Builder::new()
            .name("strays".to_owned())
            .spawn(move || settle_all(&plane, &strays, &end))?;
        Ok(Self { ending, thread })
    }

    /// Settles what has come and ends the thread.
    pub(super) fn end(self) {
        self.ending.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // A thread that panicked has nothing left to settle.
        drop(self.thread.join());
    }
}

fn settle_all(plane: &Plane, strays: &Receiver<Stray>, ending: &AtomicBool) {
    loop {
        match strays.recv_timeout(LOOK) {
            Ok(one) => {
                if let Err(unwritten) = stray(plane, one) {
                    write_later(plane, unwritten);
                }
            }
            Err(RecvTimeoutError::Timeout) if !ending.load(Ordering::Acquire) => {}
            Err(_) => return,
        }
    }
}

/// Hands a row that could not be written to those who try again.
fn write_later(plane: &Plane, unwritten: Unwritten) {
    let text = unwritten.to_string();
    // The receiver is gone when the program ends.
    if plane.leftovers.send(Leftover::Unwritten(unwritten.record)).is_err() {
        out::note(format_args!("{text}: it stays in the journal, in doubt"));
    }
}
