//! One request to a provider. It asks for an [`OpenCall`], which only admission makes, so nothing
//! reaches the network unadmitted; how often it is made is decided in [`crate::attempts`].
//!
//! The exchange is one future from the first byte sent to the head of the answer (and, unless it is
//! a stream, to its end). When the client goes away meanwhile, that future is not lost: it is
//! handed to the task that looks after such calls, with the call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::plane::Plane;
use crate::provider::Backend;
use crate::standing::refuse_stopped;
use crate::stop::Stop;
use crate::upstream::{Broken, Phase};

/// How often a call that waits for its answer looks whether calls like it were stopped.
const LOOK: Duration = Duration::from_millis(500);

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
    let head_seen = Arc::new(AtomicBool::new(false));
    let (exchange, first_byte, total): (Exchange, _, _) = match &call.chosen.target.provider.backend
    {
        Backend::Remote(remote) => {
            let request = request(&call, remote, head);
            let pool = Arc::clone(&remote.pool);
            let (wants_stream, seen) = (call.peek.stream, Arc::clone(&head_seen));
            let max_answer = call.snapshot.settings.max_answer;
            let exchange = async move {
                let response = pool.send(request?).await?;
                seen.store(true, Ordering::Release);
                Answer::of(response, wants_stream, max_answer).await
            };
            (Box::pin(exchange), remote.first_byte, remote.total)
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
            let patience = call.snapshot.settings.drain_for;
            (Box::pin(Answer::of_simulated(plan)), patience, patience)
        }
    };
    let deadline = call.tries.deadline();
    let watch = Watch::new(&call.plane, head_seen, (first_byte, total), deadline);
    Forwarded { waiting: Some((call, exchange)), watch }
}

impl Forwarded {
    fn end(&mut self, answered: Result<Answer, Ended>) -> Poll<<Self as Future>::Output> {
        match self.waiting.take() {
            Some((call, _)) => Poll::Ready((call, answered)),
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

/// Watches time and the kill switch while an answer is awaited: one timer for all of it.
struct Watch {
    alarm: Option<Pin<Box<Sleep>>>,
    first_byte: Instant,
    total: Instant,
    head_seen: Arc<AtomicBool>,
    change: u64,
}

impl Watch {
    fn new(
        plane: &Plane,
        head_seen: Arc<AtomicBool>,
        (first_byte, total): (Duration, Duration),
        deadline: Option<Instant>,
    ) -> Self {
        let now = Instant::now();
        let (first_byte, total) = (now + first_byte, now + total);
        let total = deadline.map_or(total, |deadline| deadline.min(total));
        Self { alarm: None, first_byte, total, head_seen, change: plane.switches.change() }
    }

    fn poll_end(&mut self, call: &OpenCall, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            if let Some(alarm) = &mut self.alarm {
                ready!(alarm.as_mut().poll(cx));
                if let Some(ended) = self.ended(call) {
                    return Poll::Ready(ended);
                }
            }
            let mut due = self.total.min(Instant::now() + LOOK);
            if !self.head_seen.load(Ordering::Acquire) {
                due = due.min(self.first_byte);
            }
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(due),
                None => self.alarm = Some(Box::pin(tokio::time::sleep_until(due))),
            }
        }
    }

    fn ended(&mut self, call: &OpenCall) -> Option<Ended> {
        let now = Instant::now();
        let late = |what| Some(Ended::Broken(Broken::timed_out(Phase::Request, what)));
        if now >= self.total {
            return late("no whole answer in time");
        }
        if now >= self.first_byte && !self.head_seen.load(Ordering::Acquire) {
            return late("no answer in time");
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

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or_default()
}
