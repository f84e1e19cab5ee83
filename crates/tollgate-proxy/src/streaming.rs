//! The body of an answer on its way to a client: whole, or a stream whose end settles the call.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tollgate_admission::gate::Settled;
use tollgate_admission::ledger::{LedgerError, Written};
use tollgate_domain::fault::Code;
use tollgate_wire::count::count_tokens;
use tollgate_wire::error::meant;

use crate::leftover::Leftover;
use crate::open_call::{End, OpenCall};
use crate::pump::{Ending, Pump, Step};
use crate::relay::stop_of;
use crate::savings::Hearing;
use crate::stop::Stop;
use crate::upstream::{Broken, Phase};

/// Says, in a comment that clients skip, why a stream ends here.
const CUT_REMARK: &[u8] = b": tollgate: ended at the edge of the reservation\n\n";

/// The body of an answer to a client.
#[derive(Debug)]
pub struct RelayBody(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Option<Bytes>),
    /// A stream that is all there, in the parts in which it came.
    Pieces(VecDeque<Bytes>),
    Stream(Box<Streaming>),
    Heard(Box<Hearing>),
}

/// A stream to a client, and the call that its end settles.
struct Streaming {
    call: Option<Box<OpenCall>>,
    pump: Option<Box<Pump>>,
    status: u16,
    /// Resolves when the row is down; the last bytes wait for it.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The last bytes.
    last: VecDeque<Bytes>,
}

impl std::fmt::Debug for Streaming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streaming").field("call", &self.call).finish_non_exhaustive()
    }
}

impl RelayBody {
    /// A stream of `call` that `pump` brings.
    pub(crate) fn stream(call: Box<OpenCall>, pump: Box<Pump>, status: u16) -> Self {
        Self(Kind::Stream(Box::new(Streaming {
            call: Some(call),
            pump: Some(pump),
            status,
            waiting: None,
            last: VecDeque::new(),
        })))
    }

    /// A body that is all there.
    pub fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// A stream that is all there, in these parts.
    pub(crate) fn pieces(pieces: Vec<Bytes>) -> Self {
        Self(Kind::Pieces(pieces.into()))
    }

    /// A stream that others hear as well.
    pub(crate) fn heard(hearing: Hearing) -> Self {
        Self(Kind::Heard(Box::new(hearing)))
    }

    /// All of it, where it is no stream.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        match &mut self.0 {
            Kind::Whole(bytes) => Some(bytes.take().unwrap_or_default()),
            Kind::Pieces(_) | Kind::Stream(_) | Kind::Heard(_) => None,
        }
    }
}

impl http_body::Body for RelayBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = match &mut self.get_mut().0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take()),
            Kind::Pieces(pieces) => Poll::Ready(pieces.pop_front()),
            Kind::Stream(streaming) => streaming.poll_bytes(cx),
            Kind::Heard(hearing) => hearing.poll_bytes(cx),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(
                bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            ),
            Kind::Pieces(_) | Kind::Stream(_) | Kind::Heard(_) => SizeHint::default(),
        }
    }
}

impl Streaming {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(written) = &mut self.waiting {
                ready!(written.as_mut().poll(cx));
                self.waiting = None;
            }
            if let Some(bytes) = self.last.pop_front() {
                return Poll::Ready(Some(bytes));
            }
            let Some(pump) = &mut self.pump else {
                return Poll::Ready(None);
            };
            match ready!(pump.poll_step(cx)) {
                Step::Bytes(bytes) => {
                    self.spoke();
                    if self.passes_edge() {
                        self.cut();
                    }
                    return Poll::Ready(Some(bytes));
                }
                Step::Tick => self.heed_switches(),
                Step::Last(last) => {
                    self.heed_end();
                    self.settle(None);
                    self.last.extend(last);
                }
                Step::Ended => self.ended(),
                Step::Broken(broken) => {
                    self.broke_off();
                    self.stop(&stop_of(&broken));
                }
            }
        }
    }

    /// The target has begun to answer.
    fn spoke(&mut self) {
        if let Some(call) = &mut self.call {
            call.spoke();
        }
    }

    /// The target has broken off.
    fn broke_off(&mut self) {
        if let Some(call) = &mut self.call {
            call.broke_off();
        }
    }

    /// The target has come to an end of its own: of the answer, or an error of its own making.
    fn heed_end(&mut self) {
        let Some(pump) = &self.pump else { return };
        match &pump.facts().error {
            None => self.spoke(),
            Some(error) if meant(error) >= 500 => self.broke_off(),
            Some(_) => {}
        }
    }

    /// Whether the answer has reached the edge of its reservation.
    fn passes_edge(&mut self) -> bool {
        let (Some(call), Some(pump)) = (&mut self.call, &self.pump) else { return false };
        let model = &*call.chosen.target.model;
        let count = || pump.count_output(|text| count_tokens(model, text));
        call.edge.as_mut().is_some_and(|edge| edge.is_passed(pump.text_bytes(), count))
    }

    /// Ends the stream at the edge of its reservation, in the words of its form: as if the caller's
    /// own maximum had been reached. The provider is asked for no more.
    fn cut(&mut self) {
        let (Some(call), Some(mut pump)) = (self.call.take(), self.pump.take()) else { return };
        let end = pump.cut(&call.chosen.target.model);
        let usage = call.usage_of_cut(&end);
        let stated = call.peek.usage_asked.then_some(&usage);
        self.last.extend(pump.take_ready());
        if pump.takes_remarks() {
            self.last.push_back(Bytes::from_static(CUT_REMARK));
        }
        self.last.push_back(pump.cut_events(&call.chosen.target.model, stated));
        drop(pump);
        self.end_of(call, &end, &End::of_cut(&end, self.status));
    }

    /// Ends the stream where an operator has stopped calls like it.
    fn heed_switches(&mut self) {
        let Some(call) = &self.call else { return };
        if let Some(switch) = call.plane.switches.stopping(&call.traffic()) {
            let message = format!("calls are switched off ({}): {}", switch.reach, switch.reason);
            self.stop(&Stop::new(Code::KillSwitch, message));
        }
    }

    /// The provider has ended the stream.
    fn ended(&mut self) {
        if let (Some(call), Some(pump)) = (&self.call, &mut self.pump) {
            let ending = pump.ending(&call.chosen.target.model);
            self.last.extend(pump.take_rest());
            let early = || stop_of(&Broken::new(Phase::Body, "the stream ended before its end"));
            let stop = (!ending.facts.is_complete()).then(early);
            if let (Some(call), true) = (&mut self.call, stop.is_some()) {
                call.broke_off();
            }
            self.settle_at(&ending, stop.as_ref());
        }
        self.pump = None;
    }

    /// The stream ends before its end: the client is told in its dialect, and what came is charged.
    fn stop(&mut self, stop: &Stop) {
        self.settle(Some(stop));
        self.pump = None;
    }

    /// Settles the call, once; what is in `last` afterwards leaves when its row is down.
    fn settle(&mut self, stop: Option<&Stop>) {
        if let (Some(call), Some(pump)) = (&self.call, &mut self.pump) {
            let ending = pump.ending(&call.chosen.target.model);
            self.settle_at(&ending, stop);
        }
    }

    /// The same where the end is known. Where `stop` has cut it off, the client is told.
    fn settle_at(&mut self, ending: &Ending, stop: Option<&Stop>) {
        let Some(call) = self.call.take() else { return };
        self.end_of(call, ending, &End::of_stream(ending, self.status, stop));
        if let (Some(stop), Some(pump)) = (stop, &mut self.pump) {
            self.last.push_back(pump.error_event(stop));
        }
    }

    /// Settles the call, unless its provider goes on with the answer: then it stays open until that
    /// is made.
    fn end_of(&mut self, call: Box<OpenCall>, ending: &Ending, end: &End<'_>) {
        match call.goes_on(&ending.facts.answer) {
            Some(id) => Leftover::Background(call, id).hand_over(),
            None => self.wait_for(call.end(end)),
        }
    }

    /// What is in `last` leaves when the row is down. Where it cannot be written it is tried again
    /// elsewhere; the intent is down.
    fn wait_for(&mut self, ended: Result<Settled, LedgerError>) {
        if let Ok(Settled { written: pending @ Written::Pending(_), .. }) = ended {
            self.waiting = Some(Box::pin(async move { drop(pending.durable().await) }));
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if let (Some(call), Some(pump)) = (self.call.take(), self.pump.take()) {
            Leftover::Streaming(call, pump).hand_over();
        }
    }
}
