//! Scheduled work as operators see it.

use jiff::Timestamp;
use serde::Serialize;

/// A scheduled job.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRow {
    /// Its name.
    pub name: String,
    /// Whether the configuration names it, or it runs without that. Others cannot be run.
    pub configured: bool,
    /// Whether it runs by its schedule.
    pub enabled: bool,
    /// Five fields of cron; null where it is not configured.
    pub schedule: Option<String>,
    /// The zone of the schedule.
    pub timezone: Option<String>,
    /// Whether it runs at this moment.
    pub running: bool,
    /// When its last run began.
    pub last_started: Option<Timestamp>,
    /// When its last run ended.
    pub last_ended: Option<Timestamp>,
    /// What came of it: `success` or `failed`; `interrupted` where a run began later and its program
    /// died.
    pub outcome: Option<String>,
    /// What there is to say of it.
    pub message: Option<String>,
    /// When a run last ended well.
    pub last_success: Option<Timestamp>,
    /// When it is due; a time that has passed where it is to be caught up.
    pub next: Option<Timestamp>,
}
