//! A call between two attempts. It belongs to this future, so that a client which goes away
//! meanwhile leaves a call that is settled, once, at what its attempts have cost.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::forward::LOOK;
use crate::leftover::Leftover;
use crate::open_call::OpenCall;
use crate::standing::refuse_stopped;
use crate::stop::Stop;

/// A call that waits; gives it back with why it ends, where an operator has stopped it.
pub(super) struct Pause {
    call: Option<Box<OpenCall>>,
    until: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Pause {
    pub(super) fn new(call: Box<OpenCall>, time: Duration) -> Self {
        let now = Instant::now();
        let until = now + time;
        let alarm = Box::pin(tokio::time::sleep_until(until.min(now + LOOK)));
        Self { call: Some(call), until, alarm }
    }
}

impl Future for Pause {
    type Output = (Box<OpenCall>, Option<Stop>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            ready!(this.alarm.as_mut().poll(cx));
            let stopped = this.call.as_deref().and_then(|call| {
                refuse_stopped(&call.plane, &call.snapshot, &call.traffic()).err()
            });
            let now = Instant::now();
            if stopped.is_none() && now < this.until {
                this.alarm.as_mut().reset(this.until.min(now + LOOK));
                continue;
            }
            return match this.call.take() {
                Some(call) => Poll::Ready((call, stopped)),
                None => Poll::Pending,
            };
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            Leftover::Paused(call).hand_over();
        }
    }
}
