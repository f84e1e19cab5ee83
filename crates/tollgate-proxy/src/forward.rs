//! One request to a provider. It asks for an [`OpenCall`], which only admission makes, so nothing
//! reaches the network unadmitted; how often it is made is decided in [`crate::attempts`].
//!
//! The exchange is one future from the first byte sent to the head of the answer (and, unless it is
//! a stream, to its end). When the client goes away meanwhile, that future is not lost: it is
//! handed to the task that looks after such calls, with the call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::request::Parts;
use jiff::Timestamp;
use tokio::time::{Instant, Sleep};
use tollgate_wire::simulated::{self, Ask};

use crate::answer::Answer;
use crate::leftover::Leftover;
use crate::open_call::OpenCall;
use crate::outgoing::request;
use crate::provider::Backend;
use crate::standing::refuse_stopped;
use crate::stop::Stop;
use crate::upstream::{Bounds, Broken, Phase};

/// How often a call that waits looks whether calls like it were stopped.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// The future that brings an answer.
pub(crate) type Exchange = Pin<Box<dyn Future<Output = Result<Answer, Broken>> + Send>>;

/// A call whose answer is awaited.
pub struct Forwarded {
    waiting: Option<(Box<OpenCall>, Exchange)>,
    watch: Watch,
}

impl std::fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forwarded(..)")
    }
}

/// Sends an admitted call on its way.
pub fn forward(call: Box<OpenCall>, head: &Parts) -> Forwarded {
    let head_seen = Arc::new(AtomicU16::new(0));
    let (exchange, head_due): (Exchange, _) = match &call.chosen.target.provider.backend {
        Backend::Remote(remote) => {
            let request = request(&call, remote, head);
            let pool = Arc::clone(&remote.pool);
            let (wants_stream, seen) = (call.peek.stream, Arc::clone(&head_seen));
            let bounds = Bounds {
                most: call.snapshot.settings.max_answer,
                idle: remote.idle,
                deadline: patience_of(&call, remote.total),
            };
            let exchange = async move {
                let response = pool.send(request?).await?;
                seen.store(response.status().as_u16(), Ordering::Release);
                Answer::of(response, wants_stream, bounds).await
            };
            (Box::pin(exchange), patience_of(&call, remote.first_byte.min(remote.total)))
        }
        Backend::Simulated(script) => {
            let (body, peek) = call.sent();
            let ask = Ask {
                endpoint: call.operation(),
                peek,
                body,
                include_usage: true,
                call: call.plane.ids.draw(),
                created: seconds(call.admitted.record().time),
            };
            let plan = simulated::answer(script, &ask);
            let head_due = patience_of(&call, call.snapshot.settings.drain_for);
            (Box::pin(Answer::of_simulated(plan)), head_due)
        }
    };
    let watch = Watch::new(&call, head_seen, head_due);
    Forwarded { waiting: Some((call, exchange)), watch }
}

impl Forwarded {
    fn end(&mut self, answered: Result<Answer, Ended>) -> Poll<<Self as Future>::Output> {
        match self.waiting.take() {
            Some((mut call, _)) => {
                let status = answered.as_ref().ok().map(|answer| answer.head.status.as_u16());
                if let Some(status) = status.or_else(|| self.watch.head()) {
                    call.tries.head_came(status);
                }
                Poll::Ready((call, answered))
            }
            None => Poll::Pending,
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Ended {
    /// The exchange with the provider broke.
    Broken(Broken),
    /// An operator stopped calls like it.
    Stopped(Stop),
}

impl Future for Forwarded {
    type Output = (Box<OpenCall>, Result<Answer, Ended>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some((call, exchange)) = &mut this.waiting else { return Poll::Pending };
        if let Poll::Ready(answered) = exchange.as_mut().poll(cx) {
            return this.end(answered.map_err(Ended::Broken));
        }
        match ready!(this.watch.poll_end(call, cx)) {
            Ended::Broken(broken) => this.end(Err(Ended::Broken(broken))),
            Ended::Stopped(stop) => this.end(Err(Ended::Stopped(stop))),
        }
    }
}

/// Watches the kill switch while an answer is awaited, and time until its head is there; then the
/// exchange itself does, for it knows what has come.
struct Watch {
    alarm: Option<Pin<Box<Sleep>>>,
    /// The status of the answer; zero before its head.
    head: Arc<AtomicU16>,
    /// By when its head is to be there.
    head_due: Instant,
    change: u64,
}

impl Watch {
    fn new(call: &OpenCall, head: Arc<AtomicU16>, head_due: Instant) -> Self {
        Self { alarm: None, head, head_due, change: call.plane.switches.change() }
    }

    /// The status of the answer; `None` before its head.
    fn head(&self) -> Option<u16> {
        Some(self.head.load(Ordering::Acquire)).filter(|status| *status != 0)
    }

    fn poll_end(&mut self, call: &OpenCall, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            if let Some(alarm) = &mut self.alarm {
                ready!(alarm.as_mut().poll(cx));
                if let Some(ended) = self.ended(call) {
                    return Poll::Ready(ended);
                }
            }
            let mut due = Instant::now() + LOOK;
            if self.head().is_none() {
                due = due.min(self.head_due);
            }
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(due),
                None => self.alarm = Some(Box::pin(tokio::time::sleep_until(due))),
            }
        }
    }

    fn ended(&mut self, call: &OpenCall) -> Option<Ended> {
        if Instant::now() >= self.head_due && self.head().is_none() {
            let broken = Broken::timed_out(Phase::Request, "no answer in time");
            return Some(Ended::Broken(broken));
        }
        let change = call.plane.switches.change();
        if std::mem::replace(&mut self.change, change) == change {
            return None;
        }
        refuse_stopped(&call.plane, &call.snapshot, &call.traffic()).err().map(Ended::Stopped)
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        if let Some((call, exchange)) = self.waiting.take() {
            Leftover::Awaited(call, exchange).hand_over();
        }
    }
}

/// The end of so long a wait from now, at most that of the whole call.
fn patience_of(call: &OpenCall, wait: Duration) -> Instant {
    let due = Instant::now() + wait;
    call.tries.deadline().map_or(due, |deadline| deadline.min(due))
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or_default()
}
