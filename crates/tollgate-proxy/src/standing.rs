//! What is decided about the caller before any limit is asked: its plan, whether it is blocked,
//! whether an operator has stopped what it wants.

use std::sync::Arc;

use tollgate_admission::directory::UserState;
use tollgate_admission::engine::{Overlay, OwnLimits, Subject, Terms};
use tollgate_admission::identity::Principal;
use tollgate_admission::switches::Traffic;
use tollgate_domain::fault::Code;
use tollgate_domain::limit::Plan;

use crate::plane::Plane;
use crate::snapshot::Snapshot;
use crate::stop::Stop;

/// On what terms a principal calls.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Who calls.
    user: Arc<str>,
    /// The plan in force.
    pub plan: Arc<Plan>,
    /// The team, as decided or as the key says.
    pub team: Option<Arc<str>>,
    state: Option<Arc<UserState>>,
    own: Option<Arc<OwnLimits>>,
}

impl Standing {
    /// The same as the engine asks it, for what a subject wants.
    pub fn terms<'a>(&'a self, subject: &'a Subject<'a>) -> Terms<'a> {
        Terms { subject, plan: &self.plan, overlay: self.overlay(), own: self.own.as_deref() }
    }

    /// What its call to a model of a provider is, as far as the kill switch asks.
    pub fn traffic<'a>(&'a self, provider: &'a str, model: &'a str) -> Traffic<'a> {
        Traffic { provider, model, plan: &self.plan.name, user: &self.user }
    }

    /// What is different for this user.
    pub fn overlay(&self) -> &Overlay {
        overlay(self.state.as_deref())
    }
}

/// What is different for a user about whom this is decided.
pub(crate) fn overlay(state: Option<&UserState>) -> &Overlay {
    static NOTHING: Overlay =
        Overlay { overrides: Vec::new(), zero_until: None, balances: Vec::new() };
    state.map_or(&NOTHING, |state| &state.overlay)
}

/// Finds out on what terms a principal calls, and refuses who may not call at all.
pub fn standing(
    plane: &Plane,
    snapshot: &Snapshot,
    principal: &Principal,
) -> Result<Standing, Stop> {
    let standing = terms_of(plane, snapshot, principal);
    let state = standing.state.as_ref();
    if let Some(why) = state.and_then(|state| state.blocked.as_deref()) {
        let reason = if why.is_empty() { String::new() } else { format!(": {why}") };
        return Err(Stop::new(Code::UserBlocked, format!("this user is blocked{reason}")));
    }
    if state.is_none() && !snapshot.settings.auto_register && !principal.is_guest() {
        return Err(Stop::new(
            Code::Forbidden,
            "this user is not registered; an operator can do that with `tollgate users set`",
        ));
    }
    Ok(standing)
}

/// On what terms a principal calls, whether it may or not. A plan decided for the user holds before
/// that of the key, and that before the default one.
pub fn terms_of(plane: &Plane, snapshot: &Snapshot, principal: &Principal) -> Standing {
    let state = plane.directory.get(&principal.user);
    let decided = state.as_ref().and_then(|state| state.plan.as_ref());
    let plan = Arc::clone(snapshot.plan(decided.or(principal.key.plan.as_ref())));
    let team =
        state.as_ref().and_then(|state| state.team.clone()).or_else(|| principal.key.team.clone());
    let user = Arc::clone(&principal.user);
    Standing { user, plan, team, state, own: principal.key.own.clone() }
}

/// Refuses what an operator has stopped.
pub fn refuse_stopped(
    plane: &Plane,
    snapshot: &Snapshot,
    traffic: &Traffic<'_>,
) -> Result<(), Stop> {
    if let Some(why) = &snapshot.settings.kill_switch {
        return Err(Stop::new(Code::KillSwitch, format!("calls are switched off: {why}")));
    }
    match plane.switches.stopping(traffic) {
        None => Ok(()),
        Some(switch) => {
            let message = format!("calls are switched off ({}): {}", switch.reach, switch.reason);
            Err(Stop::new(Code::KillSwitch, message))
        }
    }
}
