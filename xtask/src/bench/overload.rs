//! More than the proxy can serve: three times its capacity in an open loop. What those see who are
//! served, how soon the others are refused, what memory that takes, and how soon all is well again.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::load::Burst;
use super::open_loop::{Call, OpenLoop, as_f64};
use super::origin;
use super::proxies::{self, Proxy};
use super::report::Report;
use super::{Bench, clients, configuration, progress};

/// A second in which an overload is got over.
const A_SECOND: Duration = Duration::from_secs(1);

impl Bench {
    /// Measures overload.
    pub(super) async fn overload(&self, report: &mut Report) -> Result<()> {
        // The provider runs on the proxy's core, so that the load has one for itself.
        let provider = origin::start_on(&self.args.core)?;
        let target = configuration::one_target(provider.address);
        for _round in 0..self.args.rounds {
            let proxy = proxies::alone(&self.args, &[configuration::NO_CACHE, &target]).await?;
            self.overloaded(&Rc::new(proxy), report).await?;
        }
        Ok(())
    }

    async fn overloaded(&self, proxy: &Rc<Proxy>, report: &mut Report) -> Result<()> {
        let address = proxy.address_for("delay");
        let burst = Burst {
            address,
            request: clients::request("fast"),
            connections: self.args.connections,
            warm_up: A_SECOND,
            measured: Duration::from_secs(self.args.seconds),
        };
        let capacity = burst.run(|| proxy.cpu()).await?.per_second();
        let rate = |share: f64| format!("{:.0}", capacity * share).parse::<u32>();
        let request: Rc<[u8]> = clients::request("delay").into();
        let length = Duration::from_secs(self.args.seconds);
        let calm = OpenLoop { address, rate: rate(0.25)?, length };
        let before = calm.run_good(&request).await?;

        let most = Rc::new(Cell::new(proxy.resident_kib()?));
        let watch = watch_memory(Rc::clone(proxy), Rc::clone(&most));
        let flood = OpenLoop { address, rate: rate(3.0)?, length: length * 2 };
        let during = flood.run(|| Rc::clone(&request)).await?;
        watch.abort();
        let after = calm.run(|| Rc::clone(&request)).await?;

        let usual = before.times(|_| true).percentile(99.0);
        // The second half of the flood shows how it is held, all of it also how it is met.
        let held = |call: &Call| call.at >= length;
        let served = during.times(|call| call.status == 200 && held(call));
        let all_served = during.times(|call| call.status == 200);
        let refused = during.times(|call| call.status == 503 && held(call));
        let all_refused = during.times(|call| call.status == 503);
        let broken = during.count(|call| !matches!(call.status, 200 | 503));
        let dumb = during.count(|call| call.status == 503 && !call.says_when);
        let late = after.count(|call| call.status != 200 && call.at >= A_SECOND);
        let calm_again = after.times(|call| call.at >= A_SECOND).percentile(99.0);
        let goodput = as_f64(during.count(|call| call.status == 200)) / flood.length.as_secs_f64();
        for (what, value) in [
            ("capacity_per_second", capacity),
            ("served_per_second", goodput),
            ("calm_p99_us", usual),
            ("served_p50_us", served.percentile(50.0)),
            ("served_p99_us", served.percentile(99.0)),
            ("served_from_the_start_p99_us", all_served.percentile(99.0)),
            ("refused_p50_us", refused.percentile(50.0)),
            ("refused_p99_us", refused.percentile(99.0)),
            ("refused_from_the_start_p99_us", all_refused.percentile(99.0)),
            ("neither_200_nor_503", as_f64(broken)),
            ("without_retry_after", as_f64(dumb)),
            ("refused_a_second_later", as_f64(late)),
            ("calm_again_p99_us", calm_again),
            ("most_mib", most.get() / 1024.0),
        ] {
            report.add(&format!("overload.{what}"), proxy.name, value);
        }
        progress(&format!(
            "overload: {capacity:.0}/s can be served, {:.0}/s offered, {goodput:.0}/s served; p99 \
             {usual:.0} -> {:.0} µs, refused in {:.0} µs (p99), {late} refused a second later",
            capacity * 3.0,
            served.percentile(99.0),
            refused.percentile(99.0)
        ))?;
        Ok(())
    }
}

fn watch_memory(proxy: Rc<Proxy>, most: Rc<Cell<f64>>) -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_local(async move {
        while let Ok(kib) = proxy.resident_kib() {
            most.set(most.get().max(kib));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
}
