//! What is decided about users: plan, team, block, other maxima. Held in memory, because every call
//! asks; the registry in the database is where it is kept.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::engine::Overlay;

/// What is decided about one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserState {
    /// The plan; `None` for that of the key, else the default one.
    pub plan: Option<Arc<str>>,
    /// The team.
    pub team: Option<Arc<str>>,
    /// Why every call is refused, where it is.
    pub blocked: Option<Arc<str>>,
    /// Other maxima, quota zero, balances.
    pub overlay: Overlay,
}

/// All users about whom anything is decided. A user that is not here is served on the default plan,
/// or not at all where users must be registered.
#[derive(Debug, Default)]
pub struct Directory(RwLock<HashMap<Box<str>, Arc<UserState>>>);

impl Directory {
    /// What is decided about a user.
    pub fn get(&self, user: &str) -> Option<Arc<UserState>> {
        self.0.read().get(user).map(Arc::clone)
    }

    /// Takes a decision about a user, in force from the next call on.
    pub fn put(&self, user: &str, state: Arc<UserState>) {
        self.0.write().insert(user.into(), state);
    }

    /// Forgets a user.
    pub fn remove(&self, user: &str) {
        self.0.write().remove(user);
    }

    /// Puts these users in the place of all.
    pub fn replace(&self, users: impl IntoIterator<Item = (Box<str>, UserState)>) {
        let users = users.into_iter().map(|(name, state)| (name, Arc::new(state))).collect();
        *self.0.write() = users;
    }

    /// Puts the users of another directory in the place of all.
    pub fn replace_shared(&self, other: &Self) {
        let users = other.0.read().clone();
        *self.0.write() = users;
    }

    /// Whether somebody has another plan in another directory than in this one.
    pub fn moves(&self, other: &Self) -> bool {
        let (here, there) = (self.0.read(), other.0.read());
        let plan = |users: &HashMap<Box<str>, Arc<UserState>>, name: &str| {
            users.get(name).and_then(|state| state.plan.clone())
        };
        here.keys().chain(there.keys()).any(|name| plan(&here, name) != plan(&there, name))
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }
}
