//! Tells whoever watches the program's standard error of duplicate storms, a line each.

use std::fmt;
use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tollgate_proxy::savings::Storm;

use crate::alerts::Link;
use crate::out;

/// Tells until `stopped`.
pub(super) async fn tell(
    mut storms: Receiver<Storm>,
    alerts: Arc<Link>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let storm = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            storm = storms.recv() => storm,
        };
        match storm {
            Ok(storm) => {
                alerts.feed.storm(&storm.user, storm.time);
                out::note(Line(&storm));
            }
            Err(RecvError::Lagged(missed)) => {
                out::note(format_args!("duplicate_storm: {missed} more were not told one by one"));
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// A storm in words; what was asked is not among them.
struct Line<'a>(&'a Storm);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Storm { id, user, key, session, endpoint, model, calls, action, .. } = self.0;
        write!(f, "duplicate_storm {id}: user `{user}` (key `{key}`")?;
        if let Some(session) = session {
            write!(f, ", session `{session}`")?;
        }
        let action = action.as_str();
        write!(f, ") sent one prompt {calls} times to {endpoint} ({model}); action: {action}")?;
        match self.0.blocked_until {
            Some(until) => write!(f, ", until {until}"),
            None => Ok(()),
        }
    }
}
