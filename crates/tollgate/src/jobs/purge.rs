//! Removes calls, prompts and answers that are older than their retention. The sums of what is
//! removed stay, so reports and the proof of the ledger hold.
//!
//! Only rows of the database are touched, and these are of calls that have ended; what is under way
//! is in the journal. Between two steps it rests, so that the thread that folds calls gets its turn.

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use tollgate_store::BodyStore;

use super::task::{Run, Task};

/// The rest between two steps.
const REST: Duration = Duration::from_millis(20);

pub(super) fn run(task: &Task) -> anyhow::Result<Run> {
    let purge = task.config().jobs.purge.context("it is not configured any more")?;
    let now = task.handle.ground.clock.now();
    let before = |keep: Duration| {
        let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        now.checked_sub(keep).unwrap_or(Timestamp::MIN)
    };
    let database = &task.handle.database;
    let calls = tollgate_store::purge(database, before(purge.keep_calls), |_| {
        thread::park_timeout(REST);
        if task.stop.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if task.stop.is_asked() {
        return Ok(Run::stopped());
    }
    let path = BodyStore::path_of(database);
    // Where there is no file there is nothing to remove, and none is made.
    let bodies =
        if path.exists() { BodyStore::open(&path)?.purge(before(purge.keep_bodies))? } else { 0 };
    Ok(Run::success(format!("{} calls removed, prompts and answers of {bodies}", calls.rows)))
}
