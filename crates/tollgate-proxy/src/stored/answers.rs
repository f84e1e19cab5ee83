//! Whose the answers are that providers keep: remembered by id, up to a number, and forgotten at a
//! restart.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tollgate_wire::facts::AnswerFacts;

/// Most answers that are remembered.
const MOST: usize = 65_536;

/// Whose the answers are that providers keep.
#[derive(Debug, Default)]
pub struct Answers(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    owners: HashMap<Box<str>, Owner>,
    order: VecDeque<Box<str>>,
}

#[derive(Debug)]
struct Owner {
    user: Arc<str>,
    provider: Arc<str>,
    /// The call that waits for it, where it is made in the background.
    waiting: Option<oneshot::Sender<Arrived>>,
}

/// An answer that has come.
pub(super) type Arrived = (AnswerFacts, Bytes);

impl Answers {
    /// Remembers whose an answer is. The oldest is forgotten where there are too many.
    pub fn remember(&self, id: &str, user: &Arc<str>, provider: &Arc<str>) {
        self.insert(id, user, provider, None);
    }

    /// The same of an answer that is still being made; what comes tells when somebody fetches it.
    pub(super) fn expect(
        &self,
        id: &str,
        user: &Arc<str>,
        provider: &Arc<str>,
    ) -> oneshot::Receiver<Arrived> {
        let (tell, told) = oneshot::channel();
        self.insert(id, user, provider, Some(tell));
        told
    }

    fn insert(
        &self,
        id: &str,
        user: &Arc<str>,
        provider: &Arc<str>,
        waiting: Option<oneshot::Sender<Arrived>>,
    ) {
        let mut kept = self.0.lock();
        let owner = Owner { user: Arc::clone(user), provider: Arc::clone(provider), waiting };
        if kept.owners.insert(id.into(), owner).is_none() {
            kept.order.push_back(id.into());
        }
        if kept.order.len() > MOST
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.owners.remove(&oldest);
        }
    }

    /// Whose an answer is, and who made it.
    pub(crate) fn owner(&self, id: &str) -> Option<(Arc<str>, Arc<str>)> {
        let kept = self.0.lock();
        let owner = kept.owners.get(id)?;
        Some((Arc::clone(&owner.user), Arc::clone(&owner.provider)))
    }

    /// Whether an answer is known to be of another user.
    pub fn is_of_another(&self, id: &str, user: &str) -> bool {
        self.0.lock().owners.get(id).is_some_and(|owner| *owner.user != *user)
    }

    /// Somebody has fetched an answer: a call that waits for it hears of it. Says whether the answer
    /// is known, and so charged or about to be.
    pub(super) fn fetched(&self, id: &str, arrived: impl FnOnce() -> Arrived) -> bool {
        let mut kept = self.0.lock();
        let Some(owner) = kept.owners.get_mut(id) else { return false };
        if let Some(waiting) = owner.waiting.take() {
            // Nobody listens where the call has just been settled.
            drop(waiting.send(arrived()));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answer_is_forgotten_where_there_are_too_many() {
        let answers = Answers::default();
        let (user, provider) = (Arc::from("alice"), Arc::from("openai"));
        for number in 0..=MOST {
            answers.remember(&number.to_string(), &user, &provider);
            answers.remember(&number.to_string(), &user, &provider);
        }
        assert!(answers.owner("0").is_none());
        assert_eq!(answers.owner("1").unwrap().0, user);
        assert!(answers.owner(&MOST.to_string()).is_some());
    }
}
