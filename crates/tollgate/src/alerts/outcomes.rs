//! What came of messages and could not be written down. A message that was delivered still waits in
//! the database then; its channel is sent nothing from there until this is written, because it would
//! be the same again.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tollgate_store::{NoticeRecord, NoticeState};

/// The pause between two attempts to write.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// What came of one message.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) channel: Arc<str>,
    /// The row of the outbox.
    pub(super) id: i64,
    pub(super) state: NoticeState,
    pub(super) why: Option<String>,
    /// Messages that this brings about.
    pub(super) more: Vec<NoticeRecord>,
}

/// Outcomes that wait: one a channel at most, since nothing more is sent for it.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    waiting: Vec<Outcome>,
    /// When they are tried again.
    next: Option<Timestamp>,
}

impl Outcomes {
    /// Whether a channel has one.
    pub(super) fn holds(&self, channel: &str) -> bool {
        self.waiting.iter().any(|outcome| *outcome.channel == *channel)
    }

    /// Writes an outcome, or keeps it.
    pub(super) fn write<E>(
        &mut self,
        outcome: Outcome,
        now: Timestamp,
        put: impl FnOnce(&Outcome) -> Result<(), E>,
    ) -> Result<(), E> {
        put(&outcome).inspect_err(|_| {
            self.waiting.push(outcome);
            self.next = now.checked_add(PAUSE).ok();
        })
    }

    /// Writes what waits, where its pause is over.
    pub(super) fn retry<E>(
        &mut self,
        now: Timestamp,
        put: impl Fn(&Outcome) -> Result<(), E>,
    ) -> Result<(), E> {
        // A clock that was put back must not make this wait for long.
        let early = |next: Timestamp| next > now && next.duration_since(now) <= PAUSE;
        if self.waiting.is_empty() || self.next.is_some_and(early) {
            return Ok(());
        }
        self.next = now.checked_add(PAUSE).ok();
        while let Some(outcome) = self.waiting.first() {
            put(outcome)?;
            self.waiting.remove(0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_cannot_be_written_holds_its_channel_and_is_tried_again_with_a_pause() {
        let start: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let after = |seconds| start + SignedDuration::from_secs(seconds);
        let outcome = |channel: &str, id| Outcome {
            channel: channel.into(),
            id,
            state: NoticeState::Delivered,
            why: None,
            more: Vec::new(),
        };
        let mut outcomes = Outcomes::default();
        let tried = RefCell::new(Vec::new());
        let refuse = |outcome: &Outcome| {
            tried.borrow_mut().push(outcome.id);
            Err("full")
        };
        outcomes.write(outcome("ops", 7), start, refuse).unwrap_err();
        outcomes.write(outcome("chat", 8), start, |_| Ok::<_, &str>(())).unwrap();
        assert!(outcomes.holds("ops") && !outcomes.holds("chat"));
        for second in 0..20 {
            let is_tried = second % 5 == 0 && second > 0;
            assert_eq!(outcomes.retry(after(second), refuse).is_err(), is_tried, "{second}");
        }
        assert_eq!(*tried.borrow(), [7, 7, 7, 7], "once, then every five seconds");
        let write = |outcome: &Outcome| {
            tried.borrow_mut().push(outcome.id);
            Ok::<_, &str>(())
        };
        outcomes.retry(after(30), write).unwrap();
        outcomes.retry(after(60), write).unwrap();
        assert_eq!(tried.borrow().len(), 5);
        assert!(!outcomes.holds("ops"));
    }
}
