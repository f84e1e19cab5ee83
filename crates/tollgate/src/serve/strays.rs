//! Admitted calls that nobody settled (a panic, a task that was cut off) are settled here, as in
//! doubt at their reservation.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tollgate_admission::engine::Engine;
use tollgate_admission::gate::{Gate, Stray};
use tollgate_domain::clock::Clock;
use tollgate_store::SqliteLedger;

use crate::out;

/// How often the thread looks whether the program ends.
const LOOK: Duration = Duration::from_millis(500);

/// The thread that settles strays.
pub(super) struct Strays {
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Strays {
    /// Makes a gate, and starts the thread that settles what is dropped of it.
    pub(super) fn start(
        engine: Engine,
        ledger: Arc<SqliteLedger>,
        clock: Clock,
    ) -> io::Result<(Self, Arc<Gate>)> {
        let (sender, strays) = channel();
        let gate = Arc::new(Gate::new(engine, ledger, sender));
        let ending = Arc::new(AtomicBool::new(false));
        let (end, settler) = (Arc::clone(&ending), Arc::clone(&gate));
        let thread = thread::Builder::new()
            .name("strays".to_owned())
            .spawn(move || settle_all(&settler, &strays, &clock, &end))?;
        Ok((Self { ending, thread }, gate))
    }

    /// Settles what has come and ends the thread.
    pub(super) fn end(self) {
        self.ending.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // A thread that panicked has nothing left to settle.
        drop(self.thread.join());
    }
}

fn settle_all(gate: &Gate, strays: &Receiver<Stray>, clock: &Clock, ending: &AtomicBool) {
    loop {
        match strays.recv_timeout(LOOK) {
            Ok(stray) => {
                let text = format!("{stray:?}");
                if let Err(error) = gate.settle_stray(stray, clock.now()) {
                    out::note(format_args!("{text} stays in the journal, in doubt: {error}"));
                }
            }
            Err(RecvTimeoutError::Timeout) if !ending.load(Ordering::Acquire) => {}
            Err(_) => return,
        }
    }
}
