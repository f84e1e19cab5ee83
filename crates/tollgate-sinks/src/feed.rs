//! The queue between the thread that writes log lines and a sink: bounded, and never waited for.
//!
//! What does not fit is dropped, newest first: what is in the queue stays in order, and pushing
//! costs the same whether the service is up or down.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::event::Event;
use crate::progress::Progress;
use crate::settings::Batch;

/// The queue of one sink.
pub(crate) struct Feed<E> {
    state: Mutex<State<E>>,
    bound: AtomicUsize,
    changed: Notify,
    progress: Arc<Progress>,
}

struct State<E> {
    queue: VecDeque<E>,
    weight: usize,
}

impl<E: Event> Feed<E> {
    pub(crate) fn new(bound: usize, progress: Arc<Progress>) -> Self {
        let state = Mutex::new(State { queue: VecDeque::new(), weight: 0 });
        let bound = AtomicUsize::new(bound);
        Self { state, bound, changed: Notify::new(), progress }
    }

    /// From now on takes so many; what is in it stays.
    pub(crate) fn set_bound(&self, bound: usize) {
        self.bound.store(bound, Ordering::Relaxed);
    }

    fn bound(&self) -> usize {
        self.bound.load(Ordering::Relaxed)
    }

    /// Takes one where nobody else is at the queue; else drops and counts it. For whoever may be
    /// interrupted in the midst of anything.
    pub(crate) fn push_at_once(&self, event: E) {
        match self.state.try_lock() {
            Some(mut state) if state.queue.len() < self.bound() => {
                state.weight += event.weight();
                state.queue.push_back(event);
            }
            _ => self.progress.dropped(1),
        }
        self.changed.notify_one();
    }

    /// Takes what there is room for; drops and counts the rest.
    pub(crate) fn push(&self, events: impl Iterator<Item = E>) {
        let bound = self.bound();
        let mut dropped = 0;
        {
            let mut state = self.state.lock();
            for event in events {
                if state.queue.len() < bound {
                    state.weight += event.weight();
                    state.queue.push_back(event);
                } else {
                    dropped += 1;
                }
            }
        }
        if dropped > 0 {
            self.progress.dropped(dropped);
        }
        self.changed.notify_one();
    }

    /// Puts back what was taken and not sent; it is older than what is there.
    pub(crate) fn put_back(&self, events: Vec<E>) {
        let mut state = self.state.lock();
        for event in events.into_iter().rev() {
            state.weight += event.weight();
            state.queue.push_front(event);
        }
    }

    /// Takes a batch from the front: at least one event where there is any.
    pub(crate) fn take(&self, most: Batch) -> Vec<E> {
        let mut state = self.state.lock();
        let mut batch = Vec::new();
        let mut weight = 0;
        while let Some(event) = state.queue.front() {
            let more = event.weight();
            let full = batch.len() >= most.calls || weight + more > most.bytes;
            if full && !batch.is_empty() {
                break;
            }
            weight += more;
            batch.extend(state.queue.pop_front());
        }
        state.weight -= weight;
        batch
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().queue.is_empty()
    }

    /// When the oldest that waits happened.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.state.lock().queue.front().map(Event::at)
    }

    /// Waits until a batch is due: it is full, or its first event has waited long enough.
    pub(crate) async fn gathered(&self, most: Batch) {
        self.until(|state| !state.queue.is_empty()).await;
        let full = |state: &State<E>| {
            state.queue.len() >= most.calls || state.weight >= most.bytes || self.is_pressed(state)
        };
        // Whether it was full or had waited long enough, it is due.
        drop(tokio::time::timeout(most.age, self.until(full)).await);
    }

    /// Waits until the queue is half full: somebody should make room.
    pub(crate) async fn pressed(&self) {
        self.until(|state| self.is_pressed(state)).await;
    }

    fn is_pressed(&self, state: &State<E>) -> bool {
        state.queue.len() * 2 >= self.bound()
    }

    async fn until(&self, holds: impl Fn(&State<E>) -> bool) {
        while !holds(&self.state.lock()) {
            self.changed.notified().await;
        }
    }
}
