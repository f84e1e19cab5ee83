//! What is changed beside the running server (`tollgate keys`, `users`, `kill-switch`) takes effect
//! within a second: a change of the database is noticed and what is stored is read again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tollgate_store::Watch;

use crate::control::Controls;
use crate::out;

/// How often the database is asked whether another process has changed it. The question costs a
/// few microseconds.
const LOOK: Duration = Duration::from_millis(250);

/// Follows what is stored until `stopped`.
pub(super) async fn follow(controls: Arc<Controls>, mut stopped: watch::Receiver<bool>) {
    let mut watch = None;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let (looking, last) = (Arc::clone(&controls), watch.take());
        let looked = tokio::task::spawn_blocking(move || look(&looking, last)).await;
        match looked {
            Ok(Ok(next)) => watch = Some(next),
            Ok(Err(error)) => {
                out::note(format_args!("keys, users and switches cannot be read: {error:#}"));
            }
            Err(_) => {}
        }
    }
}

/// Looks for a change and puts it in force. After an error the next look begins anew.
fn look(controls: &Controls, watch: Option<Watch>) -> anyhow::Result<Watch> {
    let (mut watch, first) = match watch {
        Some(watch) => (watch, false),
        None => (Watch::open(controls.database())?, true),
    };
    // What changed before the first look may have been missed, so it counts as a change.
    if watch.changed()? || first {
        controls.refresh()?;
    }
    Ok(watch)
}
