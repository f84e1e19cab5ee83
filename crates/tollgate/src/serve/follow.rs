//! Keys that are made and revoked beside the running server (`tollgate keys`) take effect within a
//! second: a change of the database is noticed and the keys are read again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tollgate_store::Watch;

use super::start::Handle;
use crate::{compose, out};

/// How often the database is asked whether another process has changed it. The question costs a
/// few microseconds.
const LOOK: Duration = Duration::from_millis(250);

/// Follows the stored keys until `stopped`.
pub(super) async fn follow(handle: Handle, mut stopped: watch::Receiver<bool>) {
    let mut watch = None;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let (looking, last) = (handle.clone(), watch.take());
        let looked = tokio::task::spawn_blocking(move || look(&looking, last)).await;
        match looked {
            Ok(Ok(next)) => watch = Some(next),
            Ok(Err(error)) => out::note(format_args!("keys cannot be read: {error:#}")),
            Err(_) => {}
        }
    }
}

/// Looks for a change and puts it in force. After an error the next look begins anew.
fn look(handle: &Handle, watch: Option<Watch>) -> anyhow::Result<Watch> {
    let (mut watch, first) = match watch {
        Some(watch) => (watch, false),
        None => (Watch::open(&handle.database)?, true),
    };
    // What changed before the first look may have been missed, so it counts as a change.
    if watch.changed()? || first {
        put_in_force(handle)?;
    }
    Ok(watch)
}

fn put_in_force(handle: &Handle) -> anyhow::Result<()> {
    let config = handle.config.lock();
    let stored = handle.stored_keys()?;
    let ring = Arc::new(compose::keys(&config, &handle.ground.hasher, stored));
    let snapshot = handle.plane.snapshot.load();
    handle.plane.snapshot.store(Arc::new(snapshot.with_keys(ring)));
    Ok(())
}
