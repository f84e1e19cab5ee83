//! Steps of use (`warn_at`) that calls and actions reach: told to whoever listens, with the subject
//! they belong to. Telling is one look at a list that is nearly always empty.

use std::fmt;
use std::sync::OnceLock;

use tollgate_domain::call::CallRecord;

use super::Gate;
use crate::engine::{Subject, Warning};

/// Takes steps that were reached, and whose they are.
pub type Warned = Box<dyn Fn(&Subject<'_>, &[Warning]) + Send + Sync>;

/// Whoever listens.
#[derive(Default)]
pub(super) struct Listener(OnceLock<Warned>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener(..)")
    }
}

impl Listener {
    pub(super) fn tell(&self, subject: &Subject<'_>, warnings: &[Warning]) {
        if !warnings.is_empty()
            && let Some(listener) = self.0.get()
        {
            listener(subject, warnings);
        }
    }
}

impl Gate {
    /// From now on `listener` is told of steps that are reached. Only the first one listens.
    pub fn tell_warnings(&self, listener: Warned) {
        // A second listener would be a second alert engine; there is one.
        drop(self.listener.0.set(listener));
    }

    /// Tells of steps that something else than a call has reached.
    pub fn warned(&self, subject: &Subject<'_>, warnings: &[Warning]) {
        self.listener.tell(subject, warnings);
    }
}

/// Whom limits count for a call, as its row names it.
pub fn subject_of(record: &CallRecord) -> Subject<'_> {
    Subject {
        user: &record.user,
        key: record.key.as_deref(),
        team: record.team.as_deref(),
        ip: record.ip.as_deref(),
        session: record.session.as_deref(),
        feature: record.feature.as_deref(),
        provider: &record.provider,
        model: &record.model_asked,
        free: false,
    }
}
