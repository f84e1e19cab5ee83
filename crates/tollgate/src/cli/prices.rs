//! `tollgate prices`: what models cost, as they would be charged now.

use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};
use tollgate_domain::clock::Clock;
use tollgate_domain::money::Rate;
use tollgate_domain::price::{ModelPrice, PriceBook, Served};
use tollgate_domain::usage::Usage;

use super::form::{self, Column, Format, number, text};
use crate::compose;
use crate::config::Config;
use crate::{out, price_book};

const COLUMNS: [Column; 7] = [
    text("provider", "PROVIDER"),
    text("model", "MODEL"),
    number("input", "INPUT"),
    number("cached_input", "CACHED"),
    number("output", "OUTPUT"),
    number("context_window", "CONTEXT"),
    text("source", "PRICE"),
];

/// Arguments of `tollgate prices`.
#[derive(Debug, Args)]
pub(crate) struct PricesArgs {
    /// Only models whose name holds this text
    #[arg(value_name = "TEXT")]
    model: Option<String>,
    /// Only this provider
    #[arg(long)]
    provider: Option<String>,
    /// Every provider of the price book, not only the configured ones
    #[arg(long)]
    all: bool,
    /// The form of the rows
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints the prices that are asked for, in USD per million tokens.
pub(crate) fn run(config: &Config, args: &PricesArgs) -> anyhow::Result<()> {
    let book = Arc::new(price_book::first(config)?);
    let table = compose::prices(config, &book)?;
    let mut rows = Vec::new();
    for (provider, book_id) in providers(config, &book, args.all) {
        if args.provider.as_ref().is_some_and(|wanted| *wanted != provider) {
            continue;
        }
        let stated = config.prices.iter().filter(|price| *price.provider == *provider);
        let mut models: Vec<&str> = stated.map(|price| &*price.model).collect();
        models.extend(book.models(&book_id));
        models.sort_unstable();
        models.dedup();
        let wanted = models
            .into_iter()
            .filter(|model| args.model.as_ref().is_none_or(|text| model.contains(text.as_str())));
        rows.extend(
            wanted.filter_map(|model| {
                Some(row(&provider, model, &*table.resolve(&provider, model)?))
            }),
        );
    }
    form::print(args.format, &COLUMNS, &rows)?;
    if args.format == Format::Table && !rows.is_empty() {
        out::note(format_args!(
            "USD per million tokens, now; price book {} of {}",
            book.version(),
            book.released()
        ));
    }
    Ok(())
}

/// The providers to show, with what the book calls them.
fn providers(config: &Config, book: &PriceBook, all: bool) -> Vec<(String, String)> {
    let mut providers: Vec<(String, String)> = config
        .providers
        .values()
        .map(|provider| {
            let id = compose::book_id(provider, book).unwrap_or_default();
            (provider.name.to_string(), id)
        })
        .collect();
    if all {
        let known: Vec<String> = providers.iter().map(|(name, _)| name.clone()).collect();
        let others = book.providers().filter(|id| !known.iter().any(|name| name == id));
        providers.extend(others.map(|id| (id.to_owned(), id.to_owned())));
    }
    providers
}

fn row(provider: &str, model: &str, price: &ModelPrice) -> Map<String, Value> {
    let served = Served::at(Clock::system().now());
    let million = |usage: Usage| {
        let charge = price.charge(&usage, &served);
        charge.total.charge()
    };
    // Rates are shown for a call of one token, scaled, so that a dearer long context does not show.
    let rate = |usage: Usage| {
        let one = price.charge(&usage, &served);
        let per_call = price.charge(&Usage::default(), &served).total.femtos();
        let nanos = i64::try_from(one.total.femtos() - per_call).unwrap_or(i64::MAX);
        decimal(Rate::from_nanos_per_million(nanos))
    };
    let cached = Usage { cache_read: 1, ..Usage::tokens(1, 0) };
    let fields = json!({
        "provider": provider,
        "model": model,
        "input": rate(Usage::tokens(1, 0)),
        "cached_input": rate(cached),
        "output": rate(Usage::tokens(0, 1)),
        "per_request": million(Usage::default()),
        "context_window": price.context_window(),
        "source": price.version(),
    });
    match fields {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

/// A rate as a decimal without needless zeros.
fn decimal(rate: Rate) -> String {
    let nanos = rate.nanos_per_million();
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let trimmed = text.trim_end_matches('0').trim_end_matches('.');
    trimmed.to_owned()
}
