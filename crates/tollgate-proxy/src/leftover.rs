//! Calls whose client has gone, and rows that could not be written: looked after by one task, so
//! that a `drop` only hands over and never works.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate_admission::identity::OnDisconnect;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::fault::Code;
use tollgate_wire::dialect::read_answer;

use crate::answer::{Answer, AnswerBody};
use crate::forward::Exchange;
use crate::open_call::{End, OpenCall, Received};
use crate::plane::Plane;
use crate::pump::{Patience, Pump, Step};
use crate::relay::pump;
use crate::savings::{Flight, FreeCall};
use crate::stored::{await_answer, is_promise};

/// How long to wait before a row that could not be written is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What is left over when a client goes away or a disk refuses.
pub enum Leftover {
    /// A call whose answer had not begun.
    Awaited(Box<OpenCall>, Exchange),
    /// A call whose stream was under way.
    Streaming(Box<OpenCall>, Box<Pump>),
    /// A call whose answer is made in the background, under this id of the provider.
    Background(Box<OpenCall>, Box<str>),
    /// A call between two attempts.
    Paused(Box<OpenCall>),
    /// A call whose answer is not bought.
    Free(FreeCall),
    /// An answer that nobody hears any more and that is to be there when it is asked for again.
    Flight(Arc<Flight>),
    /// A row that could not be written.
    Unwritten(Arc<CallRecord>),
}

impl std::fmt::Debug for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Awaited(..) => "Leftover::Awaited",
            Self::Streaming(..) => "Leftover::Streaming",
            Self::Background(..) => "Leftover::Background",
            Self::Paused(_) => "Leftover::Paused",
            Self::Free(_) => "Leftover::Free",
            Self::Flight(_) => "Leftover::Flight",
            Self::Unwritten(_) => "Leftover::Unwritten",
        })
    }
}

impl Leftover {
    /// Hands over to the task that looks after leftovers.
    pub fn hand_over(self) {
        let sender = match &self {
            Self::Awaited(call, _)
            | Self::Streaming(call, _)
            | Self::Background(call, _)
            | Self::Paused(call) => call.plane.leftovers.clone(),
            Self::Flight(flight) => flight.plane.leftovers.clone(),
            Self::Free(_) | Self::Unwritten(_) => return,
        };
        // Nobody listens only when the program has ended; then the intent on disk speaks.
        drop(sender.send(self));
    }
}

/// Looks after leftovers until `finish` says that no more will come, then until the last is settled.
pub async fn look_after(
    plane: Arc<Plane>,
    mut leftovers: UnboundedReceiver<Leftover>,
    mut finish: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    let ending = finish.clone();
    let mut is_last = false;
    loop {
        // What is let go at the end comes back as another leftover.
        if is_last && tasks.is_empty() && leftovers.is_empty() {
            leftovers.close();
        }
        tokio::select! {
            _ = finish.wait_for(|finish| *finish), if !is_last => is_last = true,
            leftover = leftovers.recv() => match leftover {
                Some(Leftover::Unwritten(record)) => {
                    tasks.spawn(write_again(Arc::clone(&plane), record));
                }
                Some(Leftover::Awaited(call, exchange)) => {
                    tasks.spawn(finish_awaited(call, exchange, ending.clone()));
                }
                Some(Leftover::Paused(call)) => end_cancelled(call, Received::Nothing),
                Some(Leftover::Streaming(call, pump)) => {
                    tasks.spawn(finish_stream(call, pump, ending.clone()));
                }
                Some(Leftover::Free(call)) => call.cancel(),
                Some(Leftover::Flight(flight)) => {
                    tasks.spawn(finish_flight(flight, ending.clone()));
                }
                Some(Leftover::Background(call, id)) => {
                    tasks.spawn(await_answer(call, id, ending.clone()));
                }
                None => break,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn write_again(plane: Arc<Plane>, record: Arc<CallRecord>) {
    while plane.gate.record(Arc::clone(&record)).is_err() {
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Nobody hears an answer any more that is to be there when it is asked for again. What is not done in
/// time goes the way of any call whose client has gone.
async fn finish_flight(flight: Arc<Flight>, mut finish: watch::Receiver<bool>) {
    let limit = flight.plane.snapshot.load().settings.drain_for;
    tokio::select! {
        _ = finish.wait_for(|finish| *finish) => {}
        _ = tokio::time::timeout(limit, flight.finish()) => {}
    }
    flight.let_go();
}

/// The client left before the answer began.
async fn finish_awaited(
    call: Box<OpenCall>,
    exchange: Exchange,
    mut finish: watch::Receiver<bool>,
) {
    // An answer in the background is made whether somebody listens or not.
    if call.on_disconnect == OnDisconnect::Abort && !call.peek.background {
        drop(exchange);
        return end_cancelled(call, Received::Unanswered);
    }
    let limit = call.snapshot.settings.drain_for;
    let answered = tokio::select! {
        _ = finish.wait_for(|finish| *finish) => return end_cancelled(call, Received::Unanswered),
        answered = tokio::time::timeout(limit, exchange) => answered,
    };
    match answered {
        Ok(Ok(Answer { head, body: AnswerBody::Whole(body) })) => {
            let rules = call.chosen.target.provider.vendor.usage;
            let facts = read_answer(call.operation(), rules, &body);
            if let Some(id) = facts.id.clone().filter(|_| is_promise(call.operation(), &facts)) {
                return await_answer(call, id, finish).await;
            }
            if !head.status.is_success() {
                end_cancelled(call, Received::Nothing);
            } else if facts.cut {
                end_part(call, &body, finish).await;
            } else {
                end_cancelled(call, Received::Whole(&facts, &body));
            }
        }
        Ok(Ok(Answer { head, body: AnswerBody::Stream(source) })) => {
            let pump = pump(&call, &head, source, Patience { idle: limit, total: limit });
            finish_stream(call, Box::new(pump), finish).await;
        }
        Ok(Err(broken)) => match broken.generated() {
            Some(part) => end_part(call, part, finish).await,
            None => end_cancelled(call, Received::Nothing),
        },
        Err(_) => end_cancelled(call, Received::Unanswered),
    }
}

/// The answer broke off after this part of it, and nobody listens any more.
async fn end_part(call: Box<OpenCall>, part: &[u8], finish: watch::Receiver<bool>) {
    let facts = call.remains(part);
    match call.goes_on(&facts) {
        Some(id) => await_answer(call, id, finish).await,
        None => end_cancelled(call, Received::Part(&facts, part)),
    }
}

/// The client left while the answer was streaming.
async fn finish_stream(
    call: Box<OpenCall>,
    mut pump: Box<Pump>,
    mut finish: watch::Receiver<bool>,
) {
    // An answer in the background is awaited by polling as soon as its name is known.
    let background = call.peek.background;
    let enough = |pump: &Pump| background && pump.is_named();
    if (call.on_disconnect == OnDisconnect::Drain || background) && !enough(&pump) {
        pump.hurry(call.snapshot.settings.drain_for);
        let drained = async {
            while let Step::Bytes(_) | Step::Tick = poll_fn(|cx| pump.poll_step(cx)).await {
                if enough(&pump) {
                    break;
                }
            }
        };
        // When the program ends, what has come by then is what is charged.
        tokio::select! {
            _ = finish.wait_for(|finish| *finish) => {}
            () = drained => {}
        }
    }
    let ending = pump.ending(&call.chosen.target.model);
    drop(pump);
    if let Some(id) = call.goes_on(&ending.facts.answer) {
        return await_answer(call, id, finish).await;
    }
    end_cancelled(call, Received::Stream(&ending));
}

/// Settles a call whose client has gone.
fn end_cancelled(call: Box<OpenCall>, received: Received<'_>) {
    let code = Code::ClientClosed;
    let end = End {
        status: code.status(),
        outcome: Outcome::Cancelled,
        error_type: Some(Arc::from(code.as_str())),
        received,
    };
    // A row that could not be written comes back as a leftover of its own.
    drop(call.end(&end));
}
