//! `tollgate plans`: the limits in force, those of plans and those outside.

use clap::Args;
use serde_json::{Map, Value};
use tollgate_admission::control::LimitFacts;

use super::form::{self, Column, Format, number, text};
use crate::config::Config;
use crate::control::limits_of;
use crate::out;

const COLUMNS: [Column; 8] = [
    text("plan", "PLAN"),
    text("name", "LIMIT"),
    text("scope", "SCOPE"),
    text("metric", "METRIC"),
    text("window", "WINDOW"),
    number("max", "MAX"),
    text("on_limit", "BEYOND IT"),
    text("mode", "MODE"),
];

/// Arguments of `tollgate plans`.
#[derive(Debug, Args)]
pub(crate) struct PlansArgs {
    /// Only this plan
    plan: Option<String>,
    /// The form of the rows
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints the limits that are asked for.
pub(crate) fn run(config: &Config, args: &PlansArgs) -> anyhow::Result<()> {
    if let Some(plan) = &args.plan
        && !config.plans.contains_key(plan.as_str())
    {
        let names: Vec<&str> = config.plans.keys().map(|name| &**name).collect();
        anyhow::bail!("there is no plan `{plan}`; the plans are: {}", names.join(", "));
    }
    let limits = limits_of(config);
    let wanted = |limit: &&LimitFacts| args.plan.is_none() || limit.plan == args.plan;
    let rows: Vec<Map<String, Value>> = limits.iter().filter(wanted).map(form::row).collect();
    form::print(args.format, &COLUMNS, &rows)?;
    if args.format == Format::Table {
        out::note(format_args!("users without a plan are on `{}`", config.auth.default_plan));
    }
    Ok(())
}
