//! A provider fails under a steady load: is a call lost, and how much longer do the others take?

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::open_loop::{OpenLoop, as_f64};
use super::origin::{self, Health};
use super::report::Report;
use super::{Bench, clients, configuration, progress, proxies};

/// Calls a second.
const RATE: u32 = 2_000;

impl Bench {
    /// Measures the failure of the first of two providers: it is well for a third of the time, fails
    /// for a third, and is well again.
    pub(super) async fn failover(&self, report: &mut Report) -> Result<()> {
        let (first, spare) = (origin::start()?, origin::start()?);
        let targets = configuration::two_targets(first.address, spare.address);
        let third = Duration::from_secs(self.args.seconds);
        for _round in 0..self.args.rounds {
            for (kind, health) in
                [("error", Health::Error), ("cut", Health::Cut), ("stall", Health::Stall)]
            {
                let proxy =
                    proxies::alone(&self.args, &[configuration::NO_CACHE, &targets]).await?;
                let provider = first.clone();
                let turns = tokio::task::spawn_local(async move {
                    tokio::time::sleep(third).await;
                    provider.turns(health);
                    tokio::time::sleep(third).await;
                    provider.turns(Health::Good);
                });
                let request: Rc<[u8]> = clients::request("delay").into();
                let load =
                    OpenLoop { address: proxy.address_for("delay"), rate: RATE, length: third * 3 };
                let seen = load.run(|| Rc::clone(&request)).await?;
                turns.await?;
                let before = seen.times(|call| call.at < third);
                let during = seen.times(|call| call.at >= third && call.at < third * 2);
                let lost = as_f64(seen.count(|call| call.status != 200));
                for (what, value) in [
                    ("lost", lost),
                    ("before_p50_us", before.percentile(50.0)),
                    ("before_p99_us", before.percentile(99.0)),
                    ("before_longest_us", before.percentile(100.0)),
                    ("during_p50_us", during.percentile(50.0)),
                    ("during_p99_us", during.percentile(99.0)),
                    ("during_longest_us", during.percentile(100.0)),
                ] {
                    report.add(&format!("failover_{kind}.{what}"), proxy.name, value);
                }
                progress(&format!(
                    "failover {kind}: {lost:.0} of {:.0} calls lost; p50 {:.0} -> {:.0} µs, longest \
                     {:.0} -> {:.0} µs",
                    seen.calls(),
                    before.percentile(50.0),
                    during.percentile(50.0),
                    before.percentile(100.0),
                    during.percentile(100.0)
                ))?;
            }
        }
        Ok(())
    }
}
