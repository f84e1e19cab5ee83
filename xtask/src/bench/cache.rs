//! The prompt cache: its memory under distinct prompts, how often it has what is asked for where some
//! prompts are asked more than others, and what a hit takes.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::load::Connection;
use super::open_loop::{OpenLoop, as_f64};
use super::report::Report;
use super::{Bench, clients, configuration, progress, proxies};

/// The room of the cache, in MiB.
const ROOM: u32 = 48;
/// Prompts of the second part, how often one is drawn, and the first of their numbers.
const POPULAR: u32 = 100_000;
const DRAWS: u64 = 300_000;
const FIRST: u64 = 1 << 40;

impl Bench {
    /// Measures the prompt cache.
    pub(super) async fn cache(&self, report: &mut Report) -> Result<()> {
        let target = configuration::one_target(self.origin.address);
        let proxy = proxies::alone(&self.args, &[&configuration::cache(ROOM), &target]).await?;
        let address = proxy.address_for("fast");
        let fresh = proxy.resident_kib()?;

        let mut next = 0_u64;
        let mut most = fresh;
        while next < self.args.prompts {
            let part = (self.args.prompts / 20).max(1);
            let numbers = Rc::new(RefCell::new(next..next + part));
            let hits = sweep(address, self.args.connections, {
                let numbers = Rc::clone(&numbers);
                move || numbers.borrow_mut().next()
            });
            let hits = hits.await?;
            anyhow::ensure!(hits == 0, "{hits} hits among prompts that were never sent before");
            next += part;
            most = most.max(proxy.resident_kib()?);
        }
        report.add("cache.fresh_mib", proxy.name, fresh / 1024.0);
        report.add("cache.most_mib", proxy.name, most / 1024.0);
        progress(&format!(
            "cache: {} distinct prompts, {:.0} -> {:.0} MiB with room for {ROOM} MiB",
            self.args.prompts,
            fresh / 1024.0,
            most / 1024.0
        ))?;

        let draws = Rc::new(draws());
        let distinct = as_f64(draws.iter().collect::<HashSet<_>>().len());
        let numbers = Rc::new(RefCell::new((0..draws.len()).collect::<Vec<_>>().into_iter()));
        let hits = sweep(address, self.args.connections, move || {
            let at = numbers.borrow_mut().next()?;
            draws.get(at).copied()
        });
        let all = as_f64(usize::try_from(DRAWS)?);
        let (ratio, ideal) = (as_f64(hits.await?) / all, 1.0 - distinct / all);
        report.add("cache.hit_ratio", proxy.name, ratio);
        report.add("cache.hit_ratio_without_bound", proxy.name, ideal);
        progress(&format!("cache: {ratio:.3} of the calls hit, {ideal:.3} in an endless cache"))?;

        let length = Duration::from_secs(self.args.seconds);
        let one = clients::numbered(FIRST);
        let hit = OpenLoop { address, rate: 200, length }.run_good(&one).await?;
        let direct =
            OpenLoop { address: self.origin.address, rate: 200, length }.run_good(&one).await?;
        for percent in [50.0, 99.0] {
            let (hit, direct) = (
                hit.times(|_| true).percentile(percent),
                direct.times(|_| true).percentile(percent),
            );
            report.add(&format!("cache.hit_p{percent}_us"), proxy.name, hit);
            report.add(&format!("cache.hit_p{percent}_us"), "direct", direct);
            progress(&format!(
                "cache: a hit takes {hit:.0} µs, p{percent}; direct {direct:.0} µs"
            ))?;
        }
        Ok(())
    }
}

/// Numbers of prompts of which few are asked often: the chance of each falls as its rank grows
/// (Zipf's law, exponent 1). The same in every run.
fn draws() -> Vec<u64> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=POPULAR)
        .map(|rank| {
            sum += 1.0 / f64::from(rank);
            sum
        })
        .collect();
    (0..DRAWS)
        .map(|draw| {
            let drawn = fraction(draw) * sum;
            let rank = sums.partition_point(|upper| *upper <= drawn);
            FIRST + u64::try_from(rank).unwrap_or_default()
        })
        .collect()
}

/// A random number below one that belongs to this draw.
fn fraction(draw: u64) -> f64 {
    let digest = Sha256::digest(draw.to_le_bytes());
    let bytes = digest.first_chunk::<4>().copied().unwrap_or_default();
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// Sends the prompts of these numbers over so many connections, each always busy; how many of the
/// answers came from the cache.
async fn sweep(
    address: SocketAddr,
    connections: usize,
    next: impl FnMut() -> Option<u64> + 'static,
) -> Result<usize> {
    let next = Rc::new(RefCell::new(next));
    let hits = Rc::new(Cell::new(0));
    let mut tasks = JoinSet::new();
    for _connection in 0..connections {
        let mut connection = Connection::open(address).await?;
        let (next, hits) = (Rc::clone(&next), Rc::clone(&hits));
        tasks.spawn_local(async move {
            loop {
                let number = next.borrow_mut()();
                let Some(number) = number else { return anyhow::Ok(()) };
                connection.good_call(&clients::numbered(number)).await?;
                if connection.says("\r\nx-tollgate-cache: hit") {
                    hits.set(hits.get() + 1);
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?.context("a prompt")?;
    }
    Ok(hits.get())
}
