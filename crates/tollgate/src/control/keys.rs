//! Keys: made, replaced and taken back; shown once, stored as digests.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_admission::control::{
    Actor, ControlError, Key, KeyPatch, KeyQuery, KeyRotation, KeySource, KeyState, LimitFacts,
    MadeKey, NewKey, Page, WrittenLimit, page_size,
};
use tollgate_admission::identity::{Role, new_key, random_bytes};
use tollgate_admission::network::Network;
use tollgate_domain::id::CallId;
use tollgate_domain::limit::Limit;
use tollgate_proxy::past::Users;
use tollgate_store::{KeyRecord, Registry, Rotation};

use super::{Controls, Deed, Live, check_known, check_name, failed};
use crate::config::{Config, ConfigKey, read_duration, read_key_limits};
use crate::serve::{self, RuleChange, Rules, plans_differ};
use crate::{compose, stored};

/// How long a replaced key stays good where nobody says so.
const USUAL_OVERLAP: &str = "24h";

impl Controls {
    pub(super) fn list_keys(&self, query: &KeyQuery) -> Result<Page<Key>, ControlError> {
        let size = page_size(query.limit)?;
        let now = self.clock.now();
        let skip = query.cursor.as_deref().map_or(Ok(0), |text| {
            text.parse().map_err(|_| ControlError::Invalid(format!("`{text}` is no cursor")))
        })?;
        let registry = self.registry.lock();
        let config = self.config.lock();
        let zone = &config.server.timezone;
        let configured = config.auth.keys.iter().map(|key| configured(key, now));
        let stored = registry.keys()?.into_iter().map(|key| shown(key, zone, now));
        let wanted = |key: &Key| query.user.as_ref().is_none_or(|user| key.user == *user);
        let mut rows: Vec<Key> = configured.chain(stored).filter(wanted).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        let rest: Vec<Key> = rows.into_iter().skip(skip).take(size + 1).collect();
        Ok(Page::cut(rest, size, |_| skip.saturating_add(size).to_string()))
    }

    pub(super) fn make_key(&self, by: &Actor, new: NewKey) -> Result<MadeKey, ControlError> {
        let registry = self.registry.lock();
        let config = self.config.lock();
        let role = check(&config, &new)?;
        check_limits(&config, &new.limits)?;
        let zone = &config.server.timezone;
        let now = self.clock.now();
        let (key, hash) = self.fresh()?;
        let record = KeyRecord {
            id: fresh_id(now)?,
            name: new.name,
            hash,
            prefix: beginning(&key),
            role: role.as_str().to_owned(),
            user: new.user,
            team: new.team,
            plan: new.plan,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            allowed_models: some(new.models),
            allowed_providers: some(new.providers),
            allowed_ips: some(new.networks),
            limits: written(&new.limits),
            on_disconnect: new.on_disconnect,
            rotated_from: None,
            replaced: false,
        };
        let deed = Deed { by, action: "key.create", subject: &record.name };
        registry.change(|change| {
            change.insert_key(&record)?;
            let after = shown(record.clone(), zone, now);
            deed.note(change, &self.clock, (None::<&Key>, Some(&after)))
        })?;
        self.put_keys(&registry, &config)?;
        Ok(made(record, key, None))
    }

    pub(super) fn patch_key(
        &self,
        by: &Actor,
        name: &str,
        patch: &KeyPatch,
    ) -> Result<Key, ControlError> {
        let registry = self.registry.lock();
        let config = self.config.lock();
        refuse_configured(&config, name)?;
        check_limits(&config, &patch.limits)?;
        let zone = &config.server.timezone;
        let now = self.clock.now();
        let deed = Deed { by, action: "key.change", subject: name };
        let key = registry.change(|change| {
            let before = change.key(name)?.filter(|key| key.revoked_at.is_none());
            let before = before.ok_or_else(|| unknown(name))?;
            change.set_key_limits(name, written(&patch.limits).as_deref())?;
            let after = change.key(name)?.ok_or_else(|| unknown(name))?;
            let (was, is) = (shown(before, zone, now), shown(after, zone, now));
            deed.note(change, &self.clock, (Some(&was), Some(&is)))?;
            Ok::<_, ControlError>(is)
        })?;
        self.put_keys(&registry, &config)?;
        Ok(key)
    }

    pub(super) fn replace_key(
        &self,
        by: &Actor,
        name: &str,
        rotation: &KeyRotation,
    ) -> Result<MadeKey, ControlError> {
        let overlap = rotation.overlap.as_deref().unwrap_or(USUAL_OVERLAP);
        let overlap = read_duration(overlap).ok_or_else(|| {
            ControlError::Invalid(format!(
                "`{overlap}` is not a duration: expected a form such as 0s, 24h or 7d"
            ))
        })?;
        let registry = self.registry.lock();
        let config = self.config.lock();
        refuse_configured(&config, name)?;
        let zone = &config.server.timezone;
        let now = self.clock.now();
        let old_until = now.checked_add(overlap).map_err(failed)?;
        let (key, hash) = self.fresh()?;
        let id = fresh_id(now)?;
        let deed = Deed { by, action: "key.rotate", subject: name };
        let record = registry.change(|change| {
            let before = change.key(name)?.filter(|key| key.revoked_at.is_none());
            let before = before.ok_or_else(|| unknown(name))?;
            let prefix = beginning(&key);
            let record = change.rotate_key(name, Rotation { id, hash, prefix, now, old_until })?;
            let (was, is) = (shown(before, zone, now), shown(record.clone(), zone, now));
            deed.note(change, &self.clock, (Some(&was), Some(&is)))?;
            Ok::<_, ControlError>(record)
        })?;
        self.put_keys(&registry, &config)?;
        Ok(made(record, key, Some(old_until)))
    }

    pub(super) fn take_key_back(&self, by: &Actor, name: &str) -> Result<(), ControlError> {
        let registry = self.registry.lock();
        let config = self.config.lock();
        refuse_configured(&config, name)?;
        let zone = &config.server.timezone;
        let now = self.clock.now();
        let deed = Deed { by, action: "key.revoke", subject: name };
        registry.change(|change| {
            let before = change.key(name)?.ok_or_else(|| unknown(name))?;
            change.revoke_key(name, now)?;
            let after = change.key(name)?.map(|key| shown(key, zone, now));
            let before = shown(before, zone, now);
            deed.note(change, &self.clock, (Some(&before), after.as_ref()))
        })?;
        self.put_keys(&registry, &config)
    }

    fn put_keys(&self, registry: &Registry, config: &Config) -> Result<(), ControlError> {
        self.live
            .as_ref()
            .map_or(Ok(()), |live| put_in_force(live, registry, config))
            .map_err(failed)
    }

    /// A new key and its digest.
    fn fresh(&self) -> Result<(String, Vec<u8>), ControlError> {
        let key = new_key().map_err(failed)?;
        let digest = self.hasher.digest(key.as_bytes()).to_vec();
        Ok((key, digest))
    }
}

/// Puts the stored keys in force beside those of the configuration.
pub(super) fn put_in_force(
    live: &Live,
    registry: &Registry,
    config: &Config,
) -> anyhow::Result<()> {
    let handle = &live.handle;
    let ring = compose::keys(config, &handle.ground.hasher, stored::keys(registry, config)?);
    let plane = &handle.plane;
    let before = plane.snapshot.load_full();
    let after = Arc::new(before.with_keys(Arc::new(ring)));
    let (outside, users) = (&*config.limits, Users::Of(&plane.directory));
    let change = RuleChange {
        before: Rules { snapshot: &before, outside, users },
        after: Rules { snapshot: &after, outside, users },
        user: None,
        moves: plans_differ(&before, &after),
    };
    serve::put_in_force(handle, &change, || plane.snapshot.store(Arc::clone(&after)));
    Ok(())
}

/// Refuses a key that could not do what it says.
fn check(config: &Config, new: &NewKey) -> Result<Role, ControlError> {
    let invalid = |error: &dyn std::fmt::Display| ControlError::Invalid(error.to_string());
    check_name("key", &new.name)?;
    refuse_configured(config, &new.name)?;
    if let Some(user) = &new.user {
        check_name("user", user)?;
    }
    if let Some(team) = &new.team {
        check_name("team", team)?;
    }
    if let Some(plan) = &new.plan {
        check_known("plan", plan, config.plans.keys())?;
    }
    for provider in &new.providers {
        check_known("provider", provider, config.providers.keys())?;
    }
    for network in &new.networks {
        network.parse::<Network>().map_err(|error| invalid(&error))?;
    }
    match new.on_disconnect.as_deref() {
        None | Some("drain" | "abort") => {}
        Some(other) => {
            let message = format!("`{other}` is no `on_disconnect`: expected drain or abort");
            return Err(ControlError::Invalid(message));
        }
    }
    new.role.as_deref().unwrap_or("user").parse().map_err(|error| invalid(&error))
}

fn refuse_configured(config: &Config, name: &str) -> Result<(), ControlError> {
    if config.auth.keys.iter().any(|key| &*key.name == name) {
        return Err(ControlError::Conflict(format!(
            "`{name}` is a key of the configuration ({}); change it there",
            config.origin
        )));
    }
    Ok(())
}

fn unknown(name: &str) -> ControlError {
    ControlError::NotFound { what: "key", name: name.to_owned() }
}

fn made(record: KeyRecord, key: String, old_until: Option<Timestamp>) -> MadeKey {
    MadeKey {
        user: record.user.unwrap_or_else(|| record.name.clone()),
        name: record.name,
        key,
        role: record.role,
        expires_at: record.expires_at,
        old_until,
    }
}

fn configured(key: &ConfigKey, now: Timestamp) -> Key {
    let texts = |list: &[Arc<str>]| list.iter().map(ToString::to_string).collect();
    Key {
        name: key.name.to_string(),
        prefix: None,
        role: key.role.as_str().to_owned(),
        user: key.user.to_string(),
        team: key.team.as_deref().map(str::to_owned),
        plan: key.plan.as_deref().map(str::to_owned),
        state: state(key.expires_at, None, now),
        created_at: None,
        expires_at: key.expires_at,
        revoked_at: None,
        models: texts(&key.models),
        providers: texts(&key.providers),
        networks: key.networks.iter().map(ToString::to_string).collect(),
        on_disconnect: None,
        limits: facts(&key.limits),
        source: KeySource::Configuration,
    }
}

fn shown(key: KeyRecord, zone: &TimeZone, now: Timestamp) -> Key {
    // What cannot be read any more refuses the key where it is put in force, and says so.
    let limits = stored::own_limits(&key, zone).unwrap_or_default();
    Key {
        user: key.user.unwrap_or_else(|| key.name.clone()),
        name: key.name,
        prefix: Some(key.prefix),
        role: key.role,
        team: key.team,
        plan: key.plan,
        state: state(key.expires_at, key.revoked_at, now),
        created_at: Some(key.created_at),
        expires_at: key.expires_at,
        revoked_at: key.revoked_at,
        models: key.allowed_models.unwrap_or_default(),
        providers: key.allowed_providers.unwrap_or_default(),
        networks: key.allowed_ips.unwrap_or_default(),
        on_disconnect: key.on_disconnect,
        limits: facts(&limits),
        source: if key.replaced { KeySource::Replaced } else { KeySource::Database },
    }
}

fn state(expires: Option<Timestamp>, revoked: Option<Timestamp>, now: Timestamp) -> KeyState {
    if revoked.is_some() {
        KeyState::Revoked
    } else if expires.is_some_and(|end| end <= now) {
        KeyState::Expired
    } else {
        KeyState::Good
    }
}

fn fresh_id(now: Timestamp) -> Result<String, ControlError> {
    let random = random_bytes().map_err(failed)?;
    let mut bits = [0; 10];
    for (to, from) in bits.iter_mut().zip(random) {
        *to = from;
    }
    let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
    Ok(CallId::new(millis, bits).to_string())
}

/// As much of a key as may be shown: enough to tell two apart, too little to guess from.
fn beginning(key: &str) -> String {
    let head: String = key.chars().take(7).collect();
    format!("{head}…")
}

/// Limits as the database keeps them.
fn written(limits: &[WrittenLimit]) -> Option<String> {
    (!limits.is_empty()).then(|| WrittenLimit::list(limits))
}

fn facts(limits: &[Arc<Limit>]) -> Vec<LimitFacts> {
    limits.iter().map(|limit| LimitFacts::of(limit, None)).collect()
}

/// Refuses limits that a key cannot have.
fn check_limits(config: &Config, limits: &[WrittenLimit]) -> Result<(), ControlError> {
    let read = read_key_limits(limits, Some(config), &config.server.timezone);
    read.map(drop).map_err(|told| ControlError::Invalid(format!("limits: {told}")))
}

fn some(list: Vec<String>) -> Option<Vec<String>> {
    (!list.is_empty()).then_some(list)
}
