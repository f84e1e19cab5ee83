//! Where prompts and answers are kept, and for how long.
//!
//! What is too old is removed by the thread that keeps them, once an hour, whether bodies are still
//! switched on or not: a retention that needs a job to be configured is none.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use tollgate_domain::bodies::CallBodies;
use tollgate_domain::clock::Clock;
use tollgate_proxy::bodies::Shelf;
use tollgate_store::{BodyStore, StoreError};

use crate::compose::Ground;
use crate::config::Config;
use crate::out;

/// How long bodies are kept where no purge is configured.
const USUAL: Duration = Duration::from_hours(7 * 24);
/// How often what is too old is removed.
const EVERY: Duration = Duration::from_hours(1);

/// Keeps prompts and answers. Clones are the same keeper.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    clock: Clock,
    /// Seconds.
    keep_for: Arc<AtomicU64>,
}

impl Keeper {
    pub(super) fn new(config: &Config, database: &Path, ground: &Ground) -> Self {
        let path = BodyStore::path_of(database);
        let keeper = Self { path, clock: ground.clock.clone(), keep_for: Arc::default() };
        keeper.keep_for(config);
        keeper
    }

    /// From now on keeps bodies for as long as this configuration says.
    pub(super) fn keep_for(&self, config: &Config) {
        let purge = config.jobs.purge.as_ref();
        let keep_for = purge.map_or(USUAL, |purge| purge.keep_bodies);
        self.keep_for.store(keep_for.as_secs(), Ordering::Relaxed);
    }

    /// What the thread of bodies calls.
    pub(super) fn shelf(&self) -> Shelf {
        let keeper = self.clone();
        let mut store = None;
        let mut purged: Option<Duration> = None;
        Box::new(move |bodies| {
            let kept = keeper.put(&mut store, bodies).map_err(|error| {
                out::note(format_args!("prompts and answers cannot be kept: {error}"));
                store = None;
            });
            let now = keeper.clock.monotonic();
            if purged.is_none_or(|purged| now.saturating_sub(purged) >= EVERY) {
                purged = Some(now);
                if let Err(error) = keeper.purge(&mut store) {
                    out::note(format_args!("old prompts and answers cannot be removed: {error}"));
                    store = None;
                }
            }
            kept.is_ok()
        })
    }

    fn put(&self, store: &mut Option<BodyStore>, bodies: &[CallBodies]) -> Result<(), StoreError> {
        if bodies.is_empty() {
            return Ok(());
        }
        match store {
            Some(store) => store.put(bodies),
            None => store.insert(BodyStore::open(&self.path)?).put(bodies),
        }
    }

    fn purge(&self, store: &mut Option<BodyStore>) -> Result<(), StoreError> {
        if store.is_none() {
            // Where there is no file there is nothing to remove, and none is made.
            if !self.path.exists() {
                return Ok(());
            }
            *store = Some(BodyStore::open(&self.path)?);
        }
        let keep_for = self.keep_for.load(Ordering::Relaxed);
        let keep_for = SignedDuration::from_secs(i64::try_from(keep_for).unwrap_or(i64::MAX));
        let before = self.clock.now().checked_sub(keep_for);
        if let (Some(store), Ok(before)) = (store, before) {
            store.purge(before)?;
        }
        Ok(())
    }
}
