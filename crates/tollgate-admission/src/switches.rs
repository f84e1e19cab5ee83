//! The kill switch: what is stopped, by whom and why. Asked before anything else for every call;
//! calls in flight notice a change by its number and end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use parking_lot::RwLock;

/// How far a switch reaches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Everything.
    Global,
    /// One provider, by its configured name.
    Provider(Arc<str>),
    /// One model, by its public name.
    Model(Arc<str>),
    /// One plan.
    Plan(Arc<str>),
    /// One user.
    User(Arc<str>),
}

/// In the form of the API: `global`, `provider:NAME`, `model:NAME`, `plan:NAME`, `user:NAME`.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Provider(name) => write!(f, "provider:{name}"),
            Self::Model(name) => write!(f, "model:{name}"),
            Self::Plan(name) => write!(f, "plan:{name}"),
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}

/// A text that names no reach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no scope of the kill switch: expected global, provider:NAME, model:NAME, plan:NAME or \
     user:NAME"
)]
pub struct UnknownReach(String);

impl std::str::FromStr for Reach {
    type Err = UnknownReach;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "global" {
            return Ok(Self::Global);
        }
        let unknown = || UnknownReach(text.to_owned());
        let (kind, name) = text.split_once(':').ok_or_else(unknown)?;
        let name = Some(Arc::from(name)).filter(|name: &Arc<str>| !name.is_empty());
        match (kind, name) {
            ("provider", Some(name)) => Ok(Self::Provider(name)),
            ("model", Some(name)) => Ok(Self::Model(name)),
            ("plan", Some(name)) => Ok(Self::Plan(name)),
            ("user", Some(name)) => Ok(Self::User(name)),
            _ => Err(unknown()),
        }
    }
}

/// A switch that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// What it stops.
    pub reach: Reach,
    /// Why, as whoever switched it said.
    pub reason: Arc<str>,
    /// Who switched it.
    pub by: Arc<str>,
    /// When.
    pub since: Timestamp,
}

/// What a call is, as far as switches ask.
#[derive(Clone, Copy, Debug)]
pub struct Traffic<'a> {
    /// The provider that would serve or serves.
    pub provider: &'a str,
    /// The public model name.
    pub model: &'a str,
    /// The plan of the user.
    pub plan: &'a str,
    /// Who pays.
    pub user: &'a str,
}

impl Reach {
    /// Whether it stops this call.
    pub fn covers(&self, traffic: &Traffic<'_>) -> bool {
        match self {
            Self::Global => true,
            Self::Provider(name) => **name == *traffic.provider,
            Self::Model(name) => **name == *traffic.model,
            Self::Plan(name) => **name == *traffic.plan,
            Self::User(name) => **name == *traffic.user,
        }
    }
}

/// The switches that are on.
#[derive(Debug, Default)]
pub struct Switches {
    on: RwLock<Arc<[Switch]>>,
    /// Grows with each change.
    change: AtomicU64,
}

impl Switches {
    /// Puts these switches in the place of all.
    pub fn replace(&self, switches: impl IntoIterator<Item = Switch>) {
        let switches: Arc<[Switch]> = switches.into_iter().collect();
        let mut on = self.on.write();
        if **on != *switches {
            *on = switches;
            self.change.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The switches that are on.
    pub fn all(&self) -> Arc<[Switch]> {
        Arc::clone(&self.on.read())
    }

    /// The number of the last change: as long as it is the same, nothing has changed.
    pub fn change(&self) -> u64 {
        self.change.load(Ordering::Acquire)
    }

    /// The switch that stops this call, if one does.
    pub fn stopping(&self, traffic: &Traffic<'_>) -> Option<Switch> {
        self.on.read().iter().find(|switch| switch.reach.covers(traffic)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAFFIC: Traffic<'_> =
        Traffic { provider: "openai", model: "gpt-4o", plan: "free", user: "alice" };

    #[test]
    fn each_reach_stops_its_own_calls_and_no_others() {
        for (text, stops) in [
            ("global", true),
            ("provider:openai", true),
            ("provider:deepseek", false),
            ("model:gpt-4o", true),
            ("model:gpt-4o-mini", false),
            ("plan:free", true),
            ("plan:pro", false),
            ("user:alice", true),
            ("user:bob", false),
        ] {
            let reach: Reach = text.parse().unwrap();
            assert_eq!(reach.to_string(), text);
            assert_eq!(reach.covers(&TRAFFIC), stops, "{text}");
        }
        for bad in ["", "everything", "user:", "team:a"] {
            assert!(bad.parse::<Reach>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_change_is_numbered_and_a_repetition_is_none() {
        let switches = Switches::default();
        let switch = Switch {
            reach: Reach::Global,
            reason: "test".into(),
            by: "admin".into(),
            since: Timestamp::UNIX_EPOCH,
        };
        assert!(switches.stopping(&TRAFFIC).is_none());
        switches.replace([switch.clone()]);
        let change = switches.change();
        switches.replace([switch]);
        assert_eq!(switches.change(), change);
        assert!(switches.stopping(&TRAFFIC).is_some());
        switches.replace([]);
        assert!(switches.change() > change && switches.stopping(&TRAFFIC).is_none());
    }
}
