//! The room for answers on their way: counted for all of them together and for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one answer may take that is not to be kept, in bytes: as much as is read at a time, twice.
const WINDOW: usize = 64 << 10;

/// The room for all answers on their way, in bytes.
#[derive(Debug, Default)]
pub(super) struct Room {
    taken: AtomicUsize,
    most: AtomicUsize,
    largest: AtomicUsize,
}

impl Room {
    /// Sets the room for all, and for each answer that is to be kept.
    pub(super) fn set(&self, most: usize, largest: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.largest.store(largest.min(most), Ordering::Relaxed);
    }

    /// A part of it, with nothing in it yet.
    pub(super) fn take_part(self: &Arc<Self>) -> Budget {
        Budget { room: Arc::clone(self), bytes: 0 }
    }

    /// How much is taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// What one answer takes of the room. Dropped, it gives it back.
#[derive(Debug)]
pub(super) struct Budget {
    room: Arc<Room>,
    bytes: usize,
}

impl Budget {
    /// Takes more.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.room.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives some back.
    pub(super) fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.room.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether there is room for more of an answer that is kept whole, or else of one that only
    /// passes.
    pub(super) fn has_room(&self, whole: bool) -> bool {
        if !whole {
            return self.bytes < WINDOW;
        }
        self.bytes < self.room.largest.load(Ordering::Relaxed)
            && self.room.taken() < self.room.most.load(Ordering::Relaxed)
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}
