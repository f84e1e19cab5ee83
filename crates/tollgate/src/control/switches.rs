//! The kill switch: what is stopped, in the database and by the environment.

use tollgate_admission::control::{Actor, ControlError, KillSwitch, SwitchChange, SwitchRow};
use tollgate_admission::switches::{Reach, Switch};
use tollgate_store::{Registry, StoreError, SwitchRecord};

use super::{Controls, Deed, check_known};
use crate::config::Config;

/// Who holds a switch that a variable switches on.
const ENVIRONMENT: &str = "environment";
/// Longest reason, in bytes; clients see it.
const MAX_REASON: usize = 500;

impl Controls {
    pub(super) fn show_switches(&self) -> Result<KillSwitch, ControlError> {
        let registry = self.registry.lock();
        let stored = registry.switches()?;
        Ok(kill_switch(&self.config.lock(), &stored))
    }

    pub(super) fn change_switch(
        &self,
        by: &Actor,
        asked: SwitchChange,
    ) -> Result<KillSwitch, ControlError> {
        let (switches, _) = self.change_switch_where(by, asked, |_| true)?;
        Ok(switches)
    }

    /// The same where `may` agrees to what there is before; says whether it did. Both in one
    /// transaction.
    pub(super) fn change_switch_where(
        &self,
        by: &Actor,
        asked: SwitchChange,
        may: impl FnOnce(Option<&SwitchRecord>) -> bool,
    ) -> Result<(KillSwitch, bool), ControlError> {
        let text = asked.scope.as_deref().unwrap_or("global");
        let reach: Reach =
            text.parse().map_err(|error| ControlError::Invalid(format!("{error}")))?;
        let reason = asked.reason.unwrap_or_default();
        if reason.len() > MAX_REASON || reason.chars().any(char::is_control) {
            return Err(ControlError::Invalid(format!(
                "the reason must be one line of at most {MAX_REASON} bytes"
            )));
        }
        let registry = self.registry.lock();
        let config = self.config.lock();
        if asked.on {
            check_reach(&config, &reach)?;
        } else if let (Reach::Global, Some(variable)) = (&reach, config.kill_switch) {
            return Err(ControlError::Conflict(format!(
                "the environment variable {variable} holds everything stopped: unset it and start \
                 the server again"
            )));
        }
        let action = if asked.on { "kill_switch.on" } else { "kill_switch.off" };
        let subject = reach.to_string();
        let deed = Deed { by, action, subject: &subject };
        let mut agreed = true;
        let stored = registry.change(|change| {
            let find =
                |all: &[SwitchRecord]| all.iter().find(|each| each.reach == subject).cloned();
            let all = change.switches()?;
            let before = find(&all);
            if !may(before.as_ref()) {
                agreed = false;
                return Ok(all);
            }
            if asked.on {
                change.set_switch(&SwitchRecord {
                    reach: subject.clone(),
                    reason,
                    by: by.0.clone(),
                    since: self.clock.now(),
                })?;
            } else {
                change.remove_switch(&subject)?;
            }
            let stored = change.switches()?;
            let after = find(&stored);
            let (before, after) = (before.as_ref().map(row), after.as_ref().map(row));
            deed.note(change, &self.clock, (before.as_ref(), after.as_ref()))?;
            Ok::<_, ControlError>(stored)
        })?;
        if let Some(live) = &self.live {
            live.handle.plane.switches.replace(stored.iter().filter_map(switch));
        }
        Ok((kill_switch(&config, &stored), agreed))
    }
}

/// The stored switches as the data plane asks them.
pub(super) fn stored(registry: &Registry) -> Result<Vec<Switch>, StoreError> {
    registry
        .switches()?
        .iter()
        .map(|record| switch(record).ok_or(StoreError::Malformed { what: "kill switch" }))
        .collect()
}

fn switch(record: &SwitchRecord) -> Option<Switch> {
    Some(Switch {
        reach: record.reach.parse().ok()?,
        reason: record.reason.as_str().into(),
        by: record.by.as_str().into(),
        since: record.since,
    })
}

/// A misspelt name would stop nothing. Models are not checked: any name may be asked for.
fn check_reach(config: &Config, reach: &Reach) -> Result<(), ControlError> {
    match reach {
        Reach::Provider(name) => check_known("provider", name, config.providers.keys()),
        Reach::Plan(name) => check_known("plan", name, config.plans.keys()),
        Reach::Global | Reach::Model(_) | Reach::User(_) => Ok(()),
    }
}

fn row(record: &SwitchRecord) -> SwitchRow {
    SwitchRow {
        scope: record.reach.clone(),
        reason: record.reason.clone(),
        by: record.by.clone(),
        since: Some(record.since),
    }
}

fn kill_switch(config: &Config, stored: &[SwitchRecord]) -> KillSwitch {
    let held = config.kill_switch.map(|variable| SwitchRow {
        scope: Reach::Global.to_string(),
        reason: format!("environment variable {variable}"),
        by: ENVIRONMENT.to_owned(),
        since: None,
    });
    let switches: Vec<SwitchRow> = held.into_iter().chain(stored.iter().map(row)).collect();
    KillSwitch { on: !switches.is_empty(), switches }
}
