//! Loading the configuration again while calls are served: whole or not at all.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use arc_swap::ArcSwap;
use tollgate_domain::price::PriceBook;
use tollgate_proxy::past::Users;

use super::sinks;
use super::start::Handle;
use super::turn::{RuleChange, Rules, plans_differ, put_in_force};
use crate::compose::{self, Ground};
use crate::config::{Config, ProcessEnvironment};

/// Loads the configuration file again and puts it in force. What cannot change while the program
/// runs (listeners, storage) must be as it was.
pub(super) fn reload(handle: &Handle) -> anyhow::Result<()> {
    let path = handle.path.as_deref().context("there is no configuration file to load")?;
    let config = Config::load(path, &ProcessEnvironment)?;
    let mut current = handle.config.lock();
    ensure!(
        config.server.listen == current.server.listen
            && config.server.admin_listen == current.server.admin_listen,
        "`server.listen` and `server.admin_listen` change only with a restart"
    );
    let lines = handle.sinks.prepare(sinks::configured(&config, &handle.database))?;
    let stored = handle.stored_keys(&config)?;
    let mut snapshot = compose::snapshot(&config, &handle.ground, stored)?;
    compose::keep(&mut snapshot, &config, &handle.plane.snapshot.load(), &current);
    let plane = &handle.plane;
    let before = plane.snapshot.load_full();
    let users = Users::Of(&plane.directory);
    let change = RuleChange {
        before: Rules { snapshot: &before, outside: &current.limits, users },
        after: Rules { snapshot: &snapshot, outside: &config.limits, users },
        user: None,
        moves: plans_differ(&before, &snapshot),
    };
    put_in_force(handle, &change, || {
        plane.gate.engine().set_limits(config.limits.clone().into());
        plane.snapshot.store(Arc::new(snapshot.clone()));
    });
    plane.savings.configure(&snapshot.savings, &plane.clock);
    handle.keeper.keep_for(&config);
    *current = config;
    // Calls are served by the new configuration, and no lock is needed any more: sinks may take
    // seconds to give way.
    drop(current);
    sinks::put_in_force(&handle.sinks, lines);
    handle.alerts.reload();
    handle.jobs.reload();
    Ok(())
}

/// Puts another price book in force, or changes nothing where it does not go with the configuration.
pub(crate) fn renew_prices(handle: &Handle, book: PriceBook) -> anyhow::Result<()> {
    let config = handle.config.lock();
    let book = Arc::new(ArcSwap::from_pointee(book));
    let ground = Ground { book: Arc::clone(&book), ..handle.ground.clone() };
    let mut snapshot = compose::snapshot(&config, &ground, handle.stored_keys(&config)?)?;
    compose::keep(&mut snapshot, &config, &handle.plane.snapshot.load(), &config);
    handle.ground.book.store(book.load_full());
    handle.plane.snapshot.store(Arc::new(snapshot));
    Ok(())
}
