//! One who listens to an answer on its way.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Flight;
use super::state::{End, Heading, Next};
use crate::stop::Stop;

/// One who listens to a flight. Dropped, it leaves.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) flight: Arc<Flight>,
    pub(super) id: u64,
}

impl Listener {
    /// What is listened to.
    pub(in crate::savings) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// The head of the answer, or how it ended without one.
    pub(in crate::savings) fn poll_head(
        &self,
        cx: &Context<'_>,
    ) -> Poll<Result<Arc<Heading>, End>> {
        self.flight.poll(self.id, cx.waker(), |state| match (&state.head, &state.end) {
            (Some(head), _) => Some(Ok(Arc::clone(head))),
            (None, Some(end)) => Some(Err(end.clone())),
            (None, None) => None,
        })
    }

    /// Why there is no answer, in full, for the one who pays; taken once.
    pub(in crate::savings) fn take_stop(&self) -> Option<Stop> {
        self.flight.state.lock().stop.take()
    }

    /// Waits until the call has been admitted; else how it ended before.
    pub(in crate::savings) async fn started(&self) -> Result<(), End> {
        let admitted = || self.flight.audience.is_admitted().then_some(Ok(()));
        std::future::poll_fn(|cx| {
            self.flight.poll(self.id, cx.waker(), |state| {
                admitted().or_else(|| state.end.clone().map(Err))
            })
        })
        .await
    }

    /// The next part of the body.
    pub(in crate::savings) fn poll_next(&self, cx: &Context<'_>) -> Poll<Next> {
        self.flight.poll(self.id, cx.waker(), |state| state.next_for(self.id))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.flight.leave(self.id);
    }
}
