//! Users: what is decided about them, and how their limits stand.

use std::collections::BTreeSet;
use std::sync::Arc;

use tollgate_admission::control::{
    Actor, Amount, BalanceRow, ControlError, NewOverride, NewUser, OverrideRow, Page, PlanFrom,
    TopUp, User, UserPatch, UserQuery, page_size,
};
use tollgate_admission::directory::UserState;
use tollgate_domain::limit::{Metric, Window};
use tollgate_proxy::past::Users;
use tollgate_store::{Change, OverrideRecord, Registry, TopUpRecord, UserRecord};

use super::facts::{Facts, KeyTerms};
use super::{Controls, Deed, Live, check_known, check_name, limits};
use crate::config::Config;
use crate::serve::{self, RuleChange, Rules};

impl Controls {
    pub(super) fn list_users(&self, query: &UserQuery) -> Result<Page<User>, ControlError> {
        let size = page_size(query.limit)?;
        let prefix = query.prefix.as_deref().unwrap_or_default();
        let after = query.cursor.as_deref();
        let registry = self.registry.lock();
        let config = self.config.lock();
        let stored = registry.user_names(prefix, after, size + 1)?;
        let mut names: BTreeSet<String> = stored.into_iter().collect();
        let configured = config.auth.keys.iter().map(|key| &key.user);
        let wanted = configured
            .filter(|name| name.starts_with(prefix) && after.is_none_or(|after| &***name > after));
        names.extend(wanted.map(ToString::to_string));
        let names: Vec<String> = names.into_iter().take(size + 1).collect();
        let Page { items, next_cursor } = Page::cut(names, size, Clone::clone);
        let terms = KeyTerms::of(&config, &registry)?;
        let users = items.into_iter().map(|name| {
            let facts = Facts::of(&registry, &name)?;
            Ok(describe(&config, &terms, &name, &facts))
        });
        Ok(Page { items: users.collect::<Result<_, ControlError>>()?, next_cursor })
    }

    pub(super) fn show_user(&self, name: &str) -> Result<User, ControlError> {
        let (user, facts) = {
            let registry = self.registry.lock();
            let config = self.config.lock();
            let terms = KeyTerms::of(&config, &registry)?;
            let facts = Facts::of(&registry, name)?;
            let known =
                facts.record.is_some() || terms.knows(name) || registry.user_is_seen(name)?;
            // A first call that has not reached the database yet makes a user as well.
            if !known && (self.reader().is_err() || !registry.user_is_seen(name)?) {
                return Err(ControlError::NotFound { what: "user", name: name.to_owned() });
            }
            (describe(&config, &terms, name, &facts), facts)
        };
        let limits = self.standing(&user, &facts.overlay())?;
        Ok(User { limits: Some(limits), ..user })
    }

    pub(super) fn register_user(&self, by: &Actor, new: NewUser) -> Result<User, ControlError> {
        let NewUser { name, plan, team } = new;
        check_name("user", &name)?;
        let now = self.clock.now();
        let deed = Deed { by, action: "user.create", subject: &name };
        self.decide(&deed, |change, config| {
            check_terms(config, plan.as_deref(), team.as_deref())?;
            let record = UserRecord { plan, team, ..blank(&name, now) };
            change.insert_user(&record)?;
            Ok(true)
        })
    }

    pub(super) fn patch_user(
        &self,
        by: &Actor,
        name: &str,
        patch: UserPatch,
    ) -> Result<User, ControlError> {
        let deed = Deed { by, action: "user.change", subject: name };
        self.decide(&deed, |change, config| {
            let plan = patch.plan.as_ref().and_then(Option::as_deref);
            check_terms(config, plan, patch.team.as_ref().and_then(Option::as_deref))?;
            let record = self.registered(change, config, name)?;
            change.update_user(&patched(record, patch))?;
            Ok(true)
        })
    }

    pub(super) fn forget_user(&self, by: &Actor, name: &str) -> Result<(), ControlError> {
        let registry = self.registry.lock();
        let config = self.config.lock();
        let terms = KeyTerms::of(&config, &registry)?;
        let deed = Deed { by, action: "user.delete", subject: name };
        registry.change(|change| {
            let before = describe(&config, &terms, name, &Facts::within(change, name)?);
            change.delete_user(name)?;
            deed.note(change, &self.clock, (Some(&before), None::<&User>))
        })?;
        if let Some(live) = &self.live {
            put_in_force(live, &config, name, None);
        }
        Ok(())
    }

    pub(super) fn override_limit(
        &self,
        by: &Actor,
        user: &str,
        new: NewOverride,
    ) -> Result<User, ControlError> {
        let NewOverride { limit, max, until } = new;
        let plan = self.plan_of(user)?;
        let deed = Deed { by, action: "override.set", subject: user };
        self.decide(&deed, |change, config| {
            let limit = limits::limit(config, &plan, &limit)?;
            let max = max.maximum(limit.metric);
            let now = self.clock.now();
            if until.is_some_and(|until| until <= now) {
                return Err(ControlError::Invalid("`until` lies in the past".to_owned()));
            }
            self.registered(change, config, user)?;
            change.set_override(&OverrideRecord {
                user: user.to_owned(),
                limit: limit.name.to_string(),
                max: max.map_err(|wrong| ControlError::Invalid(wrong.to_string()))?,
                until,
                created_at: now,
                created_by: by.0.clone(),
            })?;
            Ok(true)
        })
    }

    pub(super) fn take_override_back(
        &self,
        by: &Actor,
        user: &str,
        limit: &str,
    ) -> Result<User, ControlError> {
        let deed = Deed { by, action: "override.remove", subject: user };
        self.decide(&deed, |change, _| {
            change.remove_override(user, limit)?;
            Ok(true)
        })
    }

    pub(super) fn pay_in(&self, by: &Actor, user: &str, new: TopUp) -> Result<User, ControlError> {
        let plan = self.plan_of(user)?;
        let deed = Deed { by, action: "balance.top_up", subject: user };
        self.decide(&deed, |change, config| {
            let limit = limits::limit(config, &plan, &new.limit)?;
            if limit.window != Window::Balance {
                return Err(ControlError::Invalid(format!(
                    "the limit `{}` is no prepaid balance: its window is `{}`",
                    limit.name, limit.window
                )));
            }
            let amount = new.amount.count(limit.metric);
            let amount = amount.map_err(|wrong| ControlError::Invalid(wrong.to_string()))?;
            self.registered(change, config, user)?;
            Ok(change.top_up(&TopUpRecord {
                user: user.to_owned(),
                limit: limit.name.to_string(),
                amount,
                reference: new.reference,
                time: self.clock.now(),
                by: by.0.clone(),
            })?)
        })
    }

    /// Does `work` about a user in one transaction with its audit entry, and puts it in force.
    /// `work` says whether anything has changed.
    pub(super) fn decide(
        &self,
        deed: &Deed<'_>,
        work: impl FnOnce(&Change<'_>, &Config) -> Result<bool, ControlError>,
    ) -> Result<User, ControlError> {
        let name = deed.subject;
        check_name("user", name)?;
        {
            let registry = self.registry.lock();
            let config = self.config.lock();
            let terms = KeyTerms::of(&config, &registry)?;
            let facts = registry.change(|change| {
                let before = Facts::within(change, name)?;
                if !work(change, &config)? {
                    return Ok(before);
                }
                let after = Facts::within(change, name)?;
                let show = |facts: &Facts| describe(&config, &terms, name, facts);
                let was = before.record.is_some().then(|| show(&before));
                deed.note(change, &self.clock, (was.as_ref(), Some(&show(&after))))?;
                Ok::<_, ControlError>(after)
            })?;
            if let (Some(live), Some(state)) = (&self.live, facts.state()) {
                put_in_force(live, &config, name, Some(&Arc::new(state)));
            }
        }
        self.show_user(name)
    }

    /// The record of a user; made on first sight where that is allowed.
    pub(super) fn registered(
        &self,
        change: &Change<'_>,
        config: &Config,
        name: &str,
    ) -> Result<UserRecord, ControlError> {
        if let Some(record) = change.user(name)? {
            return Ok(record);
        }
        if !config.auth.auto_register {
            return Err(ControlError::NotFound { what: "user", name: name.to_owned() });
        }
        let record = blank(name, self.clock.now());
        change.insert_user(&record)?;
        Ok(record)
    }

    /// The plan of a user as it is now.
    pub(super) fn plan_of(&self, name: &str) -> Result<String, ControlError> {
        let registry = self.registry.lock();
        let config = self.config.lock();
        let terms = KeyTerms::of(&config, &registry)?;
        Ok(describe(&config, &terms, name, &Facts::of(&registry, name)?).plan)
    }

    /// A user as stored, without limits; for other questions about the user.
    pub(super) fn user_now(
        &self,
        registry: &Registry,
        name: &str,
    ) -> Result<(User, Facts), ControlError> {
        let config = self.config.lock();
        let terms = KeyTerms::of(&config, registry)?;
        let facts = Facts::of(registry, name)?;
        Ok((describe(&config, &terms, name, &facts), facts))
    }
}

/// Puts in force what is decided about a user. On another plan the user goes on with what was used.
fn put_in_force(live: &Live, config: &Config, name: &str, state: Option<&Arc<UserState>>) {
    let plane = &live.handle.plane;
    let (snapshot, outside) = (&*plane.snapshot.load_full(), &*config.limits);
    let before = plane.directory.get(name);
    let plan = |state: Option<&Arc<UserState>>| state.and_then(|it| it.plan.clone());
    let now = Users::But(&plane.directory, name, state);
    let change = RuleChange {
        before: Rules { snapshot, outside, users: Users::Of(&plane.directory) },
        after: Rules { snapshot, outside, users: now },
        user: Some(name),
        moves: plan(before.as_ref()) != plan(state),
    };
    serve::put_in_force(&live.handle, &change, || match state {
        Some(state) => plane.directory.put(name, Arc::clone(state)),
        None => plane.directory.remove(name),
    });
}

fn check_terms(
    config: &Config,
    plan: Option<&str>,
    team: Option<&str>,
) -> Result<(), ControlError> {
    if let Some(plan) = plan {
        check_known("plan", plan, config.plans.keys())?;
    }
    team.map_or(Ok(()), |team| check_name("team", team))
}

fn blank(name: &str, now: jiff::Timestamp) -> UserRecord {
    UserRecord {
        name: name.to_owned(),
        plan: None,
        team: None,
        blocked: false,
        blocked_reason: None,
        quota_zero_until: None,
        created_at: now,
    }
}

fn patched(record: UserRecord, patch: UserPatch) -> UserRecord {
    let blocked = patch.blocked.unwrap_or(record.blocked);
    let reason = patch.blocked_reason.unwrap_or(record.blocked_reason);
    UserRecord {
        plan: patch.plan.unwrap_or(record.plan),
        team: patch.team.unwrap_or(record.team),
        blocked,
        blocked_reason: reason.filter(|_| blocked),
        quota_zero_until: patch.quota_zero_until.unwrap_or(record.quota_zero_until),
        ..record
    }
}

/// A user as operators see it, without how its limits stand.
fn describe(config: &Config, terms: &KeyTerms, name: &str, facts: &Facts) -> User {
    let record = facts.record.as_ref();
    let decided = record.and_then(|record| record.plan.as_deref());
    // A plan that the configuration no longer has is the default one, as in the data plane.
    let default = &*config.auth.default_plan;
    let (plan, plan_from) = match (decided, terms.plan(name)) {
        (Some(plan), _) | (None, Some(plan)) if !config.plans.contains_key(plan) => {
            (default, PlanFrom::Default)
        }
        (Some(plan), _) => (plan, PlanFrom::User),
        (None, Some(plan)) => (plan, PlanFrom::Key),
        (None, None) => (default, PlanFrom::Default),
    };
    let metric = |limit: &str| limits::limit(config, plan, limit).map(|limit| limit.metric);
    let metric = |limit: &str| metric(limit).unwrap_or(Metric::Units);
    User {
        name: name.to_owned(),
        plan: plan.to_owned(),
        plan_from,
        team: record
            .and_then(|record| record.team.clone())
            .or_else(|| terms.team(name).map(str::to_owned)),
        blocked: record.is_some_and(|record| record.blocked),
        blocked_reason: record.and_then(|record| record.blocked_reason.clone()),
        quota_zero_until: record.and_then(|record| record.quota_zero_until),
        registered: record.is_some(),
        created_at: record.map(|record| record.created_at),
        overrides: facts
            .overrides
            .iter()
            .map(|entry| OverrideRow {
                limit: entry.limit.clone(),
                max: Amount::maximum(metric(&entry.limit), entry.max),
                until: entry.until,
                by: entry.created_by.clone(),
            })
            .collect(),
        balances: facts
            .balances
            .iter()
            .map(|entry| BalanceRow {
                limit: entry.limit.clone(),
                paid_in: Amount::of(metric(&entry.limit), entry.paid_in),
            })
            .collect(),
        limits: None,
    }
}
