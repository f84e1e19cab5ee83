//! `GET /api/quota`: how the limits of a caller stand (SPEC §18).

use http::StatusCode;
use serde::Serialize;
use tollgate_admission::control::{Amount, scope_text};
use tollgate_admission::engine::{LimitState, Subject};
use tollgate_domain::limit::{Limit, Scope};

use super::{Answer, Asked, fields, json};
use crate::accept::counted;
use crate::headroom::local;
use crate::standing::terms_of;
use crate::stop::Stop;

#[derive(Serialize)]
struct Quota<'a> {
    user: &'a str,
    plan: &'a str,
    limits: Vec<Row<'a>>,
}

/// One limit; `max` and `remaining` are null where it is unlimited.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    scope: String,
    metric: &'static str,
    window: String,
    max: Option<Amount>,
    used: Amount,
    reserved: Amount,
    remaining: Option<Amount>,
    resets_at: Option<String>,
}

impl<'a> Row<'a> {
    fn of(state: &'a LimitState) -> Self {
        let limit = &state.limit;
        let amount = |value| Amount::of(limit.metric, value);
        Self {
            name: &limit.name,
            scope: scope_text(&limit.scope),
            metric: limit.metric.as_str(),
            window: limit.window.to_string(),
            max: state.max.map(amount),
            used: amount(state.used),
            reserved: amount(state.reserved),
            remaining: state.remaining.map(amount),
            resets_at: state.resets_at.map(|at| local(at, &limit.zone)),
        }
    }
}

/// Tells how the limits stand. A key that speaks for one user is not told of counters that all users
/// share.
pub(super) fn quota(asked: &Asked<'_>) -> Result<Answer, Stop> {
    let [user] = fields::query(&asked.uri, ["user"])?;
    let principal = asked.speaking_for(user.as_deref())?;
    let standing = terms_of(asked.plane, &asked.snapshot, &principal);
    let ip = counted(&asked.snapshot, asked.arrival);
    let subject = Subject {
        user: &principal.user,
        key: Some(&principal.key.name),
        team: standing.team.as_deref(),
        ip: Some(&ip),
        ..Subject::default()
    };
    let terms = standing.terms(&subject);
    let states = asked.plane.gate.engine().usage(&terms, asked.plane.clock.now());
    let all = principal.key.role.acts_for_others();
    let shown = states.iter().filter(|state| all || is_own(&state.limit));
    let quota = Quota {
        user: &principal.user,
        plan: &standing.plan.name,
        limits: shown.map(Row::of).collect(),
    };
    json(StatusCode::OK, &quota)
}

/// Whether the counter belongs to the caller, its team or its address, and not to everybody.
fn is_own(limit: &Limit) -> bool {
    let own = [Scope::User, Scope::Key, Scope::Team, Scope::Ip, Scope::Session];
    limit.scope.iter().any(|scope| own.contains(scope))
}
