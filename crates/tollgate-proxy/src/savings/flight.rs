//! An answer on its way that several may listen to: one upstream call, and whoever asks the same
//! meanwhile gets its bytes from the beginning.
//!
//! Nobody drives it but its listeners: whoever waits for more polls the upstream call, and its news
//! wake all. So there is no task of its own, the one who pays may go away while others listen on, and
//! a listener that reads slowly holds nobody up: what has come stays until all have read it, as far
//! as there is room. Beyond that the answer is neither kept nor open to further listeners, the one
//! who pays sets the pace, and others who fall behind are cut off.
//!
//! When the last listener leaves, the upstream call is dropped and goes the way of any call whose
//! client has gone; under an idempotency key it is brought to its end first, because its client has
//! said that it will ask again.

mod listener;
mod state;
mod wakers;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body as _;
use parking_lot::Mutex;

use super::audience::Audience;
use super::kept::{Content, Ending, Failure, Head, Kept};
use super::key::Digest;
use super::repetition::is_final;
use crate::leftover::Leftover;
use crate::metrics::TargetMetrics;
use crate::plane::Plane;
use crate::stop::Stop;
use crate::streaming::RelayBody;
pub(crate) use listener::Listener;
pub(super) use state::{Bringer, End, Heading, Next};
use state::{PAYER, Source, State};
use wakers::Wakers;

/// What an answer is heard for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// To be kept in the prompt cache, for so long.
    Cache { ttl: Duration },
    /// To be given again to whoever repeats the idempotency key of this request.
    Repetition { ttl: Duration, request: [u8; 16] },
}

/// An answer on its way.
pub struct Flight {
    /// What all calls share.
    pub(crate) plane: Arc<Plane>,
    pub(super) key: Digest,
    pub(super) purpose: Purpose,
    /// How its call ends.
    pub(super) audience: Arc<Audience>,
    /// Who was chosen first to serve it.
    pub(super) provider: Arc<str>,
    /// Handles of the metrics of calls like it.
    pub(super) metrics: Arc<TargetMetrics>,
    state: Mutex<State>,
    /// Whom news wake; apart from the state, because the upstream call may wake while it is polled.
    wakers: Wakers,
    /// Whether anybody may join it.
    open: AtomicBool,
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

impl Flight {
    /// A flight whose call has yet to be admitted; its one listener pays.
    pub(super) fn new(
        (plane, key, purpose): (&Arc<Plane>, Digest, Purpose),
        audience: Arc<Audience>,
        (provider, metrics): (Arc<str>, Arc<TargetMetrics>),
    ) -> Arc<Self> {
        let state = State::new(plane.savings.room.take_part());
        Arc::new(Self {
            plane: Arc::clone(plane),
            key,
            purpose,
            audience,
            provider,
            metrics,
            state: Mutex::new(state),
            wakers: Wakers::default(),
            open: AtomicBool::new(true),
        })
    }

    /// What brings the answer is known now.
    pub(super) fn start(&self, bringer: Bringer) {
        self.state.lock().source = Source::Awaited(bringer);
        self.wakers.wake(None);
    }

    /// Nobody else may join it from now on.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Whether anybody may join it.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether it answers this request, where an idempotency key stands for one.
    pub(super) fn repeats(&self, asked: [u8; 16]) -> bool {
        matches!(self.purpose, Purpose::Repetition { request, .. } if request == asked)
    }

    /// One more listener, from the beginning; `None` where it is too late.
    pub(super) fn join(self: &Arc<Self>) -> Option<Listener> {
        let mut state = self.state.lock();
        if !self.is_open() || !state.recording || state.end.is_some() {
            return None;
        }
        let id = state.join();
        drop(state);
        Some(Listener { flight: Arc::clone(self), id })
    }

    /// The listener that pays.
    pub(super) fn payer(self: &Arc<Self>) -> Listener {
        Listener { flight: Arc::clone(self), id: PAYER }
    }

    /// Ends it before its call was admitted: whoever has joined looks again.
    pub(super) fn give_up(&self) {
        let mut state = self.state.lock();
        state.end.get_or_insert(End::Undecided);
        state.source = Source::Over;
        drop(state);
        self.leave_book();
        self.wakers.wake(None);
    }

    /// Whether it is to be brought to its end when nobody listens any more.
    fn outlives(&self) -> bool {
        matches!(self.purpose, Purpose::Repetition { .. })
    }

    /// Takes the listener `id` out. Where it was the last one, the call is let go.
    fn leave(self: &Arc<Self>, id: u64) {
        self.wakers.remove(id);
        let mut state = self.state.lock();
        state.listeners.remove(&id);
        state.trim();
        if state.end.is_some() {
            return;
        }
        if id == PAYER {
            self.audience.payer_leaves();
        }
        let last = state.listeners.is_empty();
        let started = !matches!(state.source, Source::Waiting | Source::Over);
        if last && !(self.outlives() && started) {
            state.end = Some(End::Undecided);
            let source = std::mem::replace(&mut state.source, Source::Over);
            drop(state);
            self.leave_book();
            drop(source);
            return;
        }
        drop(state);
        if last {
            Leftover::Flight(Arc::clone(self)).hand_over();
        } else {
            // Somebody else has to ask for more.
            self.wakers.wake(None);
        }
    }

    /// Lets the call go, whoever listens: the program is ending, or nobody waits any longer.
    pub(crate) fn let_go(&self) {
        let mut state = self.state.lock();
        let is_lost = state.end.is_none();
        state.end.get_or_insert(End::Undecided);
        let source = std::mem::replace(&mut state.source, Source::Over);
        drop(state);
        if is_lost && self.outlives() {
            // What it may have cost is asked of the ledger when the key comes again.
            self.plane.savings.repetitions().forgets(&self.plane.clock);
        }
        self.leave_book();
        self.wakers.wake(None);
        drop(source);
    }

    /// Brings the answer to its end though nobody listens.
    pub(crate) async fn finish(self: &Arc<Self>) {
        std::future::poll_fn(|cx| {
            self.poll(PAYER, cx.waker(), |state| {
                // Nobody reads what comes; it is there for those who join.
                if !state.recording && state.listeners.is_empty() {
                    state.drop_chunks();
                }
                state.end.is_some().then_some(())
            })
        })
        .await;
    }

    /// Waits until `look` finds something, asking the upstream call for more.
    fn poll<T>(
        self: &Arc<Self>,
        id: u64,
        waker: &Waker,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Poll<T> {
        self.wakers.register(id, waker);
        let (mut news, mut over) = (false, false);
        let found = {
            let mut state = self.state.lock();
            loop {
                if let Some(found) = look(&mut state) {
                    // One that sets the pace has made room for the others.
                    news |= !state.recording;
                    break Some(found);
                }
                if !self.drive(&mut state) {
                    break None;
                }
                news = true;
                over |= state.end.is_some() || !state.recording;
            }
        };
        if over {
            self.leave_book();
        }
        if news {
            self.wakers.wake(Some(id));
        }
        found.map_or(Poll::Pending, Poll::Ready)
    }

    /// Asks the upstream call for more; whether there is news.
    fn drive(self: &Arc<Self>, state: &mut State) -> bool {
        if matches!(state.source, Source::Body(_)) && !self.has_room(state) {
            return false;
        }
        let waker = Waker::from(Arc::clone(self));
        let mut cx = Context::from_waker(&waker);
        match &mut state.source {
            Source::Waiting | Source::Over => false,
            Source::Awaited(bringer) => match bringer.as_mut().poll(&mut cx) {
                Poll::Pending => false,
                Poll::Ready(answered) => {
                    self.answered(state, answered);
                    true
                }
            },
            Source::Body(body) => match Pin::new(&mut **body).poll_frame(&mut cx) {
                Poll::Pending => false,
                Poll::Ready(Some(Ok(frame))) => {
                    let settled = self.audience.told().is_some();
                    state.push(frame.into_data().unwrap_or_default(), settled);
                    true
                }
                Poll::Ready(None) => {
                    self.done(state);
                    true
                }
            },
        }
    }

    /// Whether there is room for more of the body. Where there is none for all of it, nobody may join
    /// any more, and it passes as it is read.
    fn has_room(&self, state: &mut State) -> bool {
        if state.room.has_room(state.recording) {
            return true;
        }
        self.close();
        state.record_no_more();
        state.make_room()
    }

    /// The head of the answer has come, or there is none.
    fn answered(&self, state: &mut State, answered: Result<Response<RelayBody>, Stop>) {
        match answered {
            Err(stop) => {
                let failure = Failure::of(&stop);
                state.source = Source::Over;
                self.keep(state, || Content::Failure(failure.clone()));
                // The refusal of a limit is one of the call that met it: others ask for themselves.
                let own = stop.limit.is_some();
                state.end = Some(if own { End::Undecided } else { End::Failed(failure) });
                state.stop = Some(stop);
            }
            Ok(response) => {
                let (head, mut body) = response.into_parts();
                let shared = Head::of(head.status.as_u16(), &head.headers);
                let whole = body.take_whole();
                state.head =
                    Some(Arc::new(Heading { own: head.headers, shared, whole: whole.clone() }));
                match whole {
                    Some(bytes) => {
                        state.room.add(bytes.len());
                        state.recording &= state.room.has_room(true);
                        self.keep(state, || Content::Whole(Bytes::copy_from_slice(&bytes)));
                        state.source = Source::Over;
                        state.end = Some(End::Done);
                    }
                    None => state.source = Source::Body(Box::new(body)),
                }
            }
        }
    }

    /// The body has ended.
    fn done(&self, state: &mut State) {
        self.keep(state, || {
            let (all, ends) = state.joined();
            Content::Stream(all, ends)
        });
        state.source = Source::Over;
        state.end = Some(End::Done);
    }

    /// Keeps the answer, where it may be given again. Called before the flight ends, so that
    /// whoever asks the same meets either of them.
    fn keep(&self, state: &State, content: impl FnOnce() -> Content) {
        let savings = &self.plane.savings;
        let head = state.head.as_ref().map(|head| head.shared.clone());
        let status = state.head.as_ref().map(|head| head.shared.status);
        let told = self.audience.told();
        let kept = |request: [u8; 16]| {
            let ending =
                told.map_or_else(Ending::promised, |told| Ending::of(&told.record, told.outcome));
            let provider = told.map_or(&self.provider, |told| &told.record.provider);
            Kept {
                head: head.unwrap_or(Head { status: 0, headers: Box::default() }),
                content: content(),
                ending,
                provider: Arc::clone(provider),
                metrics: Arc::clone(&self.metrics),
                request,
            }
        };
        match self.purpose {
            Purpose::Cache { ttl } if state.recording && told.is_some_and(|told| told.whole) => {
                savings.cache().keep(&self.key, kept([0; 16]), ttl, &self.plane.clock);
            }
            Purpose::Repetition { ttl, request } if is_final(status, told) => {
                let book = savings.repetitions();
                if state.recording {
                    book.keep(&self.key, kept(request), ttl, &self.plane.clock);
                } else {
                    book.forgets(&self.plane.clock);
                }
            }
            _ => {}
        }
    }

    fn leave_book(&self) {
        let savings = &self.plane.savings;
        match self.purpose {
            Purpose::Cache { .. } => savings.cache().leave(self),
            Purpose::Repetition { .. } => savings.repetitions().leave(self),
        }
    }
}

impl Wake for Flight {
    fn wake(self: Arc<Self>) {
        self.wakers.wake(None);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakers.wake(None);
    }
}
