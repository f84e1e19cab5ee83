//! A batch that is on its way to the service, in one part or in several.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::Event;
use crate::spool::Place;

/// A batch that is on its way.
#[derive(Debug)]
pub(super) struct Load<E> {
    /// What is still to be delivered; never an empty part.
    parts: VecDeque<Arc<[E]>>,
    /// Where it ends on disk; `None` where it is in memory only.
    pub(super) spooled: Option<Place>,
}

impl<E: Event> Load<E> {
    /// A load of these events; `None` where there are none.
    pub(super) fn new(events: Vec<E>, spooled: Option<Place>) -> Option<Self> {
        let any = !events.is_empty();
        any.then(|| Self { parts: VecDeque::from([Arc::from(events)]), spooled })
    }

    /// What is to be sent next.
    pub(super) fn current(&self) -> Option<Arc<[E]>> {
        self.parts.front().map(Arc::clone)
    }

    /// Everything that is still to be delivered.
    pub(super) fn events(&self) -> impl Iterator<Item = &E> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// The part that was sent is delivered; says whether it was the last.
    pub(super) fn delivered(&mut self) -> bool {
        self.parts.pop_front();
        self.parts.is_empty()
    }

    /// Halves the part that was sent; `false` where it is one event.
    pub(super) fn divide(&mut self) -> bool {
        let Some(part) = self.parts.pop_front_if(|part| part.len() > 1) else { return false };
        let (first, second) = part.split_at(part.len() / 2);
        self.parts.push_front(Arc::from(second));
        self.parts.push_front(Arc::from(first));
        true
    }

    /// Of the part that was sent only these places are still to be delivered; there is one at least.
    pub(super) fn reduce(&mut self, again: &[usize]) {
        if let Some(part) = self.parts.pop_front() {
            self.parts.push_front(again.iter().filter_map(|at| part.get(*at).cloned()).collect());
        }
    }
}
