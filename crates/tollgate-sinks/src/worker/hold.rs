//! What a sink holds between the queue and the service: one load, and a spool behind it.
//!
//! A load is sent straight from memory while all is well. When the service fails, or when the queue
//! is half full before it has answered, the load goes to disk first and what has gathered goes after
//! it: order is kept, and a program that is killed finds it again. From then on loads come from disk
//! until it is empty. A spool that is full takes nothing more; the queue then drops and counts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::load::Load;
use crate::event::Event;
use crate::feed::Feed;
use crate::progress::Progress;
use crate::settings::Batch;
use crate::spool::{Place, Read, Spool};

/// What a sink holds.
pub(crate) struct Hold<E> {
    feed: Arc<Feed<E>>,
    spool: Option<Spool>,
    /// Whether the spool takes nothing more until something is taken from it.
    full: bool,
    load: Option<Load<E>>,
    batch: Batch,
    progress: Arc<Progress>,
}

impl<E: Event> Hold<E> {
    pub(crate) fn new(
        feed: Arc<Feed<E>>,
        spool: Option<Spool>,
        batch: Batch,
        progress: Arc<Progress>,
    ) -> Self {
        let hold = Self { feed, spool, full: false, load: None, batch, progress };
        hold.note_bytes();
        hold
    }

    /// What is to be sent next.
    pub(super) fn current(&self) -> Option<Arc<[E]>> {
        self.load.as_ref()?.current()
    }

    /// Waits until there is a load. May be dropped while it waits: nothing is taken before.
    pub(super) async fn take_up(&mut self) {
        while !self.take_from_spool() {
            self.feed.gathered(self.batch).await;
            if self.take_from_feed() {
                return;
            }
        }
    }

    /// Takes a load up if there is anything at all; says whether there is one.
    pub(super) fn take_up_now(&mut self) -> bool {
        self.take_from_spool() || self.take_from_feed()
    }

    fn take_from_feed(&mut self) -> bool {
        self.load = Load::new(self.feed.take(self.batch), None);
        self.note_oldest();
        self.load.is_some()
    }

    /// Takes a load up from disk where there is none; says whether there is one.
    fn take_from_spool(&mut self) -> bool {
        while self.load.is_none() {
            let Some(spool) = self.spool.as_ref().filter(|spool| !spool.is_empty()) else {
                return false;
            };
            match spool.next(self.batch.calls, self.batch.bytes) {
                Ok(read) => self.load_read(&read),
                Err(error) => {
                    self.progress.say(&format!("gives its spool up: {error}"));
                    self.spool = None;
                }
            }
        }
        self.note_oldest();
        true
    }

    fn load_read(&mut self, read: &Read) {
        let events: Vec<E> = read.payloads.iter().filter_map(|it| E::decode(it)).collect();
        let unread = read.damaged + read.payloads.len() - events.len();
        if unread > 0 {
            self.progress.dropped(unread);
            self.progress.say(&format!("cannot read {unread} places of its spool"));
        }
        self.load = Load::new(events, Some(read.end));
        if self.load.is_none() {
            self.taken(read.end);
        }
    }

    /// Waits until something should be put on disk. Never ends where nothing can be.
    pub(super) async fn wants_room(&self) {
        match &self.load {
            _ if self.spool.is_none() || self.full => std::future::pending().await,
            Some(load) if load.spooled.is_some() => self.feed.gathered(self.batch).await,
            _ => self.feed.pressed().await,
        }
    }

    /// Waits so long, and puts on disk what gathers meanwhile.
    pub(super) async fn gather_for(&mut self, wait: Duration) {
        let mut waited = std::pin::pin!(tokio::time::sleep(wait));
        loop {
            tokio::select! {
                biased;
                () = &mut waited => return,
                () = self.wants_room() => self.save(),
            }
        }
    }

    /// Puts the load and a batch of what has gathered on disk, in this order.
    pub(super) fn save(&mut self) {
        if self.spool.as_ref().is_some_and(Spool::is_empty) {
            self.save_load();
        }
        self.save_feed();
        self.note_bytes();
    }

    /// Puts a load on disk that is in memory only: the whole of it, or nothing.
    fn save_load(&mut self) {
        let (Some(spool), Some(load)) = (&mut self.spool, &mut self.load) else { return };
        if load.spooled.is_some() {
            return;
        }
        let payloads: Vec<Vec<u8>> = load.events().map(Event::encode).collect();
        if !spool.has_room_for(&payloads) {
            self.full = true;
            return;
        }
        match payloads.iter().try_for_each(|payload| spool.append(payload).map(drop)) {
            Ok(()) => load.spooled = Some(spool.end()),
            Err(error) => self.cannot_write(&error),
        }
    }

    /// Puts a batch of what has gathered on disk; what there is no room for goes back.
    fn save_feed(&mut self) {
        if self.full || self.spool.is_none() {
            return;
        }
        let mut left = Vec::new();
        for event in self.feed.take(self.batch) {
            if self.full || !self.save_one(&event) {
                left.push(event);
            }
        }
        self.feed.put_back(left);
    }

    fn save_one(&mut self, event: &E) -> bool {
        match self.spool.as_mut().map(|spool| spool.append(&event.encode())) {
            Some(Ok(true)) => return true,
            Some(Ok(false)) | None => self.full = true,
            Some(Err(error)) => self.cannot_write(&error),
        }
        false
    }

    fn cannot_write(&mut self, error: &io::Error) {
        self.full = true;
        self.progress.say(&format!("cannot write its spool: {error}"));
    }

    /// The part that was sent is delivered.
    pub(super) fn delivered(&mut self) {
        let Some(load) = &mut self.load else { return };
        if !load.delivered() {
            return;
        }
        let spooled = load.spooled;
        self.load = None;
        // The disk may have room again.
        self.full = false;
        if let Some(place) = spooled {
            self.taken(place);
        }
        self.note_oldest();
    }

    /// Halves the part that was sent; `false` where it is one event.
    pub(super) fn divide(&mut self) -> bool {
        self.load.as_mut().is_some_and(Load::divide)
    }

    /// Of the part that was sent only these places are still to be delivered.
    pub(super) fn reduce(&mut self, again: &[usize]) {
        if let Some(load) = &mut self.load {
            load.reduce(again);
        }
    }

    fn taken(&mut self, place: Place) {
        if let Some(spool) = &mut self.spool
            && let Err(error) = spool.taken(place)
        {
            self.progress.say(&format!("cannot note how far its spool was sent: {error}"));
        }
        self.note_bytes();
    }

    /// Puts away what was not delivered: on disk, else back into the queue for whoever comes after,
    /// else nowhere, and counts it.
    pub(super) fn put_away(&mut self, last: bool) {
        self.full = false;
        self.save_load();
        if let Some(load) = self.load.take().filter(|load| load.spooled.is_none()) {
            self.feed.put_back(load.events().cloned().collect());
        }
        while self.spool.is_some() && !self.full && !self.feed.is_empty() {
            self.save_feed();
        }
        self.note_bytes();
        if last {
            let lost = self.feed.take(Batch::ALL).len();
            if lost > 0 {
                self.progress.dropped(lost);
                self.progress.say(&format!("drops {lost} calls at the end of the program"));
            }
        }
    }

    fn note_bytes(&self) {
        self.progress.spool_bytes(self.spool.as_ref().map_or(0, Spool::bytes));
    }

    fn note_oldest(&self) {
        let loaded = self.load.as_ref().and_then(|load| load.events().next().map(Event::at));
        self.progress.oldest(loaded.or_else(|| self.feed.oldest()));
    }
}
