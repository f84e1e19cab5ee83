//! What alerts do, through the same control plane as operators, and audited as `alert:RULE`.

use tollgate_admission::control::{
    Actor, Control, ControlError, NewOverride, SwitchChange, UserPatch, Written,
};
use tollgate_alerts::engine::Act;
use tollgate_alerts::measure::By;
use tollgate_alerts::rule::Deed;

use crate::config::THROTTLE;

/// Until when a quota is at zero where nobody says.
const FOR_GOOD: &str = "9999-12-30T00:00:00Z";

/// Who the audit names.
fn actor(act: &Act) -> Actor {
    Actor(format!("alert:{}", act.rule))
}

/// Why, as clients and operators see it.
fn reason(act: &Act) -> String {
    format!("alert {}", act.rule)
}

/// Does what an alert asks for. Doing it again changes nothing.
pub(super) fn act(control: &dyn Control, act: &Act, throttle: u32) -> Result<(), ControlError> {
    let (by, user) = (actor(act), act.subject.as_str());
    match act.deed {
        Deed::QuotaZero => {
            let until = act.until.or_else(|| FOR_GOOD.parse().ok());
            let patch = UserPatch { quota_zero_until: Some(until), ..UserPatch::default() };
            control.change_user(&by, user, patch).map(drop)
        }
        Deed::Block => {
            let patch = UserPatch {
                blocked: Some(true),
                blocked_reason: Some(Some(reason(act))),
                ..UserPatch::default()
            };
            control.change_user(&by, user, patch).map(drop)
        }
        Deed::Throttle => {
            let max = Written::new(&throttle.to_string());
            let new = NewOverride { limit: THROTTLE.to_owned(), max, until: act.until };
            control.set_override(&by, user, new).map(drop)
        }
        Deed::KillSwitch => {
            let reason = Some(reason(act));
            control
                .switch(&by, SwitchChange { on: true, scope: Some(scope(act)), reason })
                .map(drop)
        }
    }
}

/// Undoes what an alert did, unless somebody has decided otherwise since.
pub(super) fn lift(control: &dyn Control, act: &Act) -> Result<(), ControlError> {
    let by = actor(act);
    match act.deed {
        Deed::Block => {
            let user = control.user(&act.subject)?;
            if user.blocked && user.blocked_reason == Some(reason(act)) {
                let patch = UserPatch { blocked: Some(false), ..UserPatch::default() };
                control.change_user(&by, &act.subject, patch)?;
            }
            Ok(())
        }
        Deed::KillSwitch => {
            let scope = scope(act);
            let switches = control.kill_switch()?.switches;
            if switches.iter().any(|switch| switch.scope == scope && switch.by == by.0) {
                control
                    .switch(&by, SwitchChange { on: false, scope: Some(scope), reason: None })?;
            }
            Ok(())
        }
        // These have an end of their own.
        Deed::QuotaZero | Deed::Throttle => Ok(()),
    }
}

/// How far a kill switch reaches that is thrown for the subject of a rule.
fn scope(act: &Act) -> String {
    match act.by {
        Some(By::User) => format!("user:{}", act.subject),
        Some(By::Provider) => format!("provider:{}", act.subject),
        Some(By::Model) => format!("model:{}", act.subject),
        _ => "global".to_owned(),
    }
}
