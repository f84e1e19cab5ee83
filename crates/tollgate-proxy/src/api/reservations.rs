//! `POST /api/reservations` and what ends one: the limits of calls for actions that are not calls,
//! or that the application runs itself (SPEC §6.6).
//!
//! An amount is set aside in the counters first and then kept in the database; where that fails it
//! is given back. It ends in the database first, by one conditional change, and then in the
//! counters; so a repetition, another node's answer or a crash in between changes nothing twice.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_admission::books::{Action, ActionEnd, ActionState, EndedAction};
use tollgate_admission::control::{Amount, Written};
use tollgate_admission::engine::{ActionDemand, Reserved};
use tollgate_admission::identity::Principal;
use tollgate_admission::switches::Traffic;
use tollgate_domain::fault::Code;
use tollgate_domain::id::CallId;
use tollgate_domain::limit::Metric;

use super::{Answer, Asked, fields, json};
use crate::accept::counted;
use crate::past::{Past, subject_of};
use crate::plane::Plane;
use crate::standing::{Standing, refuse_stopped, standing};
use crate::stop::Stop;

/// How long a key of role `user` may hold what calls need: nobody else can end it.
const LONGEST_SHARED: Duration = Duration::from_hours(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    user: Option<String>,
    feature: Option<String>,
    metric: Metric,
    amount: Written,
    ttl: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commitment {
    amount: Option<Written>,
}

#[derive(Serialize)]
struct Granted {
    id: CallId,
    expires_at: Option<Timestamp>,
    remaining: Option<Amount>,
}

#[derive(Serialize)]
struct Ended<'a> {
    id: CallId,
    state: &'static str,
    user: &'a str,
    feature: Option<&'a str>,
    metric: &'static str,
    amount: Amount,
}

/// Sets an amount aside.
pub(super) async fn reserve(asked: &Asked<'_>) -> Result<Answer, Stop> {
    let wanted: Wanted = fields::body(&asked.body)?;
    let principal = asked.speaking_for(wanted.user.as_deref())?;
    let standing = standing(asked.plane, &asked.snapshot, &principal)?;
    let (user, plan) = (&principal.user, &standing.plan.name);
    let traffic = Traffic { provider: "", model: "", plan, user };
    refuse_stopped(asked.plane, &asked.snapshot, &traffic)?;
    let action = action(asked, &wanted, &principal, &standing)?;
    let metric = action.metric;
    let plane = Arc::clone(asked.plane);
    let reserved = asked.plane.desk.ask(move |books| {
        let _settled = plane.gate.between_turns();
        let reserved = hold(&plane, &action, &standing)?;
        if let Err(error) = books.put_action(&action) {
            plane.gate.engine().release_action(action.id, plane.clock.now());
            return Err(error.into());
        }
        Ok(reserved)
    });
    let Reserved { id, expires_at, remaining, .. } = reserved.await?;
    let remaining = remaining.map(|left| Amount::of(metric, left.max(0)));
    json(StatusCode::CREATED, &Granted { id, expires_at, remaining })
}

fn action(
    asked: &Asked<'_>,
    wanted: &Wanted,
    principal: &Principal,
    standing: &Standing,
) -> Result<Action, Stop> {
    let Wanted { feature, metric, amount, ttl, .. } = wanted;
    let amount = amount.count(*metric).map_err(|wrong| wrong_amount(&wrong.to_string()))?;
    if amount == 0 {
        return Err(wrong_amount("`amount` must be more than nothing"));
    }
    let ttl = ttl.as_deref().map(fields::ttl).transpose()?;
    let shared = *metric != Metric::Units && !principal.key.role.acts_for_others();
    if shared && ttl.is_none_or(|ttl| ttl > LONGEST_SHARED) {
        let message = "what calls need too is set aside for a key of role `user` with a `ttl` of \
                       at most 1h only";
        return Err(Stop::field(message, Some("ttl".into())));
    }
    let now = asked.plane.clock.now();
    let expires_at = ttl.map(|ttl| now.checked_add(ttl).unwrap_or(Timestamp::MAX));
    Ok(Action {
        id: asked.plane.ids.next(now),
        user: Arc::clone(&principal.user),
        key: Arc::clone(&principal.key.name),
        team: standing.team.clone(),
        ip: Some(Arc::from(counted(&asked.snapshot, asked.arrival))),
        feature: fields::optional("feature", feature.as_deref())?,
        plan: Arc::clone(&standing.plan.name),
        metric: *metric,
        amount,
        created_at: now,
        expires_at,
        state: ActionState::Standing,
        used: 0,
    })
}

fn wrong_amount(message: &str) -> Stop {
    Stop::field(message.to_owned(), Some("amount".into()))
}

/// Sets the amount aside in the counters.
fn hold(plane: &Plane, action: &Action, standing: &Standing) -> Result<Reserved, Stop> {
    let subject = subject_of(action);
    let terms = standing.terms(&subject);
    let Action { id, metric, amount, expires_at, created_at, .. } = *action;
    let demand = ActionDemand { metric, amount, expires_at };
    let reserved = plane.gate.engine().reserve_action(id, &terms, &demand, created_at);
    let reserved = reserved.map_err(|refusal| {
        plane.gate.warned(&subject, &refusal.warnings);
        plane.metrics.decided("refused", &refusal.limit.name);
        Stop::limit(Box::new(refusal), created_at)
    })?;
    plane.gate.warned(&subject, &reserved.warnings);
    Ok(reserved)
}

/// Turns what was set aside into what was used.
pub(super) async fn commit(asked: &Asked<'_>, id: CallId) -> Result<Answer, Stop> {
    let Commitment { amount } =
        if asked.body.is_empty() { Commitment::default() } else { fields::body(&asked.body)? };
    let ending = Ending::of(asked, id);
    asked
        .plane
        .desk
        .ask(move |books| {
            let action = ending.visible(books.action(id)?)?;
            let used = match &amount {
                Some(amount) => {
                    let used = amount.count(action.metric);
                    Some(used.map_err(|wrong| wrong_amount(&wrong.to_string()))?)
                }
                None => None,
            };
            let _settled = ending.plane.gate.between_turns();
            let ended = books.end_action(id, ActionEnd::Commit(used), ending.now)?;
            let EndedAction { action, now } = ended.ok_or_else(|| ending.unknown())?;
            ending.settle(&action, now);
            if action.state != ActionState::Committed {
                return Err(has_ended(&action));
            }
            if used.unwrap_or(action.amount) != action.used {
                let amount = Amount::of(action.metric, action.used);
                let message = format!("reservation {id} was committed with {amount} before");
                return Err(Stop::new(Code::Conflict, message));
            }
            let Action { id, state, user, feature, metric, used, .. } = &action;
            let document = Ended {
                id: *id,
                state: state.as_str(),
                user,
                feature: feature.as_deref(),
                metric: metric.as_str(),
                amount: Amount::of(*metric, *used),
            };
            json(StatusCode::OK, &document)
        })
        .await
}

/// Gives back what was set aside.
pub(super) async fn release(asked: &Asked<'_>, id: CallId) -> Result<Answer, Stop> {
    let ending = Ending::of(asked, id);
    let released = asked.plane.desk.ask(move |books| {
        ending.visible(books.action(id)?)?;
        let _settled = ending.plane.gate.between_turns();
        let ended = books.end_action(id, ActionEnd::Release, ending.now)?;
        let EndedAction { action, now } = ended.ok_or_else(|| ending.unknown())?;
        ending.settle(&action, now);
        if action.state == ActionState::Released { Ok(()) } else { Err(has_ended(&action)) }
    });
    released.await?;
    Ok((StatusCode::NO_CONTENT, bytes::Bytes::new()))
}

fn has_ended(action: &Action) -> Stop {
    let message = format!("reservation {} is {} already", action.id, action.state.as_str());
    Stop::new(Code::Conflict, message)
}

/// What ending an action needs, wherever it runs.
struct Ending {
    plane: Arc<Plane>,
    principal: Principal,
    id: CallId,
    now: Timestamp,
}

impl Ending {
    fn of(asked: &Asked<'_>, id: CallId) -> Self {
        Self {
            plane: Arc::clone(asked.plane),
            principal: asked.principal.clone(),
            id,
            now: asked.plane.clock.now(),
        }
    }

    /// The action, where the caller may know of it.
    fn visible(&self, action: Option<Action>) -> Result<Action, Stop> {
        let principal = &self.principal;
        action
            .filter(|action| principal.key.role.acts_for_others() || action.user == principal.user)
            .ok_or_else(|| self.unknown())
    }

    fn unknown(&self) -> Stop {
        Stop::new(Code::NotFound, format!("there is no reservation {}", self.id))
    }

    /// Follows in the counters what was decided in the database.
    fn settle(&self, action: &Action, just_now: bool) {
        let engine = self.plane.gate.engine();
        match action.state {
            ActionState::Committed if just_now => {
                // What ran at once has ended, so nothing of it is used.
                let used = if action.metric == Metric::Concurrency { 0 } else { action.used };
                match engine.commit_action(action.id, used, self.now) {
                    Some(settled) => {
                        self.plane.gate.warned(&subject_of(action), &settled.warnings);
                    }
                    // It ran out in the counters since the database was asked: it is owed all the
                    // same.
                    None => Past::new(&self.plane, &self.plane.snapshot.load()).action(action),
                }
            }
            ActionState::Released if just_now => {
                engine.release_action(action.id, self.now);
            }
            _ => {}
        }
    }
}
