//! `tollgate usage`: what was used and what it cost, grouped as asked.

use std::sync::Arc;

use clap::Args;
use jiff::SignedDuration;
use serde_json::{Map, Value};
use tollgate_domain::clock::Clock;
use tollgate_store::{Dim, Sums, UsageQuery, UsageRow};

use super::form::{self, Column, Format, number, text};
use super::open_reader;
use super::span::{SpanArgs, start_of_month};
use crate::config::Config;
use crate::control::in_currency as in_currency_of;
use crate::control::with_group;
use crate::out;

/// Arguments of `tollgate usage`.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// Group by hour, day, month, user, team, key, feature, provider, model or tag:NAME; several
    /// with commas
    #[arg(long, value_delimiter = ',', default_value = "day", value_name = "WHAT")]
    by: Vec<Dim>,
    /// Only this user
    #[arg(long)]
    user: Option<String>,
    /// Only this team
    #[arg(long)]
    team: Option<String>,
    /// Only this key
    #[arg(long)]
    key: Option<String>,
    /// Only this feature
    #[arg(long)]
    feature: Option<String>,
    /// Only this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only this model, as served
    #[arg(long)]
    model: Option<String>,
    #[command(flatten)]
    span: SpanArgs,
    /// The form of the rows
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints the sums that are asked for; without a span, of this month.
pub(crate) fn run(config: &Config, args: &UsageArgs) -> anyhow::Result<()> {
    let reader = open_reader(config)?;
    let zone = &config.server.timezone;
    let now = Clock::system().now();
    let between = args.span.between(zone, now)?;
    let from = between.from.map_or_else(|| start_of_month(now, zone), Ok)?;
    let shared = |text: &Option<String>| text.as_deref().map(Arc::from);
    let query = UsageQuery {
        from,
        to: between.to.map_or_else(|| now.checked_add(SignedDuration::from_hours(24)), Ok)?,
        zone: zone.clone(),
        group_by: args.by.clone(),
        user: shared(&args.user),
        team: shared(&args.team),
        key: shared(&args.key),
        feature: shared(&args.feature),
        provider: shared(&args.provider),
        model: shared(&args.model),
    };
    let rows = reader.usage(&query)?;
    let total = reader.total(&query)?;
    print(args, config, &rows, &total)
}

fn print(args: &UsageArgs, config: &Config, rows: &[UsageRow], total: &Sums) -> anyhow::Result<()> {
    let keys: Vec<String> = args.by.iter().map(ToString::to_string).collect();
    let mut printed: Vec<Map<String, Value>> =
        rows.iter().map(|row| with_group(&keys, &row.group, &row.sums)).collect();
    let mut columns: Vec<Column> = Vec::new();
    for dim in &args.by {
        columns.push(dim_column(dim));
    }
    columns.extend([
        number("calls", "CALLS"),
        number("successes", "OK"),
        number("input_tokens", "INPUT"),
        number("cached_input_tokens", "CACHED"),
        number("output_tokens", "OUTPUT"),
        number("cost_usd", "COST USD"),
        number("savings_usd", "SAVED USD"),
    ]);
    if args.format == Format::Table {
        let named: Vec<Map<String, Value>> =
            printed.iter().map(|row| rename_tags(row, &args.by)).collect();
        printed = named;
    }
    form::print(args.format, &columns, &printed)?;
    if args.format == Format::Table && !rows.is_empty() {
        out::note(format_args!(
            "total: {} calls, ${}{}",
            total.calls,
            total.cost_usd,
            in_currency(config, total).unwrap_or_default()
        ));
    }
    Ok(())
}

/// The heading of a group in the table; all labels share one.
fn dim_column(dim: &Dim) -> Column {
    match dim {
        Dim::Hour => text("hour", "HOUR"),
        Dim::Day => text("day", "DAY"),
        Dim::Month => text("month", "MONTH"),
        Dim::User => text("user", "USER"),
        Dim::Team => text("team", "TEAM"),
        Dim::Key => text("key", "KEY"),
        Dim::Feature => text("feature", "FEATURE"),
        Dim::Provider => text("provider", "PROVIDER"),
        Dim::Model => text("model", "MODEL"),
        Dim::Tag(_) => text("tag", "TAG"),
    }
}

fn rename_tags(row: &Map<String, Value>, by: &[Dim]) -> Map<String, Value> {
    let mut row = row.clone();
    let tags: Vec<String> = by
        .iter()
        .filter(|dim| matches!(dim, Dim::Tag(_)))
        .map(|dim| row.get(&dim.to_string()).and_then(Value::as_str).unwrap_or("").to_owned())
        .collect();
    if !tags.is_empty() {
        row.insert("tag".to_owned(), tags.join(" ").into());
    }
    row
}

/// The amount in the configured currency, such as ` (≈ 1,470 KRW)`.
fn in_currency(config: &Config, total: &Sums) -> Option<String> {
    let display = &config.display;
    if &*display.currency == "USD" {
        return None;
    }
    let units = in_currency_of(display, total.cost_usd.exact()).nanos() / 1_000_000_000;
    Some(format!(" (about {units} {})", display.currency))
}
