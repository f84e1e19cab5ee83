//! All sinks of the program: started, changed by a reload, ended, each on a thread of its own.
//!
//! A reload keeps what did not change, and the queue and the counts of what did: nothing that
//! waits is lost by it.

mod prepare;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::sync::watch;
use tollgate_domain::clock::Clock;

use crate::backoff::Backoff;
use crate::event::{Call, Event, WriteLine};
use crate::feed::Feed;
use crate::progress::{Progress, Say, Status};
use crate::sentry::{Filter, Panics, Report};
use crate::settings::{DeliveryConfig, Kind, SinkConfig};
use crate::spool::Spool;
use crate::worker::{Hold, Order, Sink, Worker};
pub use prepare::{Prepared, StartError};

/// How long a sink that gives way to another may take to finish what it is sending.
const GIVE_WAY: Duration = Duration::from_secs(2);

/// What all sinks work with.
#[derive(Clone)]
pub struct Surroundings {
    /// Writes the line of a call.
    pub line: WriteLine,
    /// The time.
    pub clock: Clock,
    /// What TLS trusts where a sink names no files.
    pub tls: Arc<ClientConfig>,
    /// Says something to the operator.
    pub say: Say,
    /// Makes waits of different programs differ.
    pub seed: u64,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// All sinks.
#[derive(Debug)]
pub struct Sinks {
    surroundings: Surroundings,
    running: Mutex<BTreeMap<Arc<str>, Running>>,
    /// Where finished calls go.
    intakes: ArcSwap<Vec<Intake>>,
}

/// The queue of a sink, and its counts.
#[derive(Clone)]
pub(crate) struct Intake {
    queue: Queue,
    progress: Arc<Progress>,
}

/// What a sink is fed.
#[derive(Clone)]
enum Queue {
    /// Every call.
    Calls(Arc<Feed<Call>>),
    /// Reports of those that are worth one.
    Reports(Arc<Feed<Report>>, Filter),
}

/// Finds the queue of a kind of event.
pub(crate) trait Queued: Event {
    /// The queue, where it is one of these.
    fn feed(intake: &Intake) -> Option<Arc<Feed<Self>>>;
}

impl Queued for Call {
    fn feed(intake: &Intake) -> Option<Arc<Feed<Self>>> {
        match &intake.queue {
            Queue::Calls(feed) => Some(Arc::clone(feed)),
            Queue::Reports(..) => None,
        }
    }
}

impl Queued for Report {
    fn feed(intake: &Intake) -> Option<Arc<Feed<Self>>> {
        match &intake.queue {
            Queue::Reports(feed, _) => Some(Arc::clone(feed)),
            Queue::Calls(_) => None,
        }
    }
}

impl Intake {
    /// An intake for a sink, with the queue and the counts of the one before it where that was of
    /// the same sort.
    fn new(config: &SinkConfig, before: Option<&Self>, surroundings: &Surroundings) -> Self {
        let Surroundings { say, clock, .. } = surroundings;
        let bound = config.delivery.queue;
        let progress = before.map_or_else(
            || {
                let name = Arc::clone(&config.name);
                Arc::new(Progress::new(name, say.clone(), clock.clone()))
            },
            |before| Arc::clone(&before.progress),
        );
        let queue = match &config.kind {
            Kind::Sentry(sentry) => {
                Queue::Reports(queue(bound, before, &progress), Filter::new(sentry))
            }
            _ => Queue::Calls(queue(bound, before, &progress)),
        };
        Self { queue, progress }
    }

    /// Takes finished calls.
    fn take(&self, calls: &[Call]) {
        match &self.queue {
            Queue::Calls(feed) => feed.push(calls.iter().map(Arc::clone)),
            Queue::Reports(feed, filter) => {
                feed.push(calls.iter().flat_map(|call| filter.reports(call)));
            }
        }
    }
}

fn queue<E: Queued>(
    bound: usize,
    before: Option<&Intake>,
    progress: &Arc<Progress>,
) -> Arc<Feed<E>> {
    if let Some(feed) = before.and_then(E::feed) {
        feed.set_bound(bound);
        return feed;
    }
    Arc::new(Feed::new(bound, Arc::clone(progress)))
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("status", &self.progress.status()).finish_non_exhaustive()
    }
}

/// Reports a panic, from the hook of panics.
#[derive(Clone)]
pub struct PanicReporter(Panics);

impl fmt::Debug for PanicReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PanicReporter(..)")
    }
}

impl PanicReporter {
    /// Reports it; never waits.
    pub fn report(&self, info: &PanicHookInfo<'_>) {
        self.0.report(info);
    }
}

/// A sink at work.
#[derive(Debug)]
struct Running {
    config: SinkConfig,
    intake: Intake,
    orders: watch::Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Orders it to end, and waits until it has.
    fn end(&mut self, within: Duration, last: bool) {
        self.orders.send_replace(Order::End { within, last });
        if let Some(thread) = self.thread.take() {
            // One that panicked has nothing left to put away.
            drop(thread.join());
        }
    }
}

impl Sinks {
    /// No sinks yet; [`Sinks::change`] starts them.
    pub fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, running: Mutex::default(), intakes: ArcSwap::default() }
    }

    /// Looks whether these sinks can be started: files of TLS are read, nothing is changed.
    pub fn prepare(&self, configs: Vec<SinkConfig>) -> Result<Prepared, StartError> {
        Prepared::new(configs, &self.surroundings)
    }

    /// Puts prepared sinks in place of those that run. What did not change goes on. An error says
    /// which sink runs without its spool.
    pub fn change(&self, prepared: Prepared) -> Result<(), StartError> {
        let mut running = self.running.lock();
        let mut before = std::mem::take(&mut *running);
        let mut trouble = Ok(());
        for prepared in prepared.sinks {
            let name = Arc::clone(&prepared.config.name);
            let old = before.remove(&name);
            let now = match old {
                Some(old) if old.config == prepared.config => old,
                old => match self.begin(prepared, old) {
                    Ok((now, spool)) => {
                        trouble = trouble.and(spool);
                        now
                    }
                    Err(error) => {
                        trouble = trouble.and(Err(error));
                        continue;
                    }
                },
            };
            running.insert(name, now);
        }
        self.intakes.store(Arc::new(running.values().map(|it| it.intake.clone()).collect()));
        for gone in before.values_mut() {
            gone.end(GIVE_WAY, true);
        }
        trouble
    }

    /// Starts a sink, in place of one of the same name where there is one.
    fn begin(
        &self,
        prepared: prepare::PreparedSink,
        old: Option<Running>,
    ) -> Result<(Running, Result<(), StartError>), StartError> {
        let prepare::PreparedSink { config, start } = prepared;
        let old = old.map(|mut old| {
            old.end(GIVE_WAY, false);
            old.intake
        });
        let intake = Intake::new(&config, old.as_ref(), &self.surroundings);
        let DeliveryConfig { spool, .. } = &config.delivery;
        let opened = spool.as_ref().map(|spool| Spool::open(&spool.folder, spool.bound));
        let (spool, trouble) = match opened {
            None => (None, Ok(())),
            Some(Ok(spool)) => (Some(spool), Ok(())),
            Some(Err(error)) => (None, Err(StartError::Spool(Arc::clone(&config.name), error))),
        };
        let (orders, ordered) = watch::channel(Order::Work);
        let parts = Parts {
            intake: intake.clone(),
            spool,
            delivery: config.delivery.clone(),
            seed: self.surroundings.seed,
            ordered,
        };
        let thread =
            start(parts).map_err(|error| StartError::Thread(Arc::clone(&config.name), error))?;
        Ok((Running { config, intake, orders, thread: Some(thread) }, trouble))
    }

    /// Takes finished calls; never waits. Called by the thread that writes log lines.
    pub fn take(&self, calls: &[Call]) {
        for intake in self.intakes.load().iter() {
            intake.take(calls);
        }
    }

    /// Where panics are reported, if they are.
    pub fn panics(&self) -> Option<PanicReporter> {
        let Surroundings { clock, seed, .. } = &self.surroundings;
        let intakes = self.intakes.load();
        let feed = intakes.iter().find_map(Report::feed)?;
        let next = Arc::new(AtomicU64::new(*seed));
        Some(PanicReporter(Panics { feed, clock: clock.clone(), next }))
    }

    /// How each sink stands, by name.
    pub fn status(&self) -> Vec<Status> {
        self.intakes.load().iter().map(|intake| intake.progress.status()).collect()
    }

    /// Hands over what can be within this time, puts the rest on disk, and ends.
    pub fn close(&self, within: Duration) {
        let mut running = std::mem::take(&mut *self.running.lock());
        // All at once: they share the time.
        for sink in running.values() {
            sink.orders.send_replace(Order::End { within, last: true });
        }
        for sink in running.values_mut() {
            sink.end(within, true);
        }
    }
}

/// What a thread begins with.
pub(crate) struct Parts {
    intake: Intake,
    spool: Option<Spool>,
    delivery: DeliveryConfig,
    seed: u64,
    ordered: watch::Receiver<Order>,
}

/// Runs a sink on a thread of its own.
fn spawn<S: Sink>(sink: S, parts: Parts) -> io::Result<JoinHandle<()>>
where
    S::Event: Queued,
{
    let Parts { intake, spool, delivery, seed, ordered } = parts;
    let feed = S::Event::feed(&intake).ok_or_else(|| io::Error::other("it has another queue"))?;
    let progress = intake.progress;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let hold = Hold::new(feed, spool, delivery.batch, Arc::clone(&progress));
    let worker = Worker::new(sink, hold, Backoff::new(delivery.retry, seed), progress);
    thread::Builder::new()
        .name("sink".to_owned())
        .spawn(move || runtime.block_on(worker.run(ordered)))
}
