//! The project's tools: `cargo xtask <tool>`. Each tool is a module with a `run`.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

mod bench;
mod prices;
mod reference;
mod tidy;
mod vocabulary;

/// The project's tools.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Tool {
    /// Check the habits that no compiler checks.
    Tidy,
    /// Write the references that are generated from code, or check that they are current.
    Reference(reference::Args),
    /// Measure Tollgate beside a plain reverse proxy; `scripts/bench` builds what it needs.
    Bench(bench::BenchArgs),
    /// Make the price book, or check that it is current.
    Prices(prices::Args),
    /// Copy the vocabularies of the tokenizers, or check that they are the published ones.
    Vocabulary(vocabulary::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().unwrap_or(here);
    match Tool::parse() {
        Tool::Tidy => tidy::run(root),
        Tool::Reference(args) => reference::run(root, &args).map(|()| ExitCode::SUCCESS),
        Tool::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Tool::Prices(args) => prices::run(&args).map(|()| ExitCode::SUCCESS),
        Tool::Vocabulary(args) => vocabulary::run(root, &args).map(|()| ExitCode::SUCCESS),
    }
}
