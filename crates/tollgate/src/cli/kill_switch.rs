//! `tollgate kill-switch`: stops calls, and lets them go on. Beside a running server it takes effect
//! within a second.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use tollgate_admission::control::{Control as _, KillSwitch, SwitchChange};

use super::form::{self, Column, Format, text};
use crate::config::Config;
use crate::control::Controls;
use crate::out;

const COLUMNS: [Column; 4] =
    [text("scope", "STOPPED"), text("reason", "WHY"), text("by", "BY"), text("since", "SINCE")];

/// Arguments of `tollgate kill-switch`.
#[derive(Debug, Args)]
pub(crate) struct KillSwitchArgs {
    #[command(subcommand)]
    verb: KillSwitchVerb,
}

#[derive(Debug, Subcommand)]
enum KillSwitchVerb {
    /// What is stopped
    Status {
        /// The form of the rows
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Stop calls; those in flight are ended
    On {
        /// What: global, provider:NAME, model:NAME, plan:NAME or user:NAME
        #[arg(default_value = "global")]
        scope: String,
        /// Why; clients see it
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let calls go on
    Off {
        /// What: global, provider:NAME, model:NAME, plan:NAME or user:NAME
        #[arg(default_value = "global")]
        scope: String,
    },
}

/// Runs the verb.
pub(crate) fn run(config: &Config, args: KillSwitchArgs) -> anyhow::Result<()> {
    let controls = Controls::offline(config)?;
    let by = super::actor();
    let (state, format) = match args.verb {
        KillSwitchVerb::Status { format } => (controls.kill_switch()?, format),
        KillSwitchVerb::On { scope, reason } => {
            let change = SwitchChange { on: true, scope: Some(scope), reason };
            (controls.switch(&by, change)?, Format::Table)
        }
        KillSwitchVerb::Off { scope } => {
            let change = SwitchChange { on: false, scope: Some(scope), reason: None };
            (controls.switch(&by, change)?, Format::Table)
        }
    };
    show(&state, format)
}

fn show(state: &KillSwitch, format: Format) -> anyhow::Result<()> {
    if format == Format::Table && !state.on {
        return Ok(out::line("nothing is stopped")?);
    }
    let rows: Vec<Map<String, Value>> = state.switches.iter().map(form::row).collect();
    Ok(form::print(format, &COLUMNS, &rows)?)
}
