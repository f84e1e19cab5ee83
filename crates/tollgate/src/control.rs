//! The control plane at work: what operators see and change, over the database, the configuration
//! and, where a server runs in this process, what it holds in memory.
//!
//! A change takes the lock of the registry, is written with its audit entry in one transaction, and
//! is put in force before the lock is given back; whoever reads the registry to put it in force
//! ([`Controls::refresh`]) holds the same lock, so that what is older never replaces what is newer.
//! The configuration's lock is only ever taken inside the registry's.

mod alerts;
mod audit;
mod balances;
mod calls;
mod deeds;
mod estimate;
mod explain;
mod facts;
mod jobs;
mod keys;
mod limits;
mod providers;
mod status;
mod storms;
mod switches;
mod usage;
mod users;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use serde::Serialize;
use tollgate_admission::control::{
    Actor, AlertEventRow, AlertHistoryQuery, AlertRow, AlertRuleRow, AlertTest, AlertTestRow,
    AuditQuery, AuditRow, Bodies, Call, CallQuery, Control, ControlError, Estimate, EstimateAsk,
    Explanation, JobRow, Key, KeyPatch, KeyQuery, KeyRotation, KillSwitch, LimitFacts, MadeKey,
    NewKey, NewOverride, NewSilence, NewUser, Page, PlanRow, ProviderRow, SilenceRow, Status,
    StormRow, SwitchChange, TopUp, UsageAsk, UsageReport, User, UserPatch, UserQuery,
};
use tollgate_admission::directory::Directory;
use tollgate_admission::identity::KeyHasher;
use tollgate_domain::clock::Clock;
use tollgate_domain::id::CallId;
use tollgate_proxy::past::Users;
use tollgate_store::{AuditEntry, Change, Reader, Registry, SqliteLedger};

use crate::config::Config;
use crate::serve::{self, Handle, RuleChange, Rules};
use crate::stored;

pub(crate) use calls::filter as calls_filter;
pub(crate) use deeds::Mark;
pub(crate) use estimate::in_currency;
pub(crate) use limits::limits as limits_of;
pub(crate) use usage::with_group;

/// How long a question about calls waits for the newest ones to reach the database.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Longest name of a user, a team or a key, in bytes; the data plane takes no longer ones.
const MAX_NAME: usize = 128;

/// What a running server holds in memory.
struct Live {
    handle: Handle,
    ledger: Arc<SqliteLedger>,
}

/// The control plane.
pub(crate) struct Controls {
    registry: Mutex<Registry>,
    config: Arc<Mutex<Config>>,
    database: PathBuf,
    hasher: KeyHasher,
    clock: Clock,
    live: Option<Live>,
}

impl fmt::Debug for Controls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controls").field("database", &self.database).finish_non_exhaustive()
    }
}

/// Any failure that is nobody's wrong request.
fn failed(error: impl Into<anyhow::Error>) -> ControlError {
    ControlError::Failed(error.into().into())
}

impl Controls {
    /// The control plane of a command: a server beside it notices changes by itself.
    pub(crate) fn offline(config: &Config) -> anyhow::Result<Self> {
        let database = serve::database(config)?;
        let registry = Registry::open(&database)
            .with_context(|| format!("the database `{}` cannot be used", database.display()))?;
        Ok(Self {
            hasher: KeyHasher::new(&stored::pepper(&registry)?),
            registry: Mutex::new(registry),
            config: Arc::new(Mutex::new(config.clone())),
            database,
            clock: Clock::system(),
            live: None,
        })
    }

    /// The control plane of a server that starts, with what is stored put in force. The keys are in
    /// the snapshot already, and nothing has been counted.
    pub(crate) fn live(handle: &Handle, ledger: &Arc<SqliteLedger>) -> anyhow::Result<Self> {
        let controls = Self {
            registry: Mutex::new(Registry::open(&handle.database)?),
            config: Arc::clone(&handle.config),
            database: handle.database.clone(),
            hasher: handle.ground.hasher.clone(),
            clock: handle.ground.clock.clone(),
            live: Some(Live { handle: handle.clone(), ledger: Arc::clone(ledger) }),
        };
        {
            let registry = controls.registry.lock();
            let plane = &handle.plane;
            plane.directory.replace(facts::all_states(&registry)?);
            plane.switches.replace(switches::stored(&registry)?);
        }
        Ok(controls)
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> &std::path::Path {
        &self.database
    }

    /// Puts in force what is stored: keys, users, switches.
    pub(crate) fn refresh(&self) -> anyhow::Result<()> {
        let Some(live) = &self.live else { return Ok(()) };
        let registry = self.registry.lock();
        keys::put_in_force(live, &registry, &self.config.lock())?;
        let plane = &live.handle.plane;
        let users = Directory::default();
        users.replace(facts::all_states(&registry)?);
        let (snapshot, config) = (plane.snapshot.load_full(), self.config.lock());
        let rules =
            |users| Rules { snapshot: &snapshot, outside: &config.limits, users: Users::Of(users) };
        let change = RuleChange {
            before: rules(&plane.directory),
            after: rules(&users),
            user: None,
            moves: plane.directory.moves(&users),
        };
        serve::put_in_force(&live.handle, &change, || {
            plane.directory.replace_shared(&users);
        });
        plane.switches.replace(switches::stored(&registry)?);
        Ok(())
    }

    /// The ledger as it is now, every call that has ended included.
    fn reader(&self) -> Result<Reader, ControlError> {
        let reader = Reader::open(&self.database)?;
        // What the fold has not reached in time is shown by the next question.
        reader.catch_up(CATCH_UP)?;
        Ok(reader)
    }
}

/// What a change did, for the audit.
struct Deed<'a> {
    by: &'a Actor,
    action: &'static str,
    subject: &'a str,
}

impl Deed<'_> {
    /// Notes the change: how it was and how it is since.
    fn note(
        &self,
        change: &Change<'_>,
        clock: &Clock,
        (before, after): (Option<&impl Serialize>, Option<&impl Serialize>),
    ) -> Result<(), ControlError> {
        let entry = AuditEntry {
            time: clock.now(),
            who: &self.by.0,
            action: self.action,
            subject: self.subject,
            before: before.map(serde_json::to_string).transpose().map_err(failed)?,
            after: after.map(serde_json::to_string).transpose().map_err(failed)?,
        };
        Ok(change.audit(&entry)?)
    }
}

/// Refuses a name that the data plane would not take.
fn check_name(what: &str, name: &str) -> Result<(), ControlError> {
    let sane = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.trim() == name
        && !name.chars().any(char::is_control);
    if sane {
        return Ok(());
    }
    Err(ControlError::Invalid(format!(
        "the {what} must be a name of 1 to {MAX_NAME} bytes, without spaces at its ends and without \
         control characters"
    )))
}

/// Refuses what the configuration does not know, and says what it knows.
fn check_known<'a>(
    what: &str,
    name: &str,
    mut known: impl Iterator<Item = &'a Arc<str>> + Clone,
) -> Result<(), ControlError> {
    if known.clone().any(|each| **each == *name) {
        return Ok(());
    }
    let names: Vec<&str> = known.by_ref().map(|name| &**name).collect();
    Err(ControlError::Invalid(format!(
        "there is no {what} `{name}`; the {what}s are: {}",
        names.join(", ")
    )))
}

impl Control for Controls {
    fn users(&self, query: &UserQuery) -> Result<Page<User>, ControlError> {
        self.list_users(query)
    }

    fn user(&self, name: &str) -> Result<User, ControlError> {
        self.show_user(name)
    }

    fn create_user(&self, by: &Actor, user: NewUser) -> Result<User, ControlError> {
        self.register_user(by, user)
    }

    fn change_user(&self, by: &Actor, name: &str, patch: UserPatch) -> Result<User, ControlError> {
        self.patch_user(by, name, patch)
    }

    fn delete_user(&self, by: &Actor, name: &str) -> Result<(), ControlError> {
        self.forget_user(by, name)
    }

    fn set_override(&self, by: &Actor, user: &str, new: NewOverride) -> Result<User, ControlError> {
        self.override_limit(by, user, new)
    }

    fn remove_override(&self, by: &Actor, user: &str, limit: &str) -> Result<User, ControlError> {
        self.take_override_back(by, user, limit)
    }

    fn top_up(&self, by: &Actor, user: &str, top_up: TopUp) -> Result<User, ControlError> {
        self.pay_in(by, user, top_up)
    }

    fn keys(&self, query: &KeyQuery) -> Result<Page<Key>, ControlError> {
        self.list_keys(query)
    }

    fn create_key(&self, by: &Actor, key: NewKey) -> Result<MadeKey, ControlError> {
        self.make_key(by, key)
    }

    fn change_key(&self, by: &Actor, name: &str, patch: KeyPatch) -> Result<Key, ControlError> {
        self.patch_key(by, name, &patch)
    }

    fn rotate_key(
        &self,
        by: &Actor,
        name: &str,
        rotation: KeyRotation,
    ) -> Result<MadeKey, ControlError> {
        self.replace_key(by, name, &rotation)
    }

    fn revoke_key(&self, by: &Actor, name: &str) -> Result<(), ControlError> {
        self.take_key_back(by, name)
    }

    fn plans(&self) -> Result<Vec<PlanRow>, ControlError> {
        Ok(limits::plans(&self.config.lock()))
    }

    fn limits(&self) -> Result<Vec<LimitFacts>, ControlError> {
        Ok(limits::limits(&self.config.lock()))
    }

    fn calls(&self, query: &CallQuery) -> Result<Page<Call>, ControlError> {
        self.list_calls(query)
    }

    fn call(&self, id: CallId) -> Result<Call, ControlError> {
        self.show_call(id)
    }

    fn bodies(&self, by: &Actor, id: CallId) -> Result<Bodies, ControlError> {
        self.show_bodies(by, id)
    }

    fn explain(&self, id: CallId) -> Result<Explanation, ControlError> {
        self.explain_call(id)
    }

    fn estimate(&self, ask: &EstimateAsk) -> Result<Estimate, ControlError> {
        self.estimate_prompt(ask)
    }

    fn usage(&self, ask: &UsageAsk) -> Result<UsageReport, ControlError> {
        self.report_usage(ask)
    }

    fn kill_switch(&self) -> Result<KillSwitch, ControlError> {
        self.show_switches()
    }

    fn switch(&self, by: &Actor, change: SwitchChange) -> Result<KillSwitch, ControlError> {
        self.change_switch(by, change)
    }

    fn storms(&self) -> Result<Vec<StormRow>, ControlError> {
        self.list_storms()
    }

    fn lift_block(&self, by: &Actor, storm: u64) -> Result<StormRow, ControlError> {
        self.let_go_on(by, storm)
    }

    fn alerts(&self) -> Result<Vec<AlertRow>, ControlError> {
        self.list_alerts()
    }

    fn alert_history(
        &self,
        query: &AlertHistoryQuery,
    ) -> Result<Page<AlertEventRow>, ControlError> {
        self.list_alert_history(query)
    }

    fn alert_rules(&self) -> Result<Vec<AlertRuleRow>, ControlError> {
        self.list_alert_rules()
    }

    fn silences(&self) -> Result<Vec<SilenceRow>, ControlError> {
        self.list_silences()
    }

    fn silence(&self, by: &Actor, new: NewSilence) -> Result<SilenceRow, ControlError> {
        self.make_silence(by, new)
    }

    fn unsilence(&self, by: &Actor, id: i64) -> Result<(), ControlError> {
        self.end_silence(by, id)
    }

    fn test_alerts(&self, by: &Actor, test: AlertTest) -> Result<Vec<AlertTestRow>, ControlError> {
        self.send_samples(by, test)
    }

    fn jobs(&self) -> Result<Vec<JobRow>, ControlError> {
        self.list_jobs()
    }

    fn run_job(&self, by: &Actor, name: &str) -> Result<JobRow, ControlError> {
        self.start_job(by, name)
    }

    fn audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>, ControlError> {
        self.list_audit(query)
    }

    fn providers(&self) -> Result<Vec<ProviderRow>, ControlError> {
        Ok(self.list_providers())
    }

    fn status(&self) -> Result<Status, ControlError> {
        self.show_status()
    }
}

#[cfg(test)]
mod tests;
