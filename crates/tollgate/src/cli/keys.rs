//! `tollgate keys`: API keys beside the running server. A change takes effect there within a second.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tollgate_admission::control::{
    Control as _, KeyPatch, KeyQuery, KeyRotation, MadeKey, NewKey, WrittenLimit,
};
use tollgate_admission::identity::Role;
use tollgate_admission::network::Network;

use super::form::{self, Column, Format, text};
use crate::config::Config;
use crate::control::Controls;
use crate::out;

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
    /// Change a key's own limits
    Limits {
        /// The name of the key
        name: String,
        /// A limit as `name=daily,metric=cost_usd,window=day,max=5` or as JSON; may be given
        /// several times. Those that are not given are taken away
        #[arg(long = "limit", value_name = "LIMIT")]
        limits: Vec<WrittenLimit>,
        /// Take all away
        #[arg(long, conflicts_with = "limits", required_unless_present = "limits")]
        none: bool,
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
    /// A limit of its own, as `name=daily,metric=cost_usd,window=day,max=5` or as JSON; may be given
    /// several times
    #[arg(long = "limit", value_name = "LIMIT")]
    limits: Vec<WrittenLimit>,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the verb.
pub(crate) fn run(config: &Config, args: KeysArgs) -> anyhow::Result<()> {
    let controls = Controls::offline(config)?;
    let by = super::actor();
    match args.verb {
        KeysVerb::Create(args) => {
            let format = args.format;
            show_once(&controls.create_key(&by, wanted(args))?, format)
        }
        KeysVerb::List { format } => list(&controls, format),
        KeysVerb::Limits { name, limits, none: _ } => {
            let key = controls.change_key(&by, &name, KeyPatch { limits })?;
            let count = key.limits.len();
            Ok(out::line(format_args!("the key `{name}` has {count} limits of its own"))?)
        }
        KeysVerb::Rotate { name, overlap } => {
            let made = controls.rotate_key(&by, &name, KeyRotation { overlap: Some(overlap) })?;
            if let Some(until) = made.old_until {
                out::note(format_args!("the old key stays good until {until}"));
            }
            show_once(&made, Format::Table)
        }
        KeysVerb::Revoke { name } => {
            controls.revoke_key(&by, &name)?;
            Ok(out::line(format_args!("the key `{name}` is revoked"))?)
        }
    }
}

fn wanted(args: CreateArgs) -> NewKey {
    NewKey {
        name: args.name,
        role: Some(args.role.as_str().to_owned()),
        user: args.user,
        team: args.team,
        plan: args.plan,
        expires_at: args.expires,
        models: args.models,
        providers: args.providers,
        networks: args.networks.iter().map(ToString::to_string).collect(),
        on_disconnect: args.on_disconnect,
        limits: args.limits,
    }
}

/// Shows a key, the only time.
fn show_once(made: &MadeKey, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return Ok(form::print(format, &[], &[form::row(made)])?);
    }
    out::note(format_args!("the key `{}`; keep it, it is not shown again:", made.name));
    Ok(out::line(&made.key)?)
}

fn list(controls: &Controls, format: Format) -> anyhow::Result<()> {
    let mut query = KeyQuery { limit: Some(500), ..KeyQuery::default() };
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    loop {
        let page = controls.keys(&query)?;
        rows.extend(page.items.iter().map(form::row));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return Ok(form::print(format, &COLUMNS, &rows)?);
        }
    }
}
