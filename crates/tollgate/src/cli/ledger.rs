//! `tollgate ledger`: proves that the ledger adds up, and exports it.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tollgate_domain::clock::Clock;
use tollgate_store::{Filter, Report};

use super::form::{self, Format};
use super::open_reader;
use super::span::SpanArgs;
use crate::config::Config;
use crate::out;

/// Arguments of `tollgate ledger`.
#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    verb: LedgerVerb,
}

#[derive(Debug, Subcommand)]
enum LedgerVerb {
    /// Prove that rows and rollups tell the same sums, and that nothing of the journal was lost
    Verify {
        /// The form of the report
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Write all calls, oldest first
    Export {
        /// Where to [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        span: SpanArgs,
        /// The form of the rows
        #[arg(long, value_enum, default_value_t = ExportFormat::Json)]
        format: ExportFormat,
    },
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// One JSON object a line
    Json,
    /// With a header line
    Csv,
}

/// Runs the verb. Exits with 1 where the ledger is not sound.
pub(crate) fn run(config: &Config, args: &LedgerArgs) -> anyhow::Result<ExitCode> {
    match &args.verb {
        LedgerVerb::Verify { format } => verify(config, *format),
        LedgerVerb::Export { output, span, format } => {
            export(config, output.as_ref(), span, *format).map(|()| ExitCode::SUCCESS)
        }
    }
}

fn verify(config: &Config, format: Format) -> anyhow::Result<ExitCode> {
    let reader = open_reader(config)?;
    let mut progress = Progress::new();
    let report = reader.verify(|done, of| progress.show(done, of))?;
    progress.clear();
    match format {
        Format::Json => out::line(json!({ "sound": report.is_sound(), "report": report }))?,
        Format::Table | Format::Csv => print(&report)?,
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report) -> io::Result<()> {
    let Report { rows, totals, in_doubt, .. } = report;
    out::line(format_args!("rows       {rows}"))?;
    out::line(format_args!("in doubt   {in_doubt}"))?;
    out::line(format_args!("cost       ${}", totals.cost_usd))?;
    out::line(format_args!("tokens     {} in, {} out", totals.input_tokens, totals.output_tokens))?;
    if report.purged.calls > 0 {
        out::line(format_args!(
            "purged     {} calls, ${}",
            report.purged.calls, report.purged.cost_usd
        ))?;
    }
    for line in &report.listed {
        out::line(format_args!("MISMATCH   {line}"))?;
    }
    for segment in &report.corrupt_segments {
        out::line(format_args!("CORRUPT    {segment}"))?;
    }
    if report.is_sound() {
        out::line("the ledger is sound: rows and rollups tell the same sums")
    } else {
        out::line(format_args!("the ledger is NOT sound: {} mismatches", report.mismatches))
    }
}

fn export(
    config: &Config,
    output: Option<&PathBuf>,
    span: &SpanArgs,
    format: ExportFormat,
) -> anyhow::Result<()> {
    let reader = open_reader(config)?;
    let between = span.between(&config.server.timezone, Clock::system().now())?;
    let filter = Filter { since: between.from, until: between.to, ..Filter::default() };
    let mut to: Box<dyn Write> = match output {
        Some(path) => {
            let file =
                File::create(path).with_context(|| format!("cannot write `{}`", path.display()))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let mut failed = None;
    let mut count = 0u64;
    reader.export(&filter, |call| {
        let mut line = String::new();
        let row = form::row(&call);
        if format == ExportFormat::Csv {
            if count == 0 {
                form::csv_header(&row, &mut line);
            }
            form::csv_row(&row, &mut line);
        } else {
            line.push_str(&serde_json::Value::Object(row).to_string());
            line.push('\n');
        }
        let written = to.write_all(line.as_bytes());
        count += 1;
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    to.flush()?;
    if let Some(path) = output {
        out::note(format_args!("{count} calls written to `{}`", path.display()));
    }
    Ok(())
}

/// A line that says how far long work is, where somebody sits at the terminal.
struct Progress {
    shown: bool,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: false, terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, done: u64, of: u64) {
        if self.terminal {
            self.shown = true;
            out::progress(format_args!("{done} of {of} rows"));
        }
    }

    fn clear(&self) {
        if self.shown {
            out::progress("");
        }
    }
}
