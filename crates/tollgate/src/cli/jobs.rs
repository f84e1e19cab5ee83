//! `tollgate jobs`: what runs when, how the last run went, and running one now. What is scheduled is
//! read from the database, beside a running server or without one; running a job is asked of the
//! server.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use tollgate_admission::control::Control as _;

use super::ask::{ask, reachable};
use super::form::{self, Column, Format, text};
use crate::config::Config;
use crate::control::Controls;
use crate::out;

const JOBS: [Column; 7] = [
    text("name", "JOB"),
    text("schedule", "SCHEDULE"),
    text("timezone", "TIME ZONE"),
    text("last_started", "LAST RUN"),
    text("outcome", "OUTCOME"),
    text("message", "WHAT"),
    text("next", "NEXT RUN"),
];
const PATH: &str = "/admin/api/v1/jobs";
/// The pause between two looks at a job that runs.
const LOOK: Duration = Duration::from_millis(200);

/// Arguments of `tollgate jobs`.
#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    verb: JobsVerb,
}

#[derive(Debug, Subcommand)]
enum JobsVerb {
    /// Every job: schedule, last run and what came of it, next run
    List {
        /// The form of the rows
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Short for `--format json`
        #[arg(long, conflicts_with = "format")]
        json: bool,
    },
    /// Have the running server run a job now, and say what comes of it
    Run {
        /// The job, as `tollgate jobs list` names it
        name: String,
        /// Do not wait for its end
        #[arg(long)]
        no_wait: bool,
    },
}

/// Runs the verb. A job that fails is a failure.
pub(crate) fn run(config: &Config, args: JobsArgs) -> anyhow::Result<()> {
    match args.verb {
        JobsVerb::List { format, json } => {
            let rows: Vec<_> = Controls::offline(config)?.jobs()?.iter().map(form::row).collect();
            Ok(form::print(if json { Format::Json } else { format }, &JOBS, &rows)?)
        }
        JobsVerb::Run { name, no_wait } => run_now(config, &name, no_wait),
    }
}

fn run_now(config: &Config, name: &str, no_wait: bool) -> anyhow::Result<()> {
    let server = Server::of(config)?;
    let begun = server.ask("POST", &format!("{PATH}/{name}/run"))?;
    if no_wait {
        return Ok(out::line(format_args!("{name} runs"))?);
    }
    let started = begun.get("last_started").cloned().unwrap_or_default();
    loop {
        thread::park_timeout(LOOK);
        let jobs = server.ask("GET", PATH)?;
        let jobs = jobs.as_array().into_iter().flatten();
        let mut jobs = jobs.filter_map(Value::as_object);
        let named = |job: &&Map<String, Value>| job.get("name").is_some_and(|it| *it == name);
        let job = jobs.find(named).context("the server does not know the job any more")?;
        if job.get("running") == Some(&Value::Bool(true))
            && job.get("last_started") == Some(&started)
        {
            continue;
        }
        let told = |key| form::cell(job.get(key));
        out::line(format_args!("{name}: {}: {}", told("outcome"), told("message")))?;
        if told("outcome") != "success" {
            bail!("the job {name} did not end well");
        }
        return Ok(());
    }
}

/// The running server, asked as an admin.
struct Server {
    address: SocketAddr,
    key: String,
}

impl Server {
    fn of(config: &Config) -> anyhow::Result<Self> {
        let key = config.server.admin_key.as_ref();
        let key = key.context("`server.admin_key` is not set, so the server cannot be asked")?;
        let address = reachable(config.server.admin_listen);
        Ok(Self { address, key: key.expose_secret().to_owned() })
    }

    fn ask(&self, method: &str, path: &str) -> anyhow::Result<Value> {
        let asked = ask(self.address, (method, path), Some(&self.key));
        let (status, body) = asked
            .with_context(|| format!("no answer from {}: does the server run?", self.address))?;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let message = answer.pointer("/error/message").and_then(Value::as_str);
        bail!("{}", message.unwrap_or("the server refuses"))
    }
}
