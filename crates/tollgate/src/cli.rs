//! The command line: one verb, one module.

mod alerts;
mod ask;
mod calls;
mod check;
mod estimate;
mod explain;
mod form;
mod healthcheck;
mod init;
mod jobs;
mod keys;
mod kill_switch;
mod ledger;
mod plans;
mod prices;
pub(crate) mod span;
mod usage;
mod users;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::config::{Config, ProcessEnvironment};
use crate::{demo, out, serve};
use tollgate_admission::control::Actor;
use tollgate_store::Reader;

/// The configuration that is read where none is named.
pub(crate) const DEFAULT_CONFIG: &str = "tollgate.toml";

/// How long a command waits for a running server to fold what it has answered.
const CATCH_UP: Duration = Duration::from_secs(2);

/// A gateway between an application and its AI providers: knows who calls, refuses what is over a
/// limit before money is spent, counts every token, prices it exactly and keeps it.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// The configuration file [default: tollgate.toml, if there is one]
    #[arg(long, short, global = true, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve: the real thing
    Serve,
    /// Serve with a simulated provider, seeded users and traffic; needs nothing
    Demo(demo::DemoArgs),
    /// Write a commented configuration
    Init(init::InitArgs),
    /// Validate the configuration and print what will be in force
    Check(check::CheckArgs),
    /// Make, list, rotate and revoke API keys
    Keys(keys::KeysArgs),
    /// List, show and change users: plan, block, quota, other maxima, payments
    Users(users::UsersArgs),
    /// The limits in force
    Plans(plans::PlansArgs),
    /// Stop calls, and let them go on
    KillSwitch(kill_switch::KillSwitchArgs),
    /// What is wrong: alerts, their history and rules, silences, samples
    Alerts(alerts::AlertsArgs),
    /// Scheduled work: what runs when, how it went, and running it now
    Jobs(jobs::JobsArgs),
    /// Why a call was allowed or refused, and how its price comes about
    Explain(explain::ExplainArgs),
    /// What a prompt would cost, on several models
    Estimate(estimate::EstimateArgs),
    /// What was used and what it cost
    Usage(usage::UsageArgs),
    /// Calls, newest first; search and follow
    Calls(calls::CallsArgs),
    /// What models cost
    Prices(prices::PricesArgs),
    /// Prove and export the ledger
    Ledger(ledger::LedgerArgs),
    /// Ask a running server whether it is ready; for containers
    Healthcheck(healthcheck::HealthcheckArgs),
}

impl Cli {
    /// Runs the verb.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config.as_deref();
        match self.verb {
            Verb::Serve => serve::run(config).map(|()| ExitCode::SUCCESS),
            Verb::Demo(args) => demo::run(&args).map(|()| ExitCode::SUCCESS),
            Verb::Init(args) => init::run(config, &args).map(|()| ExitCode::SUCCESS),
            Verb::Check(args) => check::run(config, &args),
            Verb::Keys(args) => keys::run(&load(config)?, args).map(|()| ExitCode::SUCCESS),
            Verb::Users(args) => users::run(&load(config)?, args).map(|()| ExitCode::SUCCESS),
            Verb::Plans(args) => plans::run(&load(config)?, &args).map(|()| ExitCode::SUCCESS),
            Verb::KillSwitch(args) => {
                kill_switch::run(&load(config)?, args).map(|()| ExitCode::SUCCESS)
            }
            Verb::Alerts(args) => alerts::run(&load(config)?, args).map(|()| ExitCode::SUCCESS),
            Verb::Jobs(args) => jobs::run(&load(config)?, args).map(|()| ExitCode::SUCCESS),
            Verb::Explain(args) => explain::run(&load(config)?, &args).map(|()| ExitCode::SUCCESS),
            Verb::Estimate(args) => estimate::run(&load(config)?, args).map(|()| ExitCode::SUCCESS),
            Verb::Usage(args) => usage::run(&load(config)?, &args).map(|()| ExitCode::SUCCESS),
            Verb::Calls(args) => calls::run(&load(config)?, &args).map(|()| ExitCode::SUCCESS),
            Verb::Prices(args) => prices::run(&load(config)?, &args).map(|()| ExitCode::SUCCESS),
            Verb::Ledger(args) => ledger::run(&load(config)?, &args),
            Verb::Healthcheck(args) => healthcheck::run(config, &args),
        }
    }
}

/// Who makes a change at the command line, as the audit names them.
fn actor() -> Actor {
    Actor("cli".to_owned())
}

/// The configuration that is meant: the file named, else `tollgate.toml`, else the environment.
pub(crate) fn load_or_environment(
    named: Option<&Path>,
) -> anyhow::Result<(Config, Option<PathBuf>)> {
    if let Some(path) = named {
        return Ok((Config::load(path, &ProcessEnvironment)?, Some(path.to_owned())));
    }
    let usual = PathBuf::from(DEFAULT_CONFIG);
    if usual.exists() {
        return Ok((Config::load(&usual, &ProcessEnvironment)?, Some(usual)));
    }
    Ok((Config::from_env(&ProcessEnvironment)?, None))
}

fn load(named: Option<&Path>) -> anyhow::Result<Config> {
    load_or_environment(named).map(|(config, _)| config)
}

/// The ledger of a configuration, for reading.
fn open_reader(config: &Config) -> anyhow::Result<Reader> {
    let path = serve::database(config)?;
    let reader = Reader::open(&path)
        .with_context(|| format!("the ledger `{}` cannot be read", path.display()))?;
    // Beside a running server: what it has answered by now is to be seen.
    if !reader.catch_up(CATCH_UP)? {
        out::note("the server is behind: the newest calls are not in the ledger yet");
    }
    Ok(reader)
}
