//! The beginning of a stream, held back until it speaks: until there is text, or half a second after
//! its first bytes. Then it is the answer, and nothing else will be. A stream that fails before has
//! told the client nothing, and another attempt can be made.
//!
//! It owns call and stream while it waits, and hands both over where the client goes away.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::forward::Ended;
use crate::leftover::Leftover;
use crate::open_call::OpenCall;
use crate::pump::{Beginning, Ending, Pump};
use crate::standing::refuse_stopped;
use crate::upstream::{Broken, Phase};

/// A stream, or why there is none and what was seen of it.
type Opened = Result<Box<Pump>, (Ended, Box<Ending>)>;

/// A stream that has not spoken yet.
pub(super) struct Opening(Option<(Box<OpenCall>, Box<Pump>)>);

impl Opening {
    pub(super) fn new(call: Box<OpenCall>, pump: Box<Pump>) -> Self {
        Self(Some((call, pump)))
    }
}

impl Future for Opening {
    type Output = (Box<OpenCall>, Opened);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let ended = loop {
            let Some((call, pump)) = &mut this.0 else { return Poll::Pending };
            break match ready!(pump.poll_beginning(cx)) {
                Beginning::Speaks => None,
                Beginning::Quiet => {
                    let call: &OpenCall = call;
                    match refuse_stopped(&call.plane, &call.snapshot, &call.traffic()) {
                        Ok(()) => continue,
                        Err(stop) => Some(Ended::Stopped(stop)),
                    }
                }
                Beginning::Broken(broken) => Some(Ended::Broken(broken)),
                Beginning::Empty => {
                    let broken = Broken::new(Phase::Body, "the stream ended before it began");
                    Some(Ended::Broken(broken))
                }
            };
        };
        let Some((mut call, mut pump)) = this.0.take() else { return Poll::Pending };
        if ended.is_none() && pump.facts().error.is_none() {
            call.spoke();
        }
        let opened = match ended {
            None => Ok(pump),
            Some(ended) => Err((ended, Box::new(pump.ending(&call.chosen.target.model)))),
        };
        Poll::Ready((call, opened))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some((call, pump)) = self.0.take() {
            Leftover::Streaming(call, pump).hand_over();
        }
    }
}
