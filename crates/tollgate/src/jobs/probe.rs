//! Asks each provider whether it answers, from outside of traffic: so that one is known to be down
//! before a call finds out. A probe is no call: it takes no limit and leaves no row.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tollgate_proxy::probe::{Probed, probe};

use super::task::{Run, Task};
use crate::config::JobKind;

pub(super) fn run(task: &Task) -> anyhow::Result<Run> {
    let timeout = {
        let config = task.handle.config.lock();
        let job = config.jobs.others.get(&JobKind::Probe);
        job.context("it is not configured any more")?.timeout
    };
    let probed = task.handle.ground.tasks.block_on(probe_all(task, timeout));
    task.metrics.probed(&probed);
    let down: Vec<String> = probed
        .iter()
        .filter_map(|(name, probed)| Some(format!("{name} ({})", probed.trouble.as_ref()?)))
        .collect();
    let up = probed.len() - down.len();
    Ok(Run::success(if down.is_empty() {
        format!("{up} up")
    } else {
        format!("{up} up, {} down: {}", down.len(), down.join(", "))
    }))
}

/// Every provider that is on the network, all at the same time.
async fn probe_all(task: &Task, timeout: Duration) -> Vec<(Arc<str>, Probed)> {
    let snapshot = task.handle.plane.snapshot.load_full();
    let mut probes = JoinSet::new();
    for provider in &snapshot.providers {
        let (provider, clock) = (Arc::clone(provider), task.handle.ground.clock.clone());
        probes.spawn(async move {
            let probed = probe(&provider, timeout, &clock).await;
            probed.map(|probed| (Arc::clone(&provider.name), probed))
        });
    }
    let mut all: Vec<_> = probes.join_all().await.into_iter().flatten().collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}
