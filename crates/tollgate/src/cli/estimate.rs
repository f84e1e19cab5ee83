//! `tollgate estimate`: what a prompt would cost, on several models side by side, and in two
//! versions.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value};
use tollgate_admission::control::{Control as _, Estimate, EstimateAsk};

use super::form::{self, Column, Format, number, text};
use crate::config::Config;
use crate::control::Controls;
use crate::out;

/// Largest prompt that is read from a file, in bytes.
const LARGEST: u64 = 16 << 20;

/// Arguments of `tollgate estimate`.
#[derive(Debug, Args)]
pub(crate) struct EstimateArgs {
    /// A model by its public name, or provider/model; may be given several times
    #[arg(long = "model", short, value_name = "MODEL", required = true)]
    models: Vec<String>,
    /// The prompt
    #[arg(long, value_name = "TEXT", group = "one")]
    prompt: Option<String>,
    /// A file with the prompt
    #[arg(long, value_name = "FILE", group = "one")]
    file: Option<PathBuf>,
    /// How many tokens the prompt has, in the place of its text
    #[arg(long, value_name = "COUNT", group = "one")]
    input_tokens: Option<u64>,
    /// Another version of the prompt, to compare
    #[arg(long, value_name = "TEXT", group = "two")]
    other_prompt: Option<String>,
    /// A file with another version of the prompt
    #[arg(long, value_name = "FILE", group = "two")]
    other_file: Option<PathBuf>,
    /// How many tokens the other version has
    #[arg(long, value_name = "COUNT", group = "two")]
    other_input_tokens: Option<u64>,
    /// How many tokens an answer has
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    output_tokens: u64,
    /// How many calls there are in a month
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    calls_per_month: u64,
    /// The form of the rows
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints what it would cost.
pub(crate) fn run(config: &Config, args: EstimateArgs) -> anyhow::Result<()> {
    let ask = EstimateAsk {
        models: args.models.join(","),
        prompt: text_of(args.prompt, args.file.as_deref())?,
        input_tokens: args.input_tokens,
        other_prompt: text_of(args.other_prompt, args.other_file.as_deref())?,
        other_input_tokens: args.other_input_tokens,
        output_tokens: Some(args.output_tokens),
        calls_per_month: Some(args.calls_per_month),
    };
    let estimate = Controls::offline(config)?.estimate(&ask)?;
    show(&estimate, args.format)
}

fn text_of(text: Option<String>, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(file) = file else { return Ok(text) };
    let name = || format!("the prompt `{}` cannot be read", file.display());
    let size = std::fs::metadata(file).with_context(name)?.len();
    anyhow::ensure!(size <= LARGEST, "the prompt `{}` is larger than 16 MiB", file.display());
    std::fs::read_to_string(file).map(Some).with_context(name)
}

fn show(estimate: &Estimate, format: Format) -> anyhow::Result<()> {
    let own = estimate.currency != "USD";
    let money = [number("per_call_usd", "USD A CALL"), number("per_month_usd", "USD A MONTH")];
    let shown = [number("per_call", "A CALL"), number("per_month", "A MONTH")];
    let money: Vec<Column> = money.into_iter().chain(shown.into_iter().filter(|_| own)).collect();
    let head = [
        text("version", "VERSION"),
        text("model", "MODEL"),
        text("provider", "PROVIDER"),
        number("input_tokens", "INPUT"),
        number("output_tokens", "OUTPUT"),
    ];
    let rows: Vec<Map<String, Value>> = estimate.rows.iter().map(form::row).collect();
    let columns: Vec<Column> = head.into_iter().chain(money.iter().copied()).collect();
    form::print(format, &columns, &rows)?;
    if format != Format::Table {
        return Ok(());
    }
    if !estimate.differences.is_empty() {
        out::line("the other version costs more by:")?;
        let head = [text("model", "MODEL"), number("input_tokens", "INPUT")];
        let rows: Vec<Map<String, Value>> = estimate.differences.iter().map(form::row).collect();
        let columns: Vec<Column> = head.into_iter().chain(money).collect();
        form::print(format, &columns, &rows)?;
    }
    let Estimate { calls_per_month: calls, currency, usd_rate, .. } = estimate;
    out::note(format_args!("{calls} calls a month"));
    if own {
        out::note(format_args!("the last two columns are {currency}, {usd_rate} for one USD"));
    }
    Ok(())
}
