//! What is stored about users, and what the data plane makes of it.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_admission::control::ControlError;
use tollgate_admission::directory::UserState;
use tollgate_admission::engine::{Overlay, Override};
use tollgate_store::{BalanceRecord, Change, OverrideRecord, Registry, StoreError, UserRecord};

use crate::config::Config;

/// What is stored about one user.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) record: Option<UserRecord>,
    pub(super) overrides: Vec<OverrideRecord>,
    pub(super) balances: Vec<BalanceRecord>,
}

impl Facts {
    /// As a change sees them.
    pub(super) fn within(change: &Change<'_>, name: &str) -> Result<Self, StoreError> {
        Ok(Self {
            record: change.user(name)?,
            overrides: change.overrides_of(name)?,
            balances: change.balances_of(name)?,
        })
    }

    /// As they are stored.
    pub(super) fn of(registry: &Registry, name: &str) -> Result<Self, StoreError> {
        Ok(Self {
            record: registry.user(name)?,
            overrides: registry.overrides_of(name)?,
            balances: registry.balances_of(name)?,
        })
    }

    /// What the data plane asks; `None` where nothing is decided about the user.
    pub(super) fn state(&self) -> Option<UserState> {
        let record = self.record.as_ref()?;
        let reason = record.blocked_reason.as_deref().unwrap_or_default();
        Some(UserState {
            plan: record.plan.as_deref().map(Arc::from),
            team: record.team.as_deref().map(Arc::from),
            blocked: record.blocked.then(|| reason.into()),
            overlay: self.overlay(),
        })
    }

    /// What is different for the user's limits.
    pub(super) fn overlay(&self) -> Overlay {
        let overrides = self.overrides.iter().map(|entry| Override {
            limit: entry.limit.as_str().into(),
            max: entry.max,
            until: entry.until,
        });
        let balances = self.balances.iter();
        Overlay {
            overrides: overrides.collect(),
            zero_until: self.record.as_ref().and_then(|record| record.quota_zero_until),
            balances: balances.map(|each| (each.limit.as_str().into(), each.paid_in)).collect(),
        }
    }
}

/// What the data plane asks about every registered user.
pub(super) fn all_states(registry: &Registry) -> Result<Vec<(Box<str>, UserState)>, StoreError> {
    let mut all: HashMap<String, Facts> = registry
        .users()?
        .into_iter()
        .map(|record| (record.name.clone(), Facts { record: Some(record), ..Facts::default() }))
        .collect();
    for entry in registry.overrides()? {
        if let Some(facts) = all.get_mut(&entry.user) {
            facts.overrides.push(entry);
        }
    }
    for entry in registry.balances()? {
        if let Some(facts) = all.get_mut(&entry.user) {
            facts.balances.push(entry);
        }
    }
    let states = all.into_iter().filter_map(|(name, facts)| Some((name.into(), facts.state()?)));
    Ok(states.collect())
}

/// The plan and team that keys give to the users they act for.
#[derive(Debug, Default)]
pub(super) struct KeyTerms(HashMap<String, (Option<String>, Option<String>)>);

impl KeyTerms {
    /// Of every key that is good; where several give a user a plan, the configuration's first one
    /// holds here.
    pub(super) fn of(config: &Config, registry: &Registry) -> Result<Self, ControlError> {
        let mut terms = Self::default();
        for key in &config.auth.keys {
            terms.add(&key.user, key.plan.as_deref(), key.team.as_deref());
        }
        for key in registry.keys()?.iter().filter(|key| key.revoked_at.is_none()) {
            let user = key.user.as_deref().unwrap_or(&key.name);
            terms.add(user, key.plan.as_deref(), key.team.as_deref());
        }
        Ok(terms)
    }

    fn add(&mut self, user: &str, plan: Option<&str>, team: Option<&str>) {
        let (known_plan, known_team) = self.0.entry(user.to_owned()).or_default();
        if known_plan.is_none() {
            *known_plan = plan.map(str::to_owned);
        }
        if known_team.is_none() {
            *known_team = team.map(str::to_owned);
        }
    }

    /// The plan that a key gives this user.
    pub(super) fn plan(&self, user: &str) -> Option<&str> {
        self.0.get(user)?.0.as_deref()
    }

    /// The team that a key gives this user.
    pub(super) fn team(&self, user: &str) -> Option<&str> {
        self.0.get(user)?.1.as_deref()
    }

    /// Whether a key acts for this user.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.0.contains_key(user)
    }
}
