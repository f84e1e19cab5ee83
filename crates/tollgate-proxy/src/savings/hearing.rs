//! The body of an answer that several listen to, as one of them gets it. The call of a listener that
//! does not pay is settled before its last bytes leave, like any other.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tollgate_admission::ledger::Written;
use tollgate_domain::fault::Code;

use super::flight::{Listener, Next};
use super::free::{FreeCall, FreeEnd};
use super::kept::Ending;
use crate::stop::Stop;

/// A body that is heard with others.
pub(crate) struct Hearing {
    listener: Listener,
    /// The call of a listener that does not pay.
    free: Option<FreeCall>,
    status: u16,
    /// Resolves when its row is down; the last bytes wait for it.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    held: Option<Bytes>,
    over: bool,
}

impl std::fmt::Debug for Hearing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hearing").field("free", &self.free).finish_non_exhaustive()
    }
}

impl Hearing {
    /// What a listener hears from here on.
    pub(super) fn new(listener: Listener, free: Option<FreeCall>, status: u16) -> Self {
        Self { listener, free, status, waiting: None, held: None, over: false }
    }

    /// The next bytes; `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(written) = &mut self.waiting {
                ready!(written.as_mut().poll(cx));
                self.waiting = None;
            }
            if let Some(bytes) = self.held.take() {
                return Poll::Ready(Some(bytes));
            }
            if self.over {
                return Poll::Ready(None);
            }
            if let Some(stop) = self.free.as_mut().and_then(FreeCall::stopped) {
                self.stop(&stop);
                continue;
            }
            match ready!(self.listener.poll_next(cx)) {
                Next::Part(bytes, last) => {
                    if last {
                        self.settle();
                    }
                    self.held = Some(bytes);
                }
                Next::End => {
                    self.settle();
                    self.over = true;
                }
                Next::Lost => {
                    if let Some(free) = self.free.take() {
                        free.cancel();
                    }
                    self.over = true;
                }
            }
        }
    }

    /// An operator has stopped calls like this one: it ends here, the others go on.
    fn stop(&mut self, stop: &Stop) {
        self.over = true;
        if let Some(free) = self.free.take() {
            self.wait_for(free.fail(stop.code));
        }
    }

    /// Settles the call as the one was settled that pays.
    fn settle(&mut self) {
        let Some(free) = self.free.take() else { return };
        let written = match self.listener.flight().audience.told() {
            Some(told) => {
                let ending = Ending::of(&told.record, told.outcome);
                free.end(&FreeEnd { status: self.status, ending: &ending })
            }
            None => free.fail(Code::UpstreamError),
        };
        self.wait_for(written);
    }

    fn wait_for(&mut self, written: Written) {
        if let pending @ Written::Pending(_) = written {
            self.waiting = Some(Box::pin(async move { drop(pending.durable().await) }));
        }
    }
}

/// Waits for the head of an answer on behalf of a listener, and looks meanwhile whether calls like its
/// own were stopped.
pub(super) async fn head(
    listener: &Listener,
    free: &mut Option<FreeCall>,
) -> Result<Arc<super::flight::Heading>, Unheard> {
    std::future::poll_fn(|cx| {
        if let Some(stop) = free.as_mut().and_then(FreeCall::stopped) {
            return Poll::Ready(Err(Unheard::Stopped(stop)));
        }
        listener.poll_head(cx).map_err(Unheard::Ended)
    })
    .await
}

/// Why a listener gets no answer.
pub(super) enum Unheard {
    /// There is none.
    Ended(super::flight::End),
    /// An operator has stopped calls like its own.
    Stopped(Stop),
}
