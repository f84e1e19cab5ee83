//! What the engine hands to couriers beside the database: how all stands, for channels that mirror,
//! and messages that the database refused to take.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tollgate_alerts::Incident;
use tollgate_alerts::notice::Notice;

/// Most messages that are kept in memory where the database refuses.
const MOST_LOOSE: usize = 200;

/// What is handed over.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    mirrored: Mutex<HashMap<Arc<str>, Vec<Incident>>>,
    loose: Mutex<VecDeque<(Arc<str>, Notice)>>,
}

impl Shelf {
    /// Shows how all stands to a channel that mirrors.
    pub(super) fn mirror(&self, channel: &Arc<str>, incidents: Vec<Incident>) {
        self.mirrored.lock().insert(Arc::clone(channel), incidents);
    }

    /// How all stands for a channel.
    pub(super) fn mirrored(&self, channel: &str) -> Vec<Incident> {
        self.mirrored.lock().get(channel).cloned().unwrap_or_default()
    }

    /// Puts down a message that cannot be written to the database.
    pub(super) fn put(&self, channel: Arc<str>, notice: Notice) {
        let mut loose = self.loose.lock();
        if loose.len() >= MOST_LOOSE {
            loose.pop_front();
        }
        loose.push_back((channel, notice));
    }

    /// Takes the oldest message of a channel.
    pub(super) fn take(&self, channel: &str) -> Option<Notice> {
        let mut loose = self.loose.lock();
        let place = loose.iter().position(|(name, _)| **name == *channel)?;
        loose.remove(place).map(|(_, notice)| notice)
    }
}
