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
    /// By provider, then by id: two providers may give the same.
    owners: HashMap<Arc<str>, HashMap<Box<str>, Owner>>,
    order: VecDeque<(Arc<str>, Box<str>)>,
}

#[derive(Debug)]
struct Owner {
    user: Arc<str>,
    /// The call that waits for it, where it is made in the background.
    waiting: Option<oneshot::Sender<Arrived>>,
}

impl Remembered {
    fn owner(&self, provider: &str, id: &str) -> Option<&Owner> {
        self.owners.get(provider)?.get(id)
    }
}

/// An answer that has come.
pub(super) type Arrived = (AnswerFacts, Bytes);

impl Answers {
    /// Remembers whose an answer of a provider is. The oldest is forgotten where there are too many.
    pub fn remember(&self, provider: &Arc<str>, id: &str, user: &Arc<str>) {
        self.insert(provider, id, user, None);
    }

    /// The same of an answer that is still being made; what comes tells when somebody fetches it.
    pub(super) fn expect(
        &self,
        provider: &Arc<str>,
        id: &str,
        user: &Arc<str>,
    ) -> oneshot::Receiver<Arrived> {
        let (tell, told) = oneshot::channel();
        self.insert(provider, id, user, Some(tell));
        told
    }

    fn insert(
        &self,
        provider: &Arc<str>,
        id: &str,
        user: &Arc<str>,
        waiting: Option<oneshot::Sender<Arrived>>,
    ) {
        let mut kept = self.0.lock();
        let owner = Owner { user: Arc::clone(user), waiting };
        let of_provider = kept.owners.entry(Arc::clone(provider)).or_default();
        if of_provider.insert(id.into(), owner).is_none() {
            kept.order.push_back((Arc::clone(provider), id.into()));
        }
        if kept.order.len() > MOST
            && let Some((provider, oldest)) = kept.order.pop_front()
            && let Some(of_provider) = kept.owners.get_mut(&provider)
        {
            of_provider.remove(&oldest);
        }
    }

    /// Whose an answer of a provider is.
    pub(super) fn owner(&self, provider: &str, id: &str) -> Option<Arc<str>> {
        self.0.lock().owner(provider, id).map(|owner| Arc::clone(&owner.user))
    }

    /// Whether a provider may have made an answer, as far as is known who did.
    pub(crate) fn may_be_of(&self, provider: &str, id: &str) -> bool {
        let kept = self.0.lock();
        kept.owner(provider, id).is_some()
            || !kept.owners.values().any(|of_provider| of_provider.contains_key(id))
    }

    /// Whether an answer of a provider is known to be this user's.
    pub fn is_of(&self, provider: &str, id: &str, user: &str) -> bool {
        self.0.lock().owner(provider, id).is_some_and(|owner| *owner.user == *user)
    }

    /// Somebody has fetched an answer: a call that waits for it hears of it. Says whether the answer
    /// is known, and so charged or about to be.
    pub(super) fn fetched(
        &self,
        provider: &str,
        id: &str,
        arrived: impl FnOnce() -> Arrived,
    ) -> bool {
        let mut kept = self.0.lock();
        let known = kept.owners.get_mut(provider).and_then(|of_provider| of_provider.get_mut(id));
        let Some(owner) = known else { return false };
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
            answers.remember(&provider, &number.to_string(), &user);
            answers.remember(&provider, &number.to_string(), &user);
        }
        assert!(answers.owner("openai", "0").is_none());
        assert_eq!(answers.owner("openai", "1").unwrap(), user);
        assert!(answers.owner("openai", &MOST.to_string()).is_some());
    }

    #[test]
    fn an_id_is_known_at_the_provider_that_gave_it_and_nowhere_else() {
        let answers = Answers::default();
        let (alice, bob) = (Arc::from("alice"), Arc::from("bob"));
        answers.remember(&Arc::from("openai"), "resp_1", &alice);
        answers.remember(&Arc::from("azure"), "resp_1", &bob);
        assert!(answers.is_of("openai", "resp_1", "alice"));
        assert!(!answers.is_of("openai", "resp_1", "bob"));
        assert!(answers.is_of("azure", "resp_1", "bob"));
        assert!(!answers.is_of("other", "resp_1", "bob"));
        assert!(!answers.is_of("openai", "resp_2", "alice"));
    }
}
