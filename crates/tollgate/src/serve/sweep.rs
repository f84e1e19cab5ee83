//! What is tidied up while the server runs: actions that have run out, counters whose windows are
//! over, events whose rows the ledger has yet to get, names of events that need no longer be known.
//!
//! Nothing depends on when it runs: an action that has run out holds nothing, and an event counts
//! from the moment it was taken up.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tollgate_store::Registry;

use super::start::Handle;
use crate::out;

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_secs(10);
/// Rounds between two that look for what may be forgotten: an hour.
const SELDOM: u32 = 360;
/// How long whoever takes up an event has to hand its row to the ledger by itself.
const PATIENCE: SignedDuration = SignedDuration::from_mins(1);
/// How long events and ended actions are known: a day longer than an event may be old.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(91 * 24);

/// Tidies up until `stopped`.
pub(super) async fn run(handle: Handle, mut stopped: watch::Receiver<bool>) {
    let mut registry = None;
    let mut round: u32 = 0;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let (sweeping, last) = (handle.clone(), registry.take());
        let seldom = round.is_multiple_of(SELDOM);
        round = round.wrapping_add(1);
        let swept = tokio::task::spawn_blocking(move || {
            let registry = match last {
                Some(registry) => registry,
                None => Registry::open(&sweeping.database)?,
            };
            sweep(&sweeping, &registry, seldom)?;
            anyhow::Ok(registry)
        });
        match swept.await {
            Ok(Ok(last)) => registry = Some(last),
            Ok(Err(error)) => {
                out::note(format_args!("reservations cannot be tidied up: {error:#}"));
            }
            Err(_) => {}
        }
    }
}

fn sweep(handle: &Handle, registry: &Registry, seldom: bool) -> anyhow::Result<()> {
    let now = handle.ground.clock.now();
    let expired = handle.plane.gate.engine().sweep(now);
    if !expired.is_empty() {
        registry.expire_actions(&expired, now)?;
    }
    record_pending(handle, registry, now.checked_sub(PATIENCE).unwrap_or(Timestamp::MIN))?;
    if seldom {
        let before = now.checked_sub(KNOWN_FOR).unwrap_or(Timestamp::MIN);
        registry.forget_events(before)?;
        registry.forget_actions(before)?;
    }
    Ok(())
}

/// Hands rows of events that were taken up before `before` to the ledger, which takes each once.
/// Called where blocking is allowed.
pub(super) fn record_pending(
    handle: &Handle,
    registry: &Registry,
    before: Timestamp,
) -> anyhow::Result<()> {
    for event in registry.pending_events(before)? {
        let written = handle.plane.gate.record(Arc::new(event.record))?;
        handle.ground.tasks.block_on(written.durable())?;
        registry.events_recorded([(&*event.sender, &*event.source, &*event.id)])?;
    }
    Ok(())
}
