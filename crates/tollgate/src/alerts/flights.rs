//! Messages under way: which channel each is for, until it has come back, however it does. A channel
//! is busy while one of its messages is here, and not longer: not because a reload removed the channel
//! meanwhile, and not because sending broke off.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinError, JoinSet};
use tollgate_alerts::channel::Verdict;
use tollgate_alerts::notice::Notice;
use tollgate_store::NoticeRecord;

/// A message under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) channel: Arc<str>,
    /// The row of the outbox; `None` for what was handed over in memory or mirrored.
    pub(super) record: Option<NoticeRecord>,
    /// `None` for what is mirrored.
    pub(super) notice: Option<Notice>,
}

/// All messages under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    sending: JoinSet<Verdict>,
    known: HashMap<Id, Flight>,
}

impl Flights {
    /// Whether a message of a channel is under way.
    pub(super) fn is_busy(&self, channel: &str) -> bool {
        self.known.values().any(|flight| *flight.channel == *channel)
    }

    /// Sends a message, on the runtime that this runs on.
    pub(super) fn send(
        &mut self,
        flight: Flight,
        sending: impl Future<Output = Verdict> + Send + 'static,
    ) {
        let id = self.sending.spawn(sending).id();
        self.known.insert(id, flight);
    }

    /// The next message that comes back; `None` where none is under way.
    pub(super) async fn next(&mut self) -> Option<(Flight, Verdict)> {
        loop {
            let back = self.sending.join_next_with_id().await?;
            let (id, verdict) = back.unwrap_or_else(|broken| broke_off(&broken));
            if let Some(flight) = self.known.remove(&id) {
                return Some((flight, verdict));
            }
        }
    }
}

fn broke_off(broken: &JoinError) -> (Id, Verdict) {
    (broken.id(), Verdict::Later { why: "sending broke off".to_owned(), after: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_channel_whose_sending_broke_off_is_not_busy_any_more() {
        let mut flights = Flights::default();
        let flight = |name: &str| Flight { channel: name.into(), record: None, notice: None };
        flights.send(flight("ops"), async { panic!("no") });
        flights.send(flight("chat"), std::future::pending());
        assert!(flights.is_busy("ops") && flights.is_busy("chat"));
        let (back, verdict) = flights.next().await.unwrap();
        assert_eq!((&*back.channel, verdict.why()), ("ops", Some("sending broke off")));
        assert!(!flights.is_busy("ops") && flights.is_busy("chat"));
        flights.send(flight("ops"), async { Verdict::Delivered });
        assert_eq!(flights.next().await.unwrap().1, Verdict::Delivered);
    }
}
