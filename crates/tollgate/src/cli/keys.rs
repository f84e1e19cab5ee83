//! `tollgate keys`: API keys beside the running server. A change takes effect there within a second.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tollgate_admission::identity::{KeyHasher, Role, new_key, random_bytes};
use tollgate_admission::network::Network;
use tollgate_domain::clock::Clock;
use tollgate_domain::id::CallId;
use tollgate_store::{KeyRecord, Registry, Rotation};

use super::form::{self, Column, Format, text};
use crate::config::Config;
use crate::{out, serve, stored};

const COLUMNS: [Column; 8] = [
    text("name", "NAME"),
    text("prefix", "KEY"),
    text("role", "ROLE"),
    text("user", "USER"),
    text("plan", "PLAN"),
    text("state", "STATE"),
    text("expires_at", "EXPIRES"),
    text("source", "FROM"),
];

/// Arguments of `tollgate keys`.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    verb: KeysVerb,
}

#[derive(Debug, Subcommand)]
enum KeysVerb {
    /// Make a key; it is shown once
    Create(CreateArgs),
    /// List keys, never the keys themselves
    List {
        /// The form of the rows
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Put a new key in the place of one; the old one stays good for a while
    Rotate {
        /// The name of the key
        name: String,
        /// How long the old key stays good: 0s, 24h, 7d
        #[arg(long, default_value = "24h", value_name = "DURATION")]
        overlap: String,
    },
    /// Make a key useless at once
    Revoke {
        /// The name of the key
        name: String,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// A name for it, unique
    name: String,
    /// user: acts for one user; service: may name the user per call; admin: may change everything
    #[arg(long, default_value = "user")]
    role: Role,
    /// The user it acts for [default: its name]
    #[arg(long)]
    user: Option<String>,
    /// The team of its user
    #[arg(long)]
    team: Option<String>,
    /// The plan it is on
    #[arg(long)]
    plan: Option<String>,
    /// When it stops being good, as an RFC 3339 instant
    #[arg(long, value_name = "INSTANT")]
    expires: Option<Timestamp>,
    /// A model it may use (a `*` at the end matches a prefix); may be given several times
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// A provider it may use; may be given several times
    #[arg(long = "provider", value_name = "PROVIDER")]
    providers: Vec<String>,
    /// An address or network it may come from; may be given several times
    #[arg(long = "ip", value_name = "CIDR")]
    networks: Vec<Network>,
    /// What becomes of its calls when the client leaves: drain or abort
    #[arg(long, value_name = "WHAT", value_parser = ["drain", "abort"])]
    on_disconnect: Option<String>,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the verb.
pub(crate) fn run(config: &Config, args: &KeysArgs) -> anyhow::Result<()> {
    let registry = Registry::open(&serve::database(config)?)?;
    let now = Clock::system().now();
    match &args.verb {
        KeysVerb::Create(args) => create(config, &registry, args, now),
        KeysVerb::List { format } => list(config, &registry, *format, now),
        KeysVerb::Rotate { name, overlap } => rotate(&registry, name, overlap, now),
        KeysVerb::Revoke { name } => {
            refuse_configured(config, name)?;
            registry.change(|change| change.revoke_key(name, now))?;
            Ok(out::line(format_args!("the key `{name}` is revoked"))?)
        }
    }
}

fn create(
    config: &Config,
    registry: &Registry,
    args: &CreateArgs,
    now: Timestamp,
) -> anyhow::Result<()> {
    refuse_configured(config, &args.name)?;
    if let Some(plan) = &args.plan
        && !config.plans.contains_key(plan.as_str())
    {
        bail!("there is no plan `{plan}`; {}", known("plans", config.plans.keys()));
    }
    for provider in &args.providers {
        if !config.providers.contains_key(provider.as_str()) {
            let known = known("providers", config.providers.keys());
            bail!("there is no provider `{provider}`; {known}");
        }
    }
    let (key, hash) = fresh(registry)?;
    let record = KeyRecord {
        id: fresh_id(now)?,
        name: args.name.clone(),
        hash,
        prefix: shown(&key),
        role: args.role.as_str().to_owned(),
        user: args.user.clone(),
        team: args.team.clone(),
        plan: args.plan.clone(),
        created_at: now,
        expires_at: args.expires,
        revoked_at: None,
        allowed_models: some(&args.models),
        allowed_providers: some(&args.providers),
        allowed_ips: some(&args.networks.iter().map(ToString::to_string).collect::<Vec<_>>()),
        limits: None,
        on_disconnect: args.on_disconnect.clone(),
        rotated_from: None,
        replaced: false,
    };
    registry.change(|change| change.insert_key(&record))?;
    show_once(&args.name, &key, args.format)
}

fn rotate(registry: &Registry, name: &str, overlap: &str, now: Timestamp) -> anyhow::Result<()> {
    let overlap: SignedDuration = overlap
        .parse()
        .with_context(|| format!("`{overlap}` is not a duration: expected a form such as 24h"))?;
    let (key, hash) = fresh(registry)?;
    let rotation = Rotation {
        id: fresh_id(now)?,
        hash,
        prefix: shown(&key),
        now,
        old_until: now.checked_add(overlap)?,
    };
    let until = rotation.old_until;
    registry.change(|change| change.rotate_key(name, rotation))?;
    out::note(format_args!("the old key stays good until {until}"));
    show_once(name, &key, Format::Table)
}

/// Shows a key, the only time.
fn show_once(name: &str, key: &str, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return Ok(out::line(json!({ "name": name, "key": key }))?);
    }
    out::note(format_args!("the key `{name}`; keep it, it is not shown again:"));
    Ok(out::line(key)?)
}

fn list(
    config: &Config,
    registry: &Registry,
    format: Format,
    now: Timestamp,
) -> anyhow::Result<()> {
    let configured = config.auth.keys.iter().map(|key| {
        let fields = json!({
            "name": key.name,
            "prefix": null,
            "role": key.role.as_str(),
            "user": key.user,
            "team": key.team,
            "plan": key.plan,
            "state": state(key.expires_at, None, now),
            "created_at": null,
            "expires_at": key.expires_at,
            "revoked_at": null,
            "source": "configuration",
        });
        as_row(fields)
    });
    let stored = registry.keys()?;
    let stored = stored.iter().map(|key| {
        let fields = json!({
            "name": key.name,
            "prefix": key.prefix,
            "role": key.role,
            "user": key.user.as_ref().unwrap_or(&key.name),
            "team": key.team,
            "plan": key.plan,
            "state": state(key.expires_at, key.revoked_at, now),
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
            "source": if key.replaced { "database, replaced" } else { "database" },
        });
        as_row(fields)
    });
    let rows: Vec<_> = configured.chain(stored).collect();
    Ok(form::print(format, &COLUMNS, &rows)?)
}

fn as_row(fields: Value) -> Map<String, Value> {
    match fields {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

fn state(expires: Option<Timestamp>, revoked: Option<Timestamp>, now: Timestamp) -> &'static str {
    if revoked.is_some() {
        "revoked"
    } else if expires.is_some_and(|end| end <= now) {
        "expired"
    } else {
        "good"
    }
}

fn refuse_configured(config: &Config, name: &str) -> anyhow::Result<()> {
    if config.auth.keys.iter().any(|key| &*key.name == name) {
        bail!("`{name}` is a key of the configuration ({}); change it there", config.origin);
    }
    Ok(())
}

fn known<'a>(what: &str, names: impl Iterator<Item = &'a std::sync::Arc<str>>) -> String {
    let names: Vec<&str> = names.map(|name| &**name).collect();
    format!("the {what} are: {}", names.join(", "))
}

/// A new key and its digest.
fn fresh(registry: &Registry) -> anyhow::Result<(String, Vec<u8>)> {
    let hasher = KeyHasher::new(&stored::pepper(registry)?);
    let key = new_key()?;
    let digest = hasher.digest(key.as_bytes()).to_vec();
    Ok((key, digest))
}

fn fresh_id(now: Timestamp) -> anyhow::Result<String> {
    let random = random_bytes()?;
    let mut bits = [0; 10];
    for (to, from) in bits.iter_mut().zip(random) {
        *to = from;
    }
    let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
    Ok(CallId::new(millis, bits).to_string())
}

/// As much of a key as may be shown: enough to tell two apart, too little to guess from.
fn shown(key: &str) -> String {
    let head: String = key.chars().take(7).collect();
    format!("{head}…")
}

fn some(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}
