//! What a call and those who listen to its answer know of each other: whether the client that pays is
//! still there, and how the call ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tollgate_domain::call::{CacheState, CallRecord, Outcome, Repetition};
use tollgate_domain::fault::Code;

/// What saving notes about a call before it is admitted.
#[derive(Clone, Debug)]
pub struct Marks {
    /// Where its answer comes from.
    pub cache: CacheState,
    /// The idempotency key that came with it.
    pub repetition: Option<Repetition>,
    /// Who wants to know how it ends.
    pub audience: Option<Arc<Audience>>,
}

impl Default for Marks {
    fn default() -> Self {
        Self { cache: CacheState::Bypass, repetition: None, audience: None }
    }
}

/// Between a call and those who listen to its answer.
#[derive(Debug, Default)]
pub struct Audience {
    admitted: AtomicBool,
    payer_left: AtomicBool,
    told: OnceLock<Told>,
}

/// How a call ended.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Its final row.
    pub(crate) record: Arc<CallRecord>,
    /// How its answer ended, whether the client that pays was still there or not.
    pub(crate) outcome: Outcome,
    /// Whether the answer is all of what was asked for, so that it may be given again.
    pub(crate) whole: bool,
}

impl Audience {
    /// Notes that the call has been admitted.
    pub(crate) fn admit(&self) {
        self.admitted.store(true, Ordering::Release);
    }

    /// Whether the call has been admitted: what becomes of it concerns all who listen.
    pub(crate) fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
    }

    /// Notes that the client that pays has gone, while others listen on.
    pub(crate) fn payer_leaves(&self) {
        self.payer_left.store(true, Ordering::Release);
    }

    /// Brings a row into line with what became of its client: one that went away got no answer.
    pub(crate) fn correct(audience: Option<&Self>, row: &mut CallRecord) {
        let left = audience.is_some_and(|it| it.payer_left.load(Ordering::Acquire));
        if left && row.outcome == Outcome::Success {
            row.outcome = Outcome::Cancelled;
            row.status = Code::ClientClosed.status();
            row.error_type = Some(Arc::from(Code::ClientClosed.as_str()));
        }
    }

    /// Tells how a call ended whose answer ended so; the first word counts.
    pub(crate) fn tell(
        audience: Option<&Self>,
        record: &Arc<CallRecord>,
        (outcome, whole): (Outcome, bool),
    ) {
        if let Some(audience) = audience {
            let record = Arc::clone(record);
            drop(audience.told.set(Told { record, outcome, whole }));
        }
    }

    /// How the call ended; `None` while it goes on.
    pub(crate) fn told(&self) -> Option<&Told> {
        self.told.get()
    }
}
