//! Proves that the rows of the ledger and their sums agree, in steps that hold nobody up. What it
//! finds is a failure of the job, which is logged and counted, and told to the job's channels.

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use tollgate_alerts::notice::Notice;
use tollgate_alerts::report::JobFailure;
use tollgate_store::{Reader, Report};

use super::task::{Run, Task};

/// The rest between two steps.
const REST: Duration = Duration::from_millis(5);

pub(super) fn run(task: &Task) -> anyhow::Result<Run> {
    let reader = Reader::open(&task.handle.database)?;
    let checked = reader.check(|| {
        thread::park_timeout(REST);
        if task.stop.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let Some(found) = checked else { return Ok(Run::stopped()) };
    if found.is_sound() {
        let purged = found.purged.calls + found.purged.refused;
        return Ok(Run::success(format!(
            "{} rows, {purged} purged ones and their sums agree",
            found.rows
        )));
    }
    let why = wrong(&found);
    let failure = JobFailure { job: task.kind.as_str().to_owned(), why: why.clone() };
    let notices =
        task.notices(&task.config(), |language| Notice::of_job(failure.clone(), language, task.at));
    Ok(Run { notices, ..Run::failed(why) })
}

fn wrong(found: &Report) -> String {
    if found.mismatches == 0 {
        return format!("{} segments of the journal are damaged", found.corrupt_segments.len());
    }
    let first = found.listed.first().map(String::as_str).unwrap_or_default();
    format!("{} sums do not agree; the first: {first}", found.mismatches)
}
