//! The program: command line, configuration, composition, lifecycle.

mod alerts;
mod books;
pub mod cli;
mod compose;
pub mod config;
mod control;
mod demo;
mod jobs;
mod out;
mod price_book;
mod schedule;
mod serve;
mod stored;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            out::note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether the reader of our output has gone, as in `tollgate calls | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
