//! Between the configuration and the store: how the ledger is opened, and stored keys as the data
//! plane knows them.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use tollgate_admission::control::WrittenLimit;
use tollgate_admission::engine::OwnLimits;
use tollgate_admission::identity::{KeyDigest, KeyEntry, OnDisconnect, random_bytes};
use tollgate_domain::limit::Limit;
use tollgate_store::{Durability, InDoubt, KeyRecord, Options, Registry};

use crate::config::{self, Config};

/// The name under which the secret of key digests is kept.
const PEPPER: &str = "key_pepper";

/// How the ledger is opened.
pub(crate) fn options(config: &Config) -> Options {
    Options {
        durability: match config.storage.durability {
            config::Durability::Process => Durability::Process,
            config::Durability::Power => Durability::Power,
        },
        in_doubt: match config.storage.in_doubt {
            config::InDoubt::Charge => InDoubt::Charge,
            config::InDoubt::Release => InDoubt::Release,
        },
        zone: config.server.timezone.clone(),
        ..Options::default()
    }
}

/// The secret of key digests, made on first use.
pub(crate) fn pepper(registry: &Registry) -> anyhow::Result<Vec<u8>> {
    let fresh = random_bytes()?;
    Ok(registry.value_or_insert(PEPPER, || fresh.to_vec())?)
}

/// The stored keys that are not revoked.
pub(crate) fn keys(
    registry: &Registry,
    config: &Config,
) -> anyhow::Result<Vec<(KeyDigest, KeyEntry)>> {
    let keys = registry.keys()?.into_iter().filter(|key| key.revoked_at.is_none());
    keys.map(|key| {
        let name = key.name.clone();
        entry(key, &config.server.timezone)
            .with_context(|| format!("the stored key `{name}` cannot be read"))
    })
    .collect()
}

fn entry(key: KeyRecord, zone: &TimeZone) -> anyhow::Result<(KeyDigest, KeyEntry)> {
    let digest =
        KeyDigest::try_from(key.hash.as_slice()).context("its digest has a wrong length")?;
    let names = |list: Option<Vec<String>>| {
        list.unwrap_or_default().into_iter().map(Into::into).collect::<Vec<_>>()
    };
    let limits = own_limits(&key, zone)?;
    let networks = key.allowed_ips.unwrap_or_default();
    let entry = KeyEntry {
        user: key.user.as_deref().unwrap_or(&key.name).into(),
        name: key.name.as_str().into(),
        role: key.role.parse()?,
        team: key.team.map(Into::into),
        plan: key.plan.map(Into::into),
        expires_at: key.expires_at,
        models: names(key.allowed_models),
        providers: names(key.allowed_providers),
        networks: networks.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
        on_disconnect: match key.on_disconnect.as_deref() {
            Some("abort") => Some(OnDisconnect::Abort),
            Some("drain") => Some(OnDisconnect::Drain),
            _ => None,
        },
        cache: None,
        own: OwnLimits::of(limits),
    };
    Ok((digest, entry))
}

/// The limits that are stored with a key.
pub(crate) fn own_limits(key: &KeyRecord, zone: &TimeZone) -> anyhow::Result<Vec<Arc<Limit>>> {
    let Some(json) = &key.limits else { return Ok(Vec::new()) };
    let written = WrittenLimit::read_list(json).context("its limits are no list of objects")?;
    config::read_key_limits(&written, None, zone).map_err(|told| anyhow::anyhow!("limits: {told}"))
}
