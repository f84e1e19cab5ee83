//! `tollgate check`: validates a configuration and prints what it will put in force, secrets redacted.

mod facts;
mod words;

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value};

use super::form::{self, Column, Format};
use crate::config::{Config, ConfigErrors, Severity};
use crate::out;
use facts::facts;

/// Arguments of `tollgate check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

const COLUMNS: &[Column] = &[
    form::text("section", "section"),
    form::text("name", "name"),
    form::text("value", "in force"),
];

/// Checks the configuration and prints it. Fails where it is wrong or would be refused at a start.
pub(crate) fn run(config: Option<&Path>, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let config = match super::load_or_environment(config) {
        Ok((config, _)) => config,
        Err(error) => match (error.downcast_ref::<ConfigErrors>(), args.format) {
            (Some(errors), Format::Json) => {
                let rows: Vec<_> = errors.problems().iter().map(form::row).collect();
                form::print(Format::Json, &[], &rows)?;
                return Ok(ExitCode::FAILURE);
            }
            _ => return Err(error),
        },
    };
    form::print(args.format, COLUMNS, &rows(&config, args.format))?;
    if args.format == Format::Table {
        for remark in remarks(&config) {
            out::line(remark)?;
        }
    }
    if refusals(&config) == 0 {
        out::note(format_args!("{} is valid", config.origin));
        return Ok(ExitCode::SUCCESS);
    }
    out::note(format_args!("{} asks for what this version does not serve", config.origin));
    Ok(ExitCode::FAILURE)
}

fn refusals(config: &Config) -> usize {
    config.unserved().iter().filter(|it| it.severity == Severity::Refuse).count()
}

/// The rows; for programs the remarks are rows as well.
fn rows(config: &Config, format: Format) -> Vec<Map<String, Value>> {
    let row = |section: &str, name: &str, value: String| {
        Map::from_iter([
            ("section".to_owned(), Value::from(section)),
            ("name".to_owned(), Value::from(name)),
            ("value".to_owned(), Value::from(value)),
        ])
    };
    let facts = facts(config).into_iter();
    let mut rows: Vec<_> = facts.map(|fact| row(&fact.section, &fact.name, fact.value)).collect();
    if format != Format::Table {
        rows.extend(config.unserved().into_iter().map(|it| {
            let section = match it.severity {
                Severity::Refuse => "refused",
                Severity::Note => "not served",
            };
            row(section, &it.key, it.sentence.to_owned())
        }));
        rows.extend(config.cautions().into_iter().map(|it| row("caution", &it.key, it.sentence)));
    }
    rows
}

/// What follows the table.
fn remarks(config: &Config) -> Vec<String> {
    let unserved = config.unserved().into_iter().map(|it| match it.severity {
        Severity::Refuse => format!("refused: {it}"),
        Severity::Note => format!("not served: {it}"),
    });
    let cautions = config.cautions().into_iter().map(|it| format!("caution: {it}"));
    unserved.chain(cautions).collect()
}

#[cfg(test)]
mod tests;
