//! From start to end: what is started in which order, and ended in the opposite one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate_proxy::{leftover, overload};

use super::start::{Handle, Started};
use super::{access_tokens, follow, jwks, reload, storms, sweep};
use crate::config::Config;
use crate::out;

/// How long calls whose client has gone may take to settle, beyond the grace period.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(5);

/// Connections that are taken up at once: as many as the runtime serves before it looks for more.
/// With more of them its queue would run over, and what runs over waits far longer than its turn.
const AT_ONCE: usize = 64;

/// Serves `config`; `ready` is called when calls are served.
pub(crate) fn run_with(
    config: Config,
    path: Option<PathBuf>,
    ready: impl FnOnce(&Started) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_io_events_per_tick(AT_ONCE)
        .thread_name("tollgate")
        .build()
        .context("the runtime cannot be started")?;
    let served = runtime.block_on(serve(config, path, ready));
    // A connection that hangs in the machine does not keep the program.
    runtime.shutdown_timeout(Duration::from_millis(200));
    served
}

async fn serve(
    config: Config,
    path: Option<PathBuf>,
    ready: impl FnOnce(&Started) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let started = Started::start(config, path).await?;
    let (stop, stopped) = watch::channel(false);
    let (settle, settling) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut tokens = access_tokens::Renewer::default();
    tokens.look(&started.handle()).await;
    tasks.spawn(tokens.follow(started.handle(), stopped.clone()));
    let mut jwks = jwks::Follower::default();
    jwks.look(&started.handle()).await;
    tasks.spawn(jwks.follow(started.handle(), stopped.clone()));
    started.spawn_listeners(&mut tasks, &stopped);
    tasks.spawn(follow::follow(started.controls(), stopped.clone()));
    tasks.spawn(sweep::run(started.handle(), stopped.clone()));
    tasks.spawn(overload::look_after(Arc::clone(&started.plane), stopped.clone())?);
    let news = started.plane.savings.storms();
    tasks.spawn(storms::tell(news, started.handle().alerts, stopped.clone()));
    let mut last = JoinSet::new();
    last.spawn(leftover::look_after(
        Arc::clone(&started.plane),
        started.take_leftovers().context("the leftovers are taken")?,
        settling,
    ));
    ready(&started)?;
    let ended = attend(&started, &mut signals, &mut tasks).await;
    started.plane.end();
    stop.send_replace(true);
    tokio::select! {
        () = finish(tasks) => {}
        () = signals.stop() => out::note("stopping at once"),
    }
    settle.send_replace(true);
    drop(tokio::time::timeout(LAST_SETTLEMENTS, finish(last)).await);
    started.close()?;
    ended
}

/// Waits for signals until one of them ends the program.
async fn attend(
    started: &Started,
    signals: &mut Signals,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => {
                    out::note("stopping: calls in flight may finish");
                    return Ok(());
                }
                Asked::Reload => match loaded_again(started.handle()).await {
                Ok(()) => out::note("the configuration was loaded again"),
                Err(error) => out::note(format_args!(
                    "the configuration was not loaded, the old one stays in force: {error:#}"
                    )),
                },
            },
            Some(ended) = tasks.join_next() => match ended {
                Ok(()) => bail!("a listener has ended"),
                Err(error) => bail!("a listener has failed: {error}"),
            },
        }
    }
}

/// Loads the configuration again where blocking is allowed: new limits read the ledger.
async fn loaded_again(handle: Handle) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || reload::reload(&handle)).await?
}

async fn finish(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            reload: of(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.reload.recv() => Asked::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
