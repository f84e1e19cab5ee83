//! Counters made again at a start, from the ledger and from the actions that are kept beside it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use tollgate_domain::id::CallId;
use tollgate_proxy::past::Past;
use tollgate_store::{Reader, Registry, SqliteLedger};

use super::history::History;
use super::start::Handle;
use super::sweep;
use crate::out;

/// How long the calls of the last run may take to reach the database.
pub(super) const CATCH_UP: Duration = Duration::from_secs(30);
/// A start that takes longer says so.
const LONG: Duration = Duration::from_secs(1);

/// Fills the counters. Before it no call may be admitted.
pub(super) fn restore(handle: &Handle, ledger: &SqliteLedger) -> anyhow::Result<()> {
    let clock = &handle.ground.clock;
    let (began, now) = (clock.monotonic(), clock.now());
    let registry = Registry::open(&handle.database)?;
    sweep::record_pending(handle, &registry, Timestamp::MAX)?;
    ledger.hurry();
    let reader = Reader::open(&handle.database)?;
    ensure!(reader.catch_up(CATCH_UP)?, "the calls of the last run are not in the database yet");
    let snapshot = handle.plane.snapshot.load_full();
    let past = Past::new(&handle.plane, &snapshot);
    let outside = handle.config.lock().limits.clone();
    let plans = snapshot.plans.values().chain([&snapshot.default_plan]);
    let of_keys = snapshot.keys.entries().filter_map(|key| key.own.as_ref());
    let limits = plans
        .flat_map(|plan| &plan.limits)
        .chain(&outside)
        .chain(of_keys.flat_map(|own| own.limits()))
        .map(Arc::clone)
        .collect();
    let history = History {
        reader,
        past: &past,
        limits,
        wanted: &|_, _, _| true,
        user: None,
        skip: &|_| false,
        rows_since: now,
        zone: snapshot.settings.zone.clone(),
        now,
    };
    let rows = history.absorb().context("counters cannot be made from the ledger")?;
    let actions = actions(&registry, &past, now)?;
    let took = clock.monotonic().saturating_sub(began);
    if took > LONG {
        out::note(format_args!(
            "counters were made again from {rows} rows and {actions} actions in {:.1} s",
            took.as_secs_f64()
        ));
    }
    Ok(())
}

/// Sets aside again what stands, and counts what was used; gives the number of actions.
fn actions(registry: &Registry, past: &Past<'_>, now: Timestamp) -> anyhow::Result<usize> {
    let standing = registry.standing_actions()?;
    let run_out = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    let over: Vec<CallId> = standing
        .iter()
        .filter(|action| run_out(action.expires_at))
        .map(|action| action.id)
        .collect();
    registry.expire_actions(&over, now)?;
    let ended = registry.ended_actions(Timestamp::UNIX_EPOCH)?;
    for action in &ended {
        past.action(action);
    }
    let standing = standing.iter().filter(|action| !run_out(action.expires_at));
    let restored = standing.inspect(|action| past.restore(action)).count();
    Ok(ended.len() + restored)
}
