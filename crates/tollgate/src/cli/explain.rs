//! `tollgate explain`: why a call was allowed or refused, and how its price comes about.

use clap::Args;
use serde_json::{Map, Value};
use tollgate_admission::control::{Control as _, Explanation, PriceFacts};
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;

use super::form::{self, Column, Format, number, text};
use super::users::print_limits;
use crate::config::Config;
use crate::control::Controls;
use crate::out;

const LINES: [Column; 4] = [
    text("unit", "PAID FOR"),
    number("count", "COUNT"),
    number("usd_per_million", "USD PER MILLION"),
    number("amount_usd", "AMOUNT USD"),
];

const ATTEMPTS: [Column; 7] = [
    text("provider", "PROVIDER"),
    text("model", "MODEL"),
    number("status", "STATUS"),
    text("error_type", "ERROR"),
    text("billing", "BILLING"),
    number("cost_usd", "COST USD"),
    number("latency_us", "MICROSECONDS"),
];

const WEIGHED: [Column; 9] = [
    text("name", "LIMIT"),
    text("plan", "PLAN"),
    text("scope", "SCOPE"),
    text("metric", "METRIC"),
    text("window", "WINDOW"),
    number("max", "MAX"),
    number("used", "USED"),
    number("reserved", "RESERVED"),
    number("taken", "ASKED"),
];

/// Arguments of `tollgate explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The call, by its id
    #[arg(value_name = "CALL")]
    id: CallId,
    /// The form of the answer: a table, or one JSON object
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Explains the call.
pub(crate) fn run(config: &Config, args: &ExplainArgs) -> anyhow::Result<()> {
    let explanation = Controls::offline(config)?.explain(args.id)?;
    if args.format != Format::Table {
        return Ok(form::print(args.format, &[], &[form::row(&explanation)])?);
    }
    show(&explanation)
}

fn show(explanation: &Explanation) -> anyhow::Result<()> {
    let call = &explanation.call.0;
    let line =
        |name: &str, value: &dyn std::fmt::Display| out::line(format_args!("{name:<9} {value}"));
    line("call", &call.call_id)?;
    line("time", &call.time)?;
    line("user", &format_args!("{} on plan `{}`", call.user, explanation.plan))?;
    line(
        "model",
        &format_args!("{} at {}, asked as {}", call.model, call.provider, call.model_asked),
    )?;
    line("decision", &format_args!("{}: {}", explanation.decision, explanation.why))?;
    if let Some(hold) = explanation.hold_usd {
        line("set aside", &format_args!("{hold} USD"))?;
    }
    if call.saved > NanoUsd::ZERO {
        line("saved", &format_args!("{} USD", call.saved))?;
    }
    match &explanation.price {
        Some(price) => show_price(price)?,
        None => line("price", &"none is in force for this model")?,
    }
    if !call.tries.is_empty() {
        out::line("attempts:")?;
        let rows: Vec<Map<String, Value>> = call.tries.iter().map(form::row).collect();
        form::print(Format::Table, &ATTEMPTS, &rows)?;
    }
    if let Some(decided) = &explanation.decided {
        out::line("limits as they stood when it was decided:")?;
        let rows: Vec<Map<String, Value>> = decided.limits.iter().map(form::row).collect();
        form::print(Format::Table, &WEIGHED, &rows)?;
    }
    out::line("limits that apply to such a call, as they stand now:")?;
    Ok(print_limits(explanation.limits.iter())?)
}

fn show_price(price: &PriceFacts) -> anyhow::Result<()> {
    out::line(format_args!("{:<9} {}", "price", price.version))?;
    let rows: Vec<Map<String, Value>> = price.lines.iter().map(form::row).collect();
    form::print(Format::Table, &LINES, &rows)?;
    out::line(format_args!("{:<9} {} USD", "cost", price.cost_usd))?;
    if let Some(note) = &price.note {
        out::line(format_args!("the lines add up to {} USD: {note}", price.sum_usd))?;
    }
    Ok(())
}
