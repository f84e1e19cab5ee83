//! How limits stand: in a running server the counters say so; a command makes them again from the
//! ledger, for the limits of which one user, one team or everybody is the subject.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tollgate_admission::control::{ControlError, LimitRow, User};
use tollgate_admission::engine::{
    Actual, Amounts, Engine, LimitState, Overlay, OwnLimits, Subject, Terms,
};
use tollgate_admission::identity::matches_name;
use tollgate_domain::limit::{Limit, Scope};
use tollgate_store::{Dim, Filter, Reader, Sums, UsageQuery};

use super::{Controls, failed, limits};
use crate::stored;

/// Calls younger than this are counted one by one, so that short windows are exact; older ones by
/// the hour.
const EXACT: SignedDuration = SignedDuration::from_hours(2);
/// Most calls that are counted one by one.
const MOST_EXACT: usize = 100_000;

impl Controls {
    /// How the limits of a user stand.
    pub(super) fn standing(
        &self,
        user: &User,
        overlay: &Overlay,
    ) -> Result<Vec<LimitRow>, ControlError> {
        let subject =
            Subject { user: &user.name, team: user.team.as_deref(), ..Subject::default() };
        let states = self.states(&subject, &user.plan, overlay)?;
        Ok(states.iter().map(LimitRow::of).collect())
    }

    /// How every limit stands that counts for a subject on this plan.
    pub(super) fn states(
        &self,
        subject: &Subject<'_>,
        plan: &str,
        overlay: &Overlay,
    ) -> Result<Vec<LimitState>, ControlError> {
        let (plan, outside) = {
            let config = self.config.lock();
            (limits::plan(&config, plan), config.limits.clone())
        };
        let own = subject.key.and_then(|key| self.own_limits(key));
        let terms = Terms { subject, plan: &plan, overlay, own: own.as_deref() };
        let now = self.clock.now();
        if let Some(live) = &self.live {
            return Ok(live.handle.plane.gate.engine().usage(&terms, now));
        }
        let reader = self.reader()?;
        let mut found = Vec::new();
        for scope in [Scope::User, Scope::Key, Scope::Team, Scope::Global] {
            let engine = Engine::new();
            engine.set_limits(outside.clone().into());
            fill(&engine, &reader, &terms, (scope, now))?;
            let states = engine.usage(&terms, now).into_iter();
            found.extend(states.filter(|state| state.limit.scope == [scope]));
        }
        // The order of the configuration, the plan's first.
        let order = |state: &LimitState| {
            let of_key = own.iter().flat_map(|own| own.limits());
            let all: Vec<&Arc<_>> = plan.limits.iter().chain(of_key).chain(&outside).collect();
            all.iter().position(|limit| Arc::ptr_eq(limit, &state.limit))
        };
        found.sort_by_key(order);
        Ok(found)
    }
}

impl Controls {
    /// The limits that a key brings along.
    fn own_limits(&self, name: &str) -> Option<Arc<OwnLimits>> {
        if let Some(live) = &self.live {
            let snapshot = live.handle.plane.snapshot.load();
            return snapshot.keys.entries().find(|key| &*key.name == name)?.own.clone();
        }
        let config = self.config.lock().clone();
        if let Some(key) = config.auth.keys.iter().find(|key| &*key.name == name) {
            return OwnLimits::of(key.limits.clone());
        }
        let stored = self.registry.lock().key(name).ok().flatten()?;
        OwnLimits::of(stored::own_limits(&stored, &config.server.timezone).ok()?)
    }
}

/// Counts again what the ledger holds of the subject of a scope.
fn fill(
    engine: &Engine,
    reader: &Reader,
    terms: &Terms<'_>,
    (scope, now): (Scope, Timestamp),
) -> Result<(), ControlError> {
    let shared = |name: Option<&str>| name.map(Arc::<str>::from);
    let (mut user, mut team, mut key) = (None, None, None);
    match scope {
        Scope::User => user = Some(Arc::from(terms.subject.user)),
        Scope::Key => key = shared(terms.subject.key),
        Scope::Team => team = shared(terms.subject.team),
        _ => {}
    }
    if (scope == Scope::Key && key.is_none()) || (scope == Scope::Team && team.is_none()) {
        return Ok(());
    }
    let recent = start_of_hour(now.checked_sub(EXACT).map_err(failed)?);
    let query = UsageQuery {
        group_by: vec![Dim::Hour],
        user: user.clone(),
        team: team.clone(),
        key: key.clone(),
        ..UsageQuery::between(Timestamp::UNIX_EPOCH, recent)
    };
    for row in reader.usage(&query)? {
        let hour = row.group.first().and_then(|hour| hour.as_deref()?.parse().ok());
        if let Some(hour) = hour {
            engine.absorb(terms, hour, &amounts(&row.sums));
        }
    }
    let filter = Filter { user, team, key, since: Some(recent), ..Filter::default() };
    for call in reader.calls(&filter, MOST_EXACT)? {
        engine.absorb(terms, call.time, &Actual::of(&call).amounts());
    }
    Ok(())
}

fn start_of_hour(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(3_600)).unwrap_or(at)
}

/// What counters take of sums. A failed call that used nothing gave back its request, and sums do
/// not tell; it is counted here.
fn amounts(sums: &Sums) -> Amounts {
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Amounts {
        admitted: count(sums.calls),
        requests: count(sums.calls),
        successes: count(sums.successes.saturating_add(sums.in_doubt)),
        input_tokens: count(sums.input_tokens),
        output_tokens: count(sums.output_tokens),
        cost: sums.cost_usd,
        units: 0,
    }
}

/// Whether the filters of a limit let a call of this subject through.
pub(super) fn applies(limit: &Limit, subject: &Subject<'_>) -> bool {
    let feature = limit.feature.as_deref().is_none_or(|feature| subject.feature == Some(feature));
    let model = limit.models.is_empty()
        || limit.models.iter().any(|pattern| matches_name(pattern, subject.model));
    let provider = limit.providers.is_empty()
        || limit.providers.iter().any(|name| **name == *subject.provider);
    feature && model && provider
}
