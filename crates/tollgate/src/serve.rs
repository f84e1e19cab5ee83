//! `tollgate serve`: starts everything, serves, reloads on request, and ends in order.

mod access_tokens;
mod admins;
mod bodies;
mod follow;
mod history;
mod jwks;
mod lifecycle;
mod metrics;
mod open;
mod reload;
mod restore;
mod sinks;
mod start;
mod storms;
mod strays;
mod sweep;
mod turn;

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::config::Severity;
use crate::{cli, out};
pub(crate) use history::{CARRYING, needs_rows};
pub(crate) use lifecycle::run_with;
pub(crate) use open::database;
pub(crate) use reload::renew_prices;
pub(crate) use start::{Handle, Started};
pub(crate) use turn::{RuleChange, Rules, plans_differ, put_in_force};

/// Serves until it is told to stop.
pub(crate) fn run(path: Option<&Path>) -> anyhow::Result<()> {
    let (config, path) = cli::load_or_environment(path)?;
    let unserved = config.unserved();
    for each in &unserved {
        let word = if each.severity == Severity::Refuse { "error" } else { "note" };
        out::note(format_args!("{word}: {each}"));
    }
    ensure!(
        unserved.iter().all(|each| each.severity != Severity::Refuse),
        "the configuration switches on what this version does not serve"
    );
    for caution in config.cautions() {
        out::note(format_args!("caution: {caution}"));
    }
    run_with(config, path, |started| {
        started.announce();
        Ok(())
    })
    .context("the server has ended")
}
