//! Alerts at work: the engine on a thread of its own, fed by the writer of the call log, and the
//! couriers on another, so that no call ever waits for either.
//!
//! What joins them is the database: a turn of the engine is written down in one transaction,
//! messages included ([`book`]), and couriers send what is there. Only where the database refuses
//! are messages handed over in memory, because that is the very thing that must be told.

mod addresses;
mod book;
mod courier;
mod deeds;
mod feed;
mod flights;
mod metrics;
mod outcomes;
mod past;
mod readings;
mod routes;
mod settings;
mod shelf;
mod steps;
mod watch;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::control::Controls;
use crate::serve::Handle;
pub(crate) use book::{notice as notice_record, silence as silence_of, silences};
use feed::Feed;
pub(crate) use metrics::AlertMetrics;
pub(crate) use routes::test;
pub(crate) use settings::display;
use shelf::Shelf;

/// What the threads of alerts share with whoever starts, reloads and ends the program.
#[derive(Debug)]
pub(crate) struct Link {
    /// What has happened and is not looked at yet.
    pub(crate) feed: Arc<Feed>,
    /// What the engine hands to couriers beside the database.
    shelf: Shelf,
    metrics: AlertMetrics,
    /// Whether another configuration is in force that the engine does not know.
    changed: AtomicBool,
    /// Grows with each configuration that comes into force.
    generation: AtomicU64,
    ending: AtomicBool,
}

impl Link {
    /// A link whose feed may be filled from now on.
    pub(crate) fn new(metrics: AlertMetrics) -> Arc<Self> {
        Arc::new(Self {
            feed: Arc::new(Feed::new(metrics.dropped.clone())),
            shelf: Shelf::default(),
            metrics,
            changed: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            ending: AtomicBool::new(false),
        })
    }

    /// Another configuration is in force.
    pub(crate) fn reload(&self) {
        self.changed.store(true, Ordering::Release);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }
}

/// The threads of alerts.
#[derive(Debug)]
pub(crate) struct Threads {
    link: Arc<Link>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// Starts them. The counters of limits are filled, and calls may come.
    pub(crate) fn start(handle: &Handle, controls: Arc<Controls>) -> anyhow::Result<Self> {
        let link = Arc::clone(&handle.alerts);
        let routes = routes::Routes::new(&handle.config.lock())?;
        let courier = courier::Courier::new(handle, routes)?;
        let watch = watch::Watch::new(handle, controls)?;
        let running = vec![
            spawn("alerts", move || watch.run())?,
            spawn("alert-couriers", move || courier.run())?,
        ];
        Ok(Self { link, running: Mutex::new(running) })
    }

    /// Ends them: what has happened is looked at once more, what waits is sent after the next start.
    pub(crate) fn end(&self) {
        self.link.ending.store(true, Ordering::Release);
        for thread in self.running.lock().drain(..) {
            thread.thread().unpark();
            // A thread that panicked has nothing left to write.
            drop(thread.join());
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

#[cfg(test)]
mod tests;
