//! Plans and limits of the configuration, and which of them a name means for a user.

use std::sync::Arc;

use tollgate_admission::control::{ControlError, LimitFacts, PlanRow};
use tollgate_domain::limit::{Limit, Plan, Scope};

use crate::config::Config;

/// The plans in force.
pub(super) fn plans(config: &Config) -> Vec<PlanRow> {
    let row = |plan: &Plan| PlanRow {
        name: plan.name.to_string(),
        default: plan.name == config.auth.default_plan,
        guests: config.auth.guests.as_ref() == Some(&plan.name),
        limits: facts_of(plan).collect(),
    };
    config.plans.values().map(row).collect()
}

/// Every limit in force: those of plans, then those outside.
pub(crate) fn limits(config: &Config) -> Vec<LimitFacts> {
    let outside = config.limits.iter().map(|limit| LimitFacts::of(limit, None));
    config.plans.values().flat_map(facts_of).chain(outside).collect()
}

fn facts_of(plan: &Plan) -> impl Iterator<Item = LimitFacts> + '_ {
    plan.limits.iter().map(|limit| LimitFacts::of(limit, Some(&plan.name)))
}

/// The plan of this name, else the default one.
pub(super) fn plan(config: &Config, name: &str) -> Plan {
    let default = &config.auth.default_plan;
    let plan = config.plans.get(name).or_else(|| config.plans.get(default)).cloned();
    plan.unwrap_or_else(|| Plan { name: Arc::clone(default), limits: Vec::new() })
}

/// The limit that a name means for a user on this plan: one of the plan, or one outside plans that
/// counts by user, or one of another plan, on which the user may be later.
pub(super) fn limit<'a>(
    config: &'a Config,
    plan: &str,
    name: &str,
) -> Result<&'a Arc<Limit>, ControlError> {
    let own = config.plans.get(plan);
    let own = own.into_iter().flat_map(|plan| &plan.limits);
    let outside = config.limits.iter().filter(|limit| limit.scope.contains(&Scope::User));
    let others = config.plans.values().flat_map(|plan| &plan.limits);
    let mut all = own.clone().chain(outside.clone()).chain(others);
    if let Some(limit) = all.find(|limit| *limit.name == *name) {
        return Ok(limit);
    }
    if config.limits.iter().any(|limit| *limit.name == *name) {
        return Err(ControlError::Invalid(format!(
            "the limit `{name}` does not count by user, so one user cannot have another maximum"
        )));
    }
    let names: Vec<&str> = own.chain(outside).map(|limit| &*limit.name).collect();
    Err(ControlError::Invalid(format!(
        "there is no limit `{name}`; the limits of plan `{plan}` and those that count by user are: {}",
        names.join(", ")
    )))
}
