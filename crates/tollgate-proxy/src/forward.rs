//! One request to a provider. It asks for an [`OpenCall`], which only admission makes, so nothing
//! reaches the network unadmitted; how often it is made is decided in [`crate::attempts`].
//!
//! The exchange is one future from the first byte sent to the head of the answer (and, unless it is
//! a stream, to its end). When the client goes away meanwhile, that future is not lost: it is
//! handed to the task that looks after such calls, with the call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
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
    let progress = Arc::new(Progress::start());
    let (exchange, patience): (Exchange, _) = match &call.chosen.target.provider.backend {
        Backend::Remote(remote) => {
            let request = request(&call, remote, head);
            let pool = Arc::clone(&remote.pool);
            let (wants_stream, seen) = (call.peek.stream, Arc::clone(&progress));
            let max_answer = call.snapshot.settings.max_answer;
            let exchange = async move {
                let response = pool.send(request?).await?;
                seen.head(response.status().as_u16());
                Answer::of(response, wants_stream, max_answer, || seen.note()).await
            };
            let (first_byte, idle, total) = (remote.first_byte, remote.idle, remote.total);
            (Box::pin(exchange), Patience { first_byte, idle, total })
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
            let total = call.snapshot.settings.drain_for;
            let patience = Patience { first_byte: total, idle: total, total };
            (Box::pin(Answer::of_simulated(plan)), patience)
        }
    };
    let watch = Watch::new(&call, progress, patience);
    Forwarded { waiting: Some((call, exchange)), watch }
}

impl Forwarded {
    fn end(&mut self, answered: Result<Answer, Ended>) -> Poll<<Self as Future>::Output> {
        match self.waiting.take() {
            Some((mut call, _)) => {
                let status = answered.as_ref().ok().map(|answer| answer.head.status.as_u16());
                if let Some(status) = status.or_else(|| self.watch.progress.status()) {
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

/// How patiently an answer is awaited that is not passed on as it comes.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Until its head.
    first_byte: Duration,
    /// Between two parts of it.
    idle: Duration,
    /// In all.
    total: Duration,
}

/// How far an answer has come: when its last part came, in milliseconds from the start and one more;
/// zero before its head.
#[derive(Debug)]
struct Progress {
    start: Instant,
    last: AtomicU64,
    /// The status of its head.
    status: AtomicU16,
}

impl Progress {
    fn start() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0), status: AtomicU16::new(0) }
    }

    /// The head of the answer has come.
    fn head(&self, status: u16) {
        self.status.store(status, Ordering::Release);
        self.note();
    }

    /// The status of the answer; `None` before its head.
    fn status(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Acquire)).filter(|status| *status != 0)
    }

    /// A part of the answer has come.
    fn note(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last.store(millis + 1, Ordering::Release);
    }

    /// When the last part came; `None` before the head.
    fn last(&self) -> Option<Instant> {
        let millis = self.last.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.start + Duration::from_millis(millis))
    }
}

/// Watches time and the kill switch while an answer is awaited: one timer for all of it.
struct Watch {
    alarm: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
    patience: Patience,
    total: Instant,
    change: u64,
}

impl Watch {
    fn new(call: &OpenCall, progress: Arc<Progress>, patience: Patience) -> Self {
        let total = progress.start + patience.total;
        let total = call.tries.deadline().map_or(total, |deadline| deadline.min(total));
        Self { alarm: None, progress, patience, total, change: call.plane.switches.change() }
    }

    /// When it has taken too long, as things stand, and what is said of it then.
    fn due(&self) -> (Instant, Phase, &'static str) {
        let (due, phase, what) = match self.progress.last() {
            None => {
                let due = self.progress.start + self.patience.first_byte;
                (due, Phase::Request, "no answer in time")
            }
            Some(last) => (last + self.patience.idle, Phase::Body, "the answer paused"),
        };
        if self.total < due {
            (self.total, phase, "no whole answer in time")
        } else {
            (due, phase, what)
        }
    }

    fn poll_end(&mut self, call: &OpenCall, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            if let Some(alarm) = &mut self.alarm {
                ready!(alarm.as_mut().poll(cx));
                if let Some(ended) = self.ended(call) {
                    return Poll::Ready(ended);
                }
            }
            let due = self.due().0.min(Instant::now() + LOOK);
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(due),
                None => self.alarm = Some(Box::pin(tokio::time::sleep_until(due))),
            }
        }
    }

    fn ended(&mut self, call: &OpenCall) -> Option<Ended> {
        let (due, phase, what) = self.due();
        if Instant::now() >= due {
            return Some(Ended::Broken(Broken::timed_out(phase, what)));
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
