//! What a running server consists of, and how it is opened and closed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use prometheus_client::registry::Registry as MetricRegistry;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate_admin::Scrape;
use tollgate_admin::api::Api;
use tollgate_admission::engine::Engine;
use tollgate_admission::gate::{Gate, Stray};
use tollgate_admission::identity::{KeyDigest, KeyEntry, KeyHasher};
use tollgate_domain::clock::Clock;
use tollgate_domain::price::ModelPrice;
use tollgate_proxy::accept::Ids;
use tollgate_proxy::bodies::BodyLog;
use tollgate_proxy::call_log::{CallLog, Format, Tap};
use tollgate_proxy::desk::Desk;
use tollgate_proxy::health::Healths;
use tollgate_proxy::leftover::Leftover;
use tollgate_proxy::metrics::Metrics;
use tollgate_proxy::overload::Overload;
use tollgate_proxy::past::Past;
use tollgate_proxy::plane::{Obstacle, Plane};
use tollgate_proxy::refusals::Refusals;
use tollgate_proxy::savings::{Savings, SavingsMetrics};
use tollgate_proxy::server::{self, ServerConfig};
use tollgate_proxy::snapshot::Snapshot;
use tollgate_proxy::stored::Answers;
use tollgate_proxy::surface::EndpointNames;
use tollgate_sinks::Sinks;
use tollgate_store::{Recovery, Registry, SqliteLedger};

use super::bodies::Keeper;
use super::{admins, metrics as own_metrics, open, restore, sinks, strays};
use crate::alerts::{self, AlertMetrics};
use crate::books::StoreBooks;
use crate::compose::{self, Ground};
use crate::config::{Config, LogFormat};
use crate::control::Controls;
use crate::jobs::{self, JobMetrics};
use crate::{out, price_book, stored};

/// How long sinks may take to hand over what waits when the program ends. The rest is put on disk.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A running server.
pub(crate) struct Started {
    /// What survives a reload.
    pub(crate) ground: Ground,
    /// The data plane.
    pub(crate) plane: Arc<Plane>,
    /// The ledger.
    pub(crate) ledger: Arc<SqliteLedger>,
    handle: Handle,
    controls: Arc<Controls>,
    recovery: Recovery,
    listeners: Mutex<Option<(TcpListener, TcpListener)>>,
    leftovers: Mutex<Option<UnboundedReceiver<Leftover>>>,
    scrape: Scrape,
    strays: strays::Strays,
    alerts: alerts::Threads,
    jobs: jobs::Threads,
}

/// What tasks that change the server hold of it.
#[derive(Clone)]
pub(crate) struct Handle {
    /// The data plane.
    pub(crate) plane: Arc<Plane>,
    /// What survives a reload.
    pub(crate) ground: Ground,
    /// The configuration in force.
    pub(crate) config: Arc<Mutex<Config>>,
    /// Where it came from.
    pub(crate) path: Option<PathBuf>,
    /// Where the database is.
    pub(crate) database: PathBuf,
    /// The ledger.
    pub(crate) ledger: Arc<SqliteLedger>,
    /// Where log lines are sent.
    pub(crate) sinks: Arc<Sinks>,
    /// Where prompts and answers are kept.
    pub(crate) keeper: Keeper,
    /// The way to the threads of alerts.
    pub(crate) alerts: Arc<alerts::Link>,
    /// The way to the threads of jobs.
    pub(crate) jobs: Arc<jobs::Link>,
}

impl Handle {
    /// The keys that are stored, as this configuration reads them.
    pub(crate) fn stored_keys(
        &self,
        config: &Config,
    ) -> anyhow::Result<Vec<(KeyDigest, KeyEntry)>> {
        stored::keys(&Registry::open(&self.database)?, config)
    }
}

impl Started {
    /// Opens everything that a server needs.
    pub(crate) async fn start(config: Config, path: Option<PathBuf>) -> anyhow::Result<Self> {
        let listeners = open::listeners(&config).await?;
        let database = open::database(&config)?;
        let (ledger, recovery) = open::ledger(&config, &database)?;
        let (ground, snapshot) = composed(&config, &database)?;
        let mut metrics = MetricRegistry::default();
        let keeper = Keeper::new(&config, &database, &ground);
        let sinks = sinks::start(&config, &database, &ground, &mut metrics)?;
        let ((sender, leftovers), (stray, strays)) = (unbounded_channel(), channel());
        let base = Base {
            config: &config,
            database: &database,
            ledger: &ledger,
            ground: &ground,
            sinks: &sinks,
            keeper: &keeper,
        };
        let plane = base.plane(&mut metrics, snapshot, (sender, stray))?;
        let strays = strays::Strays::start(Arc::clone(&plane), strays)?;
        let link = alerts::Link::new(AlertMetrics::register(&mut metrics));
        let handle = Handle {
            plane: Arc::clone(&plane),
            ground: ground.clone(),
            config: Arc::new(Mutex::new(config)),
            path,
            database,
            ledger: Arc::clone(&ledger),
            sinks,
            keeper,
            alerts: Arc::clone(&link),
            jobs: jobs::Link::new(JobMetrics::register(&mut metrics), ground.clock.now()),
        };
        tell_late(&plane);
        tell_alerts(&plane, &link);
        let controls = Arc::new(Controls::live(&handle, &ledger)?);
        restored(handle.clone(), Arc::clone(&ledger)).await?;
        let alerts = alerts::Threads::start(&handle, Arc::clone(&controls))?;
        let jobs = jobs::Threads::start(&handle)?;
        Ok(Self {
            ground,
            plane,
            ledger,
            handle,
            controls,
            recovery,
            listeners: Mutex::new(Some(listeners)),
            leftovers: Mutex::new(Some(leftovers)),
            scrape: scrape(metrics),
            strays,
            alerts,
            jobs,
        })
    }

    /// What tasks that change the server hold of it.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What operators change it with.
    pub(crate) fn controls(&self) -> Arc<Controls> {
        Arc::clone(&self.controls)
    }

    /// The receiver of calls whose client has gone; taken once.
    pub(crate) fn take_leftovers(&self) -> Option<UnboundedReceiver<Leftover>> {
        self.leftovers.lock().take()
    }

    /// Starts the two listeners; they end when `stopped` says so.
    pub(crate) fn spawn_listeners(&self, tasks: &mut JoinSet<()>, stopped: &watch::Receiver<bool>) {
        let Some((data, admin)) = self.listeners.lock().take() else {
            return;
        };
        let config = {
            let config = self.handle.config.lock();
            ServerConfig {
                head_timeout: config.server.header_read_timeout,
                max_connections: usize::try_from(config.server.max_connections)
                    .unwrap_or(usize::MAX),
                grace: config.server.shutdown_grace,
            }
        };
        tasks.spawn(server::serve(data, Arc::clone(&self.plane), config, stopped.clone()));
        let api = Api::new(self.controls(), admins::authenticate(self.handle()));
        let (scrape, mut stopped) = (self.scrape.clone(), stopped.clone());
        tasks.spawn(async move {
            let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
            if let Err(error) = tollgate_admin::server::serve(admin, scrape, api, stop).await {
                out::note(format_args!("the admin plane has ended: {error}"));
            }
        });
    }

    /// The price of a provider's model.
    pub(crate) fn price(&self, provider: &str, model: &str) -> Option<Arc<ModelPrice>> {
        self.plane.snapshot.load().prices.resolve(provider, model)
    }

    /// Says what is served.
    pub(crate) fn announce(&self) {
        let snapshot = self.plane.snapshot.load();
        let config = self.handle.config.lock();
        let names: Vec<_> = snapshot.providers.iter().map(|provider| &*provider.name).collect();
        out::note(format_args!(
            "tollgate {} serves {} on http://{}, metrics on http://{}/metrics",
            env!("CARGO_PKG_VERSION"),
            names.join(", "),
            config.server.listen,
            config.server.admin_listen,
        ));
        if snapshot.keys.is_empty() {
            out::note("there is no API key yet: make one with `tollgate keys create NAME`");
        }
        let Recovery { replayed, in_doubt, .. } = self.recovery;
        if replayed > 0 || in_doubt > 0 {
            out::note(format_args!(
                "the last run did not end in order: {replayed} calls were read from the journal, \
                 {in_doubt} were in flight and are marked in_doubt"
            ));
        }
    }

    /// Writes what waits and closes.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        self.jobs.end();
        self.strays.end();
        self.plane.refusals.close();
        self.plane.bodies.close();
        self.plane.log.close();
        self.alerts.end();
        let grace = self.handle.config.lock().server.shutdown_grace;
        self.handle.sinks.close(grace.min(LAST_LINES));
        self.ledger.shutdown().context(
            "the ledger could not be closed; nothing is lost, the next start reads its journal",
        )
    }
}

/// What everything else is built on.
struct Base<'a> {
    config: &'a Config,
    database: &'a Path,
    ledger: &'a Arc<SqliteLedger>,
    ground: &'a Ground,
    sinks: &'a Arc<Sinks>,
    keeper: &'a Keeper,
}

impl Base<'_> {
    /// The data plane, and its metrics in the registry.
    fn plane(
        &self,
        metrics: &mut MetricRegistry,
        snapshot: Snapshot,
        (leftovers, stray): (UnboundedSender<Leftover>, Sender<Stray>),
    ) -> anyhow::Result<Arc<Plane>> {
        let Self { config, database, ledger, ground, sinks, keeper } = self;
        own_metrics::register(metrics, ledger);
        let counted = Metrics::register(metrics);
        let healths = Arc::new(Healths::new(ground.clock.clone(), Arc::clone(&counted)));
        own_metrics::register_breakers(metrics, &healths);
        let savings = Savings::new(SavingsMetrics::register(metrics));
        savings.configure(&snapshot.savings, &ground.clock);
        let books = Arc::<SqliteLedger>::clone(ledger);
        let gate = Arc::new(Gate::new(engine(config), books, stray));
        let plane = Arc::new(Plane {
            snapshot: ArcSwap::from_pointee(snapshot),
            refusals: Refusals::start(Arc::clone(&gate), counted.refusals_dropped())?,
            gate,
            directory: Arc::default(),
            switches: Arc::default(),
            desk: Desk::new(Arc::new(StoreBooks::open(database, ledger)?)),
            ids: Ids::default(),
            log: call_log(config, &counted, sinks)?,
            bodies: BodyLog::start(keeper.shelf(), counted.bodies_dropped())?,
            admitted: counted.admitted(),
            healths,
            metrics: counted,
            leftovers,
            answers: Answers::default(),
            overload: Overload::default(),
            savings,
            names: EndpointNames::default(),
            started: ground.clock.monotonic(),
            started_at: ground.clock.now(),
            ending: AtomicBool::new(false),
            obstacle: obstacle(ledger),
            clock: ground.clock.clone(),
        });
        own_metrics::register_plane(metrics, &plane);
        Ok(plane)
    }
}

/// What `/metrics` shows.
fn scrape(metrics: MetricRegistry) -> Scrape {
    Scrape::new(move |text| prometheus_client::encoding::text::encode(text, &metrics))
}

/// What survives a reload, and the first snapshot.
fn composed(config: &Config, database: &Path) -> anyhow::Result<(Ground, Snapshot)> {
    let registry = Registry::open(database)?;
    let ground = ground(config, &registry)?;
    let snapshot = compose::snapshot(config, &ground, stored::keys(&registry, config)?)?;
    Ok((ground, snapshot))
}

/// What survives a reload.
fn ground(config: &Config, registry: &Registry) -> anyhow::Result<Ground> {
    Ok(Ground {
        connector: compose::connector()?,
        access_tokens: Arc::default(),
        book: Arc::new(ArcSwap::from_pointee(price_book::first(config)?)),
        hasher: KeyHasher::new(&stored::pepper(registry)?),
        tasks: tokio::runtime::Handle::current(),
        clock: Clock::system(),
    })
}

/// Fills the counters, where blocking is allowed.
async fn restored(handle: Handle, ledger: Arc<SqliteLedger>) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || restore::restore(&handle, &ledger)).await?
}

/// Has calls counted whose limits have changed while they were under way.
fn tell_late(plane: &Arc<Plane>) {
    let weak = Arc::downgrade(plane);
    plane.gate.tell_late(Box::new(move |record, grant| {
        if let Some(plane) = weak.upgrade() {
            Past::new(&plane, &plane.snapshot.load()).late(record, grant);
        }
    }));
}

/// Has alerts see finished calls, and the steps that limits reach.
fn tell_alerts(plane: &Arc<Plane>, link: &Arc<alerts::Link>) {
    let feed = Arc::clone(&link.feed);
    plane.log.show_to(Tap::new(move |calls| feed.calls(calls)));
    let feed = Arc::clone(&link.feed);
    plane.gate.tell_warnings(Box::new(move |subject, warnings| feed.steps(subject, warnings)));
}

fn call_log(config: &Config, metrics: &Metrics, sinks: &Arc<Sinks>) -> io::Result<Arc<CallLog>> {
    let format = match config.logs.format {
        LogFormat::Json => Format::Json,
        LogFormat::Pretty => Format::Pretty,
    };
    let format = config.logs.calls.then_some(format);
    let log = CallLog::start(Box::new(io::stdout()), format, metrics.log_dropped().clone())?;
    let sinks = Arc::clone(sinks);
    log.show_to(Tap::new(move |calls| sinks.take(calls)));
    Ok(Arc::new(log))
}

fn engine(config: &Config) -> Engine {
    let engine = Engine::new();
    engine.set_limits(config.limits.clone().into());
    engine
}

/// What stands in the way of calls, as the ledger says.
fn obstacle(ledger: &Arc<SqliteLedger>) -> Obstacle {
    let ledger = Arc::clone(ledger);
    Obstacle::new(move || ledger.status().last_error)
}
