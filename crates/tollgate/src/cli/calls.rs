//! `tollgate calls`: single calls, newest first; search and follow.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use tollgate_admission::control::CallQuery;
use tollgate_domain::bodies::CallBodies;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::clock::Clock;
use tollgate_domain::id::CallId;
use tollgate_store::Filter;

use super::form::{self, Column, Format, number, text};
use super::span::{SpanArgs, shown};
use super::{actor, open_reader};
use crate::config::Config;
use crate::control::{Controls, calls_filter};

/// How often a followed ledger is looked at.
const LOOK: Duration = Duration::from_millis(250);
const COLUMNS: [Column; 12] = [
    text("time", "TIME"),
    text("user", "USER"),
    text("model", "MODEL"),
    text("endpoint", "ENDPOINT"),
    number("status", "STATUS"),
    text("outcome", "OUTCOME"),
    text("cache", "CACHE"),
    number("input_tokens", "IN"),
    number("output_tokens", "OUT"),
    number("cost_usd", "COST USD"),
    number("latency_ms", "MS"),
    text("call_id", "CALL"),
];

const WITH_BODIES: [Column; 5] = [
    text("time", "TIME"),
    text("user", "USER"),
    text("call_id", "CALL"),
    text("prompt", "PROMPT"),
    text("answer", "ANSWER"),
];

/// Arguments of `tollgate calls`.
#[derive(Debug, Args)]
pub(crate) struct CallsArgs {
    /// One call, by its id
    #[arg(value_name = "CALL")]
    id: Option<CallId>,
    /// With the prompt and the answer of each, where they are kept (`[logs] bodies`); that is audited
    #[arg(long)]
    bodies: bool,
    /// Keep printing new calls as they end
    #[arg(long, short)]
    follow: bool,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 50, value_name = "COUNT")]
    limit: usize,
    /// Only calls of this user
    #[arg(long)]
    user: Option<String>,
    /// Only calls with this key
    #[arg(long)]
    key: Option<String>,
    /// Only calls for this model, as asked or as served
    #[arg(long)]
    model: Option<String>,
    /// Only calls that this provider served
    #[arg(long)]
    provider: Option<String>,
    /// Only calls of this feature
    #[arg(long)]
    feature: Option<String>,
    /// Only calls of this session
    #[arg(long)]
    session: Option<String>,
    /// Only the call with this request id
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only calls that ended so: `success`, `failed`, `cancelled`, `in_doubt`, `refused`
    #[arg(long)]
    outcome: Option<Outcome>,
    /// Only calls with this HTTP status
    #[arg(long)]
    status: Option<u16>,
    #[command(flatten)]
    span: SpanArgs,
    /// The form of the rows
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints the calls that are asked for.
pub(crate) fn run(config: &Config, args: &CallsArgs) -> anyhow::Result<()> {
    let reader = open_reader(config)?;
    let zone = &config.server.timezone;
    let bodies = args.bodies.then(|| Controls::offline(config)).transpose()?;
    let shown = Shown { zone, format: args.format, bodies };
    if let Some(id) = args.id {
        let call = reader.call(id)?.with_context(|| format!("there is no call {id}"))?;
        return shown.print(&[call]);
    }
    let filter = filter(args, zone)?;
    let mut follow = reader.follow()?;
    let mut calls = reader.calls(&filter, args.limit)?;
    if !args.follow {
        return shown.print(&calls);
    }
    calls.reverse();
    shown.print(&calls)?;
    loop {
        std::thread::park_timeout(LOOK);
        let calls = follow.look(&reader, &filter)?;
        if !calls.is_empty() {
            shown.print(&calls)?;
        }
    }
}

fn filter(args: &CallsArgs, zone: &TimeZone) -> anyhow::Result<Filter> {
    let between = args.span.between(zone, Clock::system().now())?;
    let query = CallQuery {
        user: args.user.clone(),
        key: args.key.clone(),
        model: args.model.clone(),
        provider: args.provider.clone(),
        feature: args.feature.clone(),
        session: args.session.clone(),
        request_id: args.request_id.clone(),
        outcome: args.outcome.map(|outcome| outcome.as_str().to_owned()),
        status: args.status,
        from: between.from,
        to: between.to,
        ..CallQuery::default()
    };
    Ok(calls_filter(&query)?)
}

/// How calls are shown.
struct Shown<'a> {
    zone: &'a TimeZone,
    format: Format,
    /// Whom prompts and answers are read from, where they are wanted.
    bodies: Option<Controls>,
}

impl Shown<'_> {
    fn print(&self, calls: &[CallRecord]) -> anyhow::Result<()> {
        let Some(controls) = &self.bodies else {
            let rows: Vec<_> = calls.iter().map(|call| self.row(call)).collect();
            return Ok(form::print(self.format, &COLUMNS, &rows)?);
        };
        let ids: Vec<CallId> = calls.iter().map(|call| call.call_id).collect();
        let found = controls.read_bodies(&actor(), &ids)?;
        let rows: Vec<_> =
            calls.iter().zip(found).map(|(call, said)| self.row_with(call, said)).collect();
        Ok(form::print(self.format, &WITH_BODIES, &rows)?)
    }

    fn row(&self, call: &CallRecord) -> Map<String, Value> {
        let mut row = form::row(call);
        if self.format == Format::Table {
            row.insert("time".to_owned(), shown(call.time, self.zone).into());
        }
        row
    }

    fn row_with(&self, call: &CallRecord, said: Option<CallBodies>) -> Map<String, Value> {
        let (prompt, answer) = said.map(|said| (said.prompt, said.answer)).unzip();
        let mut row = self.row(call);
        row.insert("prompt".to_owned(), prompt.flatten().into());
        row.insert("answer".to_owned(), answer.flatten().into());
        row
    }
}
