//! `tollgate alerts`: what is open, what happened, silences, samples. It works beside a running
//! server, which goes by a silence within seconds.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tollgate_admission::control::{
    AlertHistoryQuery, AlertTest, AlertTestRow, Control as _, NewSilence,
};

use super::form::{self, Column, Format, text};
use crate::config::{Config, read_duration};
use crate::control::Controls;
use crate::out;

const ALERTS: [Column; 7] = [
    text("state", "STATE"),
    text("severity", "SEVERITY"),
    text("rule", "RULE"),
    text("text", "WHAT"),
    text("since", "SINCE"),
    text("silenced", "SILENCED"),
    text("action", "ACTION"),
];
const HISTORY: [Column; 5] = [
    text("time", "TIME"),
    text("happened", "HAPPENED"),
    text("severity", "SEVERITY"),
    text("rule", "RULE"),
    text("text", "WHAT"),
];
const RULES: [Column; 6] = [
    text("name", "RULE"),
    text("when", "WHEN"),
    text("severity", "SEVERITY"),
    text("channels", "CHANNELS"),
    text("action", "ACTION"),
    form::number("firing", "FIRING"),
];
const SILENCES: [Column; 6] = [
    form::number("id", "ID"),
    text("matchers", "MATCHES"),
    text("reason", "WHY"),
    text("by", "BY"),
    text("from", "FROM"),
    text("until", "UNTIL"),
];
const SAMPLES: [Column; 4] = [
    text("channel", "CHANNEL"),
    text("kind", "KIND"),
    text("outcome", "OUTCOME"),
    text("why", "WHY"),
];

/// Arguments of `tollgate alerts`.
#[derive(Debug, Args)]
pub(crate) struct AlertsArgs {
    #[command(subcommand)]
    verb: AlertsVerb,
}

#[derive(Debug, Subcommand)]
enum AlertsVerb {
    /// What is open: pending alerts and those that fire
    List {
        /// The form of the rows
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// What happened, newest first
    History {
        /// Only of this rule
        #[arg(long)]
        rule: Option<String>,
        /// At most so many rows, 1 to 500
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// The form of the rows
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// The rules in force, the shipped ones among them
    Rules {
        /// The form of the rows
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Send a sample through every channel, and say what came back
    Test {
        /// Through this channel only
        channel: Option<String>,
        /// The form of the rows
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// The silences in force
    Silences {
        /// The form of the rows
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Tell nobody of what matches, and do nothing about it, for a while
    Silence {
        /// What: LABEL=VALUE, such as `rule=runaway-user` or `user=al*`; all of them must hold
        #[arg(required = true, value_name = "LABEL=VALUE")]
        matchers: Vec<String>,
        /// For how long
        #[arg(
            long = "for",
            value_name = "DURATION",
            default_value = "1h",
            conflicts_with = "until"
        )]
        lasting: String,
        /// Until when, as an RFC 3339 instant
        #[arg(long, value_name = "INSTANT")]
        until: Option<Timestamp>,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// End a silence
    Unsilence {
        /// Its number
        id: i64,
    },
}

/// Runs the verb. A sample that was not delivered is a failure.
pub(crate) fn run(config: &Config, args: AlertsArgs) -> anyhow::Result<()> {
    let controls = Controls::offline(config)?;
    let by = super::actor();
    match args.verb {
        AlertsVerb::List { format } => {
            let rows: Vec<_> = controls.alerts()?.iter().map(form::row).collect();
            if rows.is_empty() && format == Format::Table {
                return Ok(out::line("nothing is wrong")?);
            }
            Ok(form::print(format, &ALERTS, &rows)?)
        }
        AlertsVerb::History { rule, limit, format } => {
            let query =
                AlertHistoryQuery { rule, limit: Some(limit), ..AlertHistoryQuery::default() };
            let events = controls.alert_history(&query)?.items;
            let rows: Vec<_> = events.iter().map(|event| flat(form::row(event))).collect();
            Ok(form::print(format, &HISTORY, &rows)?)
        }
        AlertsVerb::Rules { format } => {
            let rows: Vec<_> = controls.alert_rules()?.iter().map(form::row).collect();
            Ok(form::print(format, &RULES, &rows)?)
        }
        AlertsVerb::Test { channel, format } => {
            test(&controls.test_alerts(&by, AlertTest { channel })?, format)
        }
        AlertsVerb::Silences { format } => {
            let rows: Vec<_> = controls.silences()?.iter().map(form::row).collect();
            Ok(form::print(format, &SILENCES, &rows)?)
        }
        AlertsVerb::Silence { matchers, lasting, until, reason } => {
            let until = match until {
                Some(until) => until,
                None => after(&lasting)?,
            };
            let new = NewSilence { matchers: pairs(&matchers)?, until, reason };
            let row = form::row(&controls.silence(&by, new)?);
            Ok(form::print(Format::Table, &SILENCES, &[row])?)
        }
        AlertsVerb::Unsilence { id } => {
            controls.unsilence(&by, id)?;
            Ok(out::line(format_args!("the silence {id} has ended"))?)
        }
    }
}

fn test(rows: &[AlertTestRow], format: Format) -> anyhow::Result<()> {
    let delivered = rows.iter().filter(|row| row.outcome == "delivered").count();
    let shown: Vec<_> = rows.iter().map(form::row).collect();
    form::print(format, &SAMPLES, &shown)?;
    ensure!(!rows.is_empty(), "there is no channel that is used: see [alerts.channels.NAME]");
    ensure!(
        delivered == rows.len(),
        "{} of {} were not delivered",
        rows.len() - delivered,
        rows.len()
    );
    Ok(())
}

/// An event with its alert beside it, for rows.
fn flat(mut event: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(alert)) = event.remove("alert") {
        event.extend(alert);
    }
    event
}

fn after(lasting: &str) -> anyhow::Result<Timestamp> {
    let lasting = read_duration(lasting).context("expected a duration such as 30m, 2h or 7d")?;
    let now = tollgate_domain::clock::Clock::system().now();
    Ok(now.checked_add(SignedDuration::try_from(lasting)?)?)
}

fn pairs(matchers: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').context("expected LABEL=VALUE")?;
        Ok((name.to_owned(), value.to_owned()))
    };
    matchers.iter().map(pair).collect()
}
