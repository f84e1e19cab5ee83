//! What came of a turn: what its owner did, undid and found out, in the engine and in everything
//! that the turn says, so that what is written down and told is what was done.

use tollgate_domain::money::NanoUsd;

use super::{Engine, Turn};
use crate::incident::{Incident, Progress};

/// A deed that fails so often is given up.
const MOST_TRIES: u32 = 5;

/// What came of a deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It stands.
    Done,
    /// Somebody else had decided so before, and it was left as it is.
    Left,
    /// It could not be done.
    Failed,
}

impl Engine {
    /// What a turn asked to be done about an incident was done, or could not be.
    pub fn acted(&mut self, turn: &mut Turn, key: &str, came: Came) {
        self.amend(turn, key, |incident| {
            let Some(doing) = &mut incident.doing else { return };
            doing.tries = doing.tries.saturating_add(1);
            match came {
                Came::Done => doing.progress = Progress::Standing,
                Came::Left => doing.progress = Progress::Left,
                Came::Failed if doing.tries >= MOST_TRIES => doing.progress = Progress::Failed,
                Came::Failed => {}
            }
        });
    }

    /// What a turn asked to be undone has been undone.
    pub fn lifted(&mut self, turn: &mut Turn, key: &str) {
        self.amend(turn, key, |incident| {
            if let Some(doing) = &mut incident.doing {
                doing.progress = Progress::Lifted;
            }
        });
    }

    /// Names the models that took most, in what a turn tells.
    pub fn name_models(&mut self, turn: &mut Turn, key: &str, models: &[(String, NanoUsd)]) {
        self.amend(turn, key, |incident| incident.models = models.to_vec());
    }

    /// Changes an incident here and in everything that a turn says of it.
    fn amend(&mut self, turn: &mut Turn, key: &str, change: impl Fn(&mut Incident)) {
        if let Some(incident) = self.incidents.get_mut(key) {
            change(incident);
            if !turn.changed.iter().any(|changed| changed.key == *key) {
                turn.changed.push(incident.clone());
                return;
            }
        }
        let told = turn.tellings.iter_mut().flat_map(|telling| &mut telling.incidents);
        let noted = turn.events.iter_mut().map(|event| &mut event.incident);
        let all = turn.changed.iter_mut().chain(told).chain(noted);
        all.filter(|incident| incident.key == *key).for_each(change);
    }
}
