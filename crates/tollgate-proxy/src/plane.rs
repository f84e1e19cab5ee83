//! What all calls share: the snapshot, the gate, the clock, metrics, the call log, and the way to
//! the task that looks after calls whose client has gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc::UnboundedSender;
use tollgate_admission::directory::Directory;
use tollgate_admission::gate::Gate;
use tollgate_admission::switches::Switches;
use tollgate_domain::clock::Clock;

use crate::accept::Ids;
use crate::bodies::BodyLog;
use crate::call_log::CallLog;
use crate::desk::Desk;
use crate::health::Healths;
use crate::leftover::Leftover;
use crate::metrics::Metrics;
use crate::overload::Overload;
use crate::refusals::Refusals;
use crate::savings::Savings;
use crate::snapshot::Snapshot;
use crate::stored::Answers;
use crate::surface::EndpointNames;

/// The data plane.
#[derive(Debug)]
pub struct Plane {
    /// The configuration in force.
    pub snapshot: ArcSwap<Snapshot>,
    /// Decides on calls and settles them.
    pub gate: Arc<Gate>,
    /// What is decided about users.
    pub directory: Arc<Directory>,
    /// What is stopped.
    pub switches: Arc<Switches>,
    /// The way to what is kept beside the ledger.
    pub desk: Desk,
    /// The time.
    pub clock: Clock,
    /// Makes call ids.
    pub ids: Ids,
    /// How the targets do.
    pub healths: Arc<Healths>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Writes a line per call.
    pub log: Arc<CallLog>,
    /// Keeps prompts and answers, where that is switched on.
    pub bodies: BodyLog,
    /// Keeps rows of refused calls.
    pub refusals: Refusals,
    /// Takes calls whose client has gone. Its length is bounded by the open connections.
    pub leftovers: UnboundedSender<Leftover>,
    /// Counts admitted calls.
    pub admitted: Counter,
    /// Whose the answers are that providers keep.
    pub answers: Answers,
    /// What is kept so that no answer is bought twice.
    pub savings: Savings,
    /// Names of endpoints, shared by all rows.
    pub names: EndpointNames,
    /// When the program started, on the clock that measures latency.
    pub started: Duration,
    /// When the program started.
    pub started_at: Timestamp,
    /// Whether the program is ending.
    pub ending: AtomicBool,
    /// Whether there is room for another call.
    pub overload: Overload,
    /// Why calls would not be served just now, if they would not.
    pub obstacle: Obstacle,
}

/// Says why calls would not be served just now; `None` where they would.
#[derive(Clone)]
pub struct Obstacle(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl Obstacle {
    /// An obstacle that `look` finds.
    pub fn new(look: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    /// Looks.
    pub fn look(&self) -> Option<String> {
        (self.0)()
    }
}

impl std::fmt::Debug for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Obstacle(..)")
    }
}

impl Plane {
    /// From now on the program is ending: it is no longer ready.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Why calls would not be served just now; `None` where they would.
    pub fn not_ready(&self) -> Option<String> {
        if self.ending.load(Ordering::Acquire) {
            return Some("the program is ending".to_owned());
        }
        self.obstacle.look()
    }

    /// Whether there is room for another call.
    pub fn has_room(&self, snapshot: &Snapshot) -> bool {
        self.metrics.inflight().get() < i64::from(snapshot.settings.max_calls)
            && !self.overload.refuses()
    }

    /// Microseconds since `started`, on the clock that measures latency.
    pub fn micros_since(&self, started: Duration) -> u64 {
        let passed = self.clock.monotonic().saturating_sub(started);
        u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
    }
}
