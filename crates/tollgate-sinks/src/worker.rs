//! The loop of a sink: takes what has gathered, hands it to the service, and tries again until the
//! service took it.
//!
//! What is on its way is kept by [`Hold`], never by a future: the loop may be dropped at any await,
//! and what was not delivered is put away. An order to end lets a request that is under way finish
//! within its time, because a service that got it twice might keep it twice.

mod hold;
mod load;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::event::Event;
use crate::progress::Progress;
pub(crate) use hold::Hold;

/// A kind of service. One batch is handed over at a time.
pub(crate) trait Sink: Send + 'static {
    /// What is sent to it.
    type Event: Event;

    /// Hands a batch over, and says what became of it. May be dropped at any await: the batch then
    /// counts as not delivered.
    fn send(&mut self, batch: &[Self::Event]) -> impl Future<Output = Delivery> + Send;
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The service has it, but for so many calls that it refused for good, and why.
    Taken {
        /// Refused for good.
        refused: usize,
        /// Why, where there are any.
        why: String,
    },
    /// The service has it, but for some that it may take later.
    Partly {
        /// Their places in the batch, in order.
        again: Vec<usize>,
        /// Refused for good.
        refused: usize,
        /// Why not all.
        why: String,
    },
    /// The service has none of it and may take it later.
    Later {
        /// Why.
        why: String,
        /// How long the service asked to wait.
        after: Option<Duration>,
    },
    /// The service refuses the batch for its size or for something in it: smaller ones tell which.
    Divide {
        /// Why.
        why: String,
    },
}

impl Delivery {
    /// The service has all of it.
    pub(crate) const fn taken() -> Self {
        Self::Taken { refused: 0, why: String::new() }
    }

    /// The service has none of it and may take it later.
    pub(crate) fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None }
    }
}

/// What a worker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Work,
    /// Hand over what can be within this time, put the rest away, and end.
    End {
        /// How long.
        within: Duration,
        /// Whether nobody comes after: what cannot be put on disk is then dropped.
        last: bool,
    },
}

/// A sink at work.
pub(crate) struct Worker<S: Sink> {
    sink: S,
    hold: Hold<S::Event>,
    backoff: Backoff,
    progress: Arc<Progress>,
}

impl<S: Sink> Worker<S> {
    pub(crate) const fn new(
        sink: S,
        hold: Hold<S::Event>,
        backoff: Backoff,
        progress: Arc<Progress>,
    ) -> Self {
        Self { sink, hold, backoff, progress }
    }

    /// Works until it is ordered to end.
    pub(crate) async fn run(mut self, orders: watch::Receiver<Order>) {
        let mut for_deadline = orders.clone();
        let deadline = async move {
            let (within, _) = ended(&mut for_deadline).await;
            tokio::time::sleep(within).await;
        };
        tokio::select! {
            biased;
            () = self.work(orders.clone()) => {}
            () = deadline => {}
        }
        let last = match *orders.borrow() {
            Order::End { last, .. } => last,
            Order::Work => true,
        };
        self.hold.put_away(last);
    }

    async fn work(&mut self, mut orders: watch::Receiver<Order>) {
        while matches!(*orders.borrow(), Order::Work) && orders.has_changed().is_ok() {
            tokio::select! {
                biased;
                _ = ended(&mut orders) => break,
                () = self.hold.take_up() => {}
            }
            let Err(asked) = self.attempt().await else { continue };
            self.hold.save();
            let wait = self.backoff.next(asked);
            tokio::select! {
                biased;
                _ = ended(&mut orders) => break,
                () = self.hold.gather_for(wait) => {}
            }
        }
        self.finish().await;
    }

    /// Hands over what is there, until there is nothing or the service fails.
    async fn finish(&mut self) {
        while !self.backoff.is_failing() && self.hold.take_up_now() {
            if let Err(asked) = self.attempt().await {
                self.backoff.next(asked);
            }
        }
    }

    /// Hands the load to the service once; an error says how long the service asked to wait.
    async fn attempt(&mut self) -> Result<(), Option<Duration>> {
        let Self { sink, hold, .. } = self;
        let Some(batch) = hold.current() else { return Ok(()) };
        let delivery = {
            let mut sending = std::pin::pin!(sink.send(&batch));
            loop {
                tokio::select! {
                    biased;
                    delivery = &mut sending => break delivery,
                    () = hold.wants_room() => hold.save(),
                }
            }
        };
        self.judge(batch.len(), delivery)
    }

    fn judge(&mut self, calls: usize, delivery: Delivery) -> Result<(), Option<Duration>> {
        let Self { hold, progress, .. } = self;
        match delivery {
            Delivery::Taken { refused, why } => {
                progress.sent(calls.saturating_sub(refused));
                progress.rejected(refused, &why);
                hold.delivered();
            }
            Delivery::Divide { why } => {
                if !hold.divide() {
                    progress.rejected(calls, &why);
                    hold.delivered();
                }
            }
            Delivery::Partly { again, refused, why } => {
                progress.sent(calls.saturating_sub(refused + again.len()));
                progress.rejected(refused, &why);
                progress.retried(again.len());
                progress.down(&why);
                hold.reduce(&again);
                return Err(None);
            }
            Delivery::Later { why, after } => {
                progress.retried(calls);
                progress.down(&why);
                return Err(after);
            }
        }
        self.backoff.reset();
        self.progress.up();
        Ok(())
    }
}

/// Waits for the order to end; whoever gives orders being gone is the same as one.
async fn ended(orders: &mut watch::Receiver<Order>) -> (Duration, bool) {
    match orders.wait_for(|order| *order != Order::Work).await.as_deref() {
        Ok(Order::End { within, last }) => (*within, *last),
        Ok(Order::Work) | Err(_) => (Duration::ZERO, true),
    }
}

#[cfg(test)]
mod tests;
