//! `tollgate users`: what is decided about users. A change takes effect beside a running server
//! within a second.

use anyhow::bail;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tollgate_admission::control::{
    Actor, Control as _, LimitRow, NewOverride, TopUp, User, UserPatch, UserQuery, Written,
};

use super::form::{self, Column, Format, number, text};
use crate::config::Config;
use crate::control::Controls;
use crate::out;

const USERS: [Column; 7] = [
    text("name", "NAME"),
    text("plan", "PLAN"),
    text("plan_from", "FROM"),
    text("team", "TEAM"),
    text("blocked", "BLOCKED"),
    text("quota_zero_until", "QUOTA ZERO UNTIL"),
    text("registered", "REGISTERED"),
];
const LIMITS: [Column; 9] = [
    text("name", "LIMIT"),
    text("plan", "PLAN"),
    text("scope", "SCOPE"),
    text("metric", "METRIC"),
    text("window", "WINDOW"),
    number("used", "USED"),
    number("max", "MAX"),
    number("remaining", "LEFT"),
    text("resets_at", "RESETS"),
];

/// Arguments of `tollgate users`.
#[derive(Debug, Args)]
pub(crate) struct UsersArgs {
    #[command(subcommand)]
    verb: UsersVerb,
}

#[derive(Debug, Subcommand)]
enum UsersVerb {
    /// List users: those that are registered, have called, or have a key
    List {
        /// Only names that begin so
        #[arg(long)]
        prefix: Option<String>,
        /// The form of the rows
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// One user, with how every limit stands
    Show {
        /// The user
        name: String,
        /// The form of the answer
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Change plan, team, block or quota; registers the user where that is needed
    Set(SetArgs),
    /// Forget what is decided about a user; the ledger and payments stay
    Delete {
        /// The user
        name: String,
    },
    /// Give a user another maximum, or take it back
    Override(OverrideArgs),
    /// Pay in on a prepaid balance
    TopUp {
        /// The user
        name: String,
        /// The limit; its window is `balance`
        limit: String,
        /// How much
        amount: String,
        /// Your name of this payment: repeated, it pays nothing
        #[arg(long)]
        reference: Option<String>,
    },
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The user
    name: String,
    /// The plan; `none` for that of the key, else the default one
    #[arg(long)]
    plan: Option<String>,
    /// The team; `none` for none
    #[arg(long)]
    team: Option<String>,
    /// Refuse every call
    #[arg(long, conflicts_with = "unblock")]
    block: bool,
    /// Why it is blocked; the user sees it
    #[arg(long, requires = "block")]
    reason: Option<String>,
    /// Serve calls again
    #[arg(long)]
    unblock: bool,
    /// Until when every quota counts as zero, as an RFC 3339 instant; `none` to end it
    #[arg(long, value_name = "INSTANT")]
    quota_zero_until: Option<String>,
}

#[derive(Debug, Args)]
struct OverrideArgs {
    /// The user
    name: String,
    /// The limit
    limit: String,
    /// The maximum instead: a number, or `unlimited`; zero blocks
    #[arg(long, required_unless_present = "remove")]
    max: Option<String>,
    /// Until when, as an RFC 3339 instant [default: for good]
    #[arg(long, value_name = "INSTANT", conflicts_with = "remove")]
    until: Option<Timestamp>,
    /// Take the override back
    #[arg(long, conflicts_with = "max")]
    remove: bool,
}

/// Runs the verb.
pub(crate) fn run(config: &Config, args: UsersArgs) -> anyhow::Result<()> {
    let controls = Controls::offline(config)?;
    let by = super::actor();
    let user = match args.verb {
        UsersVerb::List { prefix, format } => return list(&controls, prefix, format),
        UsersVerb::Show { name, format } => return show(&controls.user(&name)?, format),
        UsersVerb::Set(args) => controls.change_user(&by, &args.name.clone(), patch(args)?)?,
        UsersVerb::Delete { name } => {
            controls.delete_user(&by, &name)?;
            return Ok(out::line(format_args!("the user `{name}` is forgotten"))?);
        }
        UsersVerb::Override(args) => override_limit(&controls, &by, args)?,
        UsersVerb::TopUp { name, limit, amount, reference } => {
            let top_up = TopUp { limit, amount: Written::new(&amount), reference };
            controls.top_up(&by, &name, top_up)?
        }
    };
    show(&user, Format::Table)
}

fn list(controls: &Controls, prefix: Option<String>, format: Format) -> anyhow::Result<()> {
    let mut query = UserQuery { prefix, limit: Some(500), cursor: None };
    let mut rows = Vec::new();
    loop {
        let page = controls.users(&query)?;
        rows.extend(page.items.iter().map(form::row));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return Ok(form::print(format, &USERS, &rows)?);
        }
    }
}

fn patch(args: SetArgs) -> anyhow::Result<UserPatch> {
    let given = |text: Option<String>| text.map(|text| (text != "none").then_some(text));
    let quota_zero_until = given(args.quota_zero_until)
        .map(|text| text.map(|text| text.parse::<Timestamp>()).transpose())
        .transpose()?;
    let patch = UserPatch {
        plan: given(args.plan),
        team: given(args.team),
        blocked: (args.block || args.unblock).then_some(args.block),
        blocked_reason: args.block.then_some(args.reason),
        quota_zero_until,
    };
    if patch == UserPatch::default() {
        bail!("nothing to change: give --plan, --team, --block, --unblock or --quota-zero-until");
    }
    Ok(patch)
}

fn override_limit(controls: &Controls, by: &Actor, args: OverrideArgs) -> anyhow::Result<User> {
    let OverrideArgs { name, limit, max, until, .. } = args;
    Ok(match max {
        None => controls.remove_override(by, &name, &limit)?,
        Some(max) => {
            let new = NewOverride { limit, max: Written::new(&max), until };
            controls.set_override(by, &name, new)?
        }
    })
}

fn show(user: &User, format: Format) -> anyhow::Result<()> {
    let mut row = form::row(user);
    if format != Format::Table {
        return Ok(form::print(format, &USERS, &[row])?);
    }
    row.remove("limits");
    let lines = row.iter().filter(|(_, value)| !is_nothing(value));
    for (name, value) in lines {
        out::line(format_args!("{name:<17} {}", form::cell(Some(value))))?;
    }
    let limits = user.limits.iter().flatten();
    Ok(print_limits(limits)?)
}

/// How limits stand, as a table.
pub(super) fn print_limits<'a>(limits: impl Iterator<Item = &'a LimitRow>) -> std::io::Result<()> {
    let rows: Vec<Map<String, Value>> = limits.map(form::row).collect();
    if rows.is_empty() {
        return out::line("no limit applies");
    }
    form::print(Format::Table, &LIMITS, &rows)
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}
