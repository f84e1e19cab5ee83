//! What alerts decide about users and switches, next to operators: one conditional change each, so that
//! nothing comes between a look and a deed.
//!
//! An alert leaves its mark on what it does. What stands under another mark is somebody else's decision:
//! it is left as it is, and never undone from here.

use jiff::Timestamp;
use tollgate_admission::control::{Actor, ControlError, SwitchChange};
use tollgate_store::{OverrideRecord, UserRecord};

use super::{Controls, Deed, limits};
use crate::config::THROTTLE;

/// What every actor that is an alert begins with.
const ALERT: &str = "alert:";

/// What the deeds of a rule are known by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark<'a> {
    /// The rule.
    pub(crate) rule: &'a str,
    /// Rules that do the same to the same subject and end sooner: their marks may be replaced.
    pub(crate) outlasts: &'a [String],
}

impl Mark<'_> {
    /// Who the audit names.
    fn actor(&self) -> Actor {
        Actor(actor_of(self.rule))
    }

    /// Why, as clients and operators see it.
    fn reason(&self) -> String {
        reason_of(self.rule)
    }

    /// Whether what stands under `found` may be taken for the rule's own; `name` makes a mark of a rule.
    fn may_take(&self, found: &str, name: fn(&str) -> String) -> bool {
        found == name(self.rule) || self.outlasts.iter().any(|rule| found == name(rule))
    }
}

fn actor_of(rule: &str) -> String {
    format!("{ALERT}{rule}")
}

fn reason_of(rule: &str) -> String {
    format!("alert {rule}")
}

impl Controls {
    /// Blocks a user; `false` where somebody else had blocked them before.
    pub(crate) fn block_for(&self, mark: &Mark<'_>, user: &str) -> Result<bool, ControlError> {
        let (by, mut ours) = (mark.actor(), true);
        let deed = Deed { by: &by, action: "user.change", subject: user };
        self.decide(&deed, |change, config| {
            let record = self.registered(change, config, user)?;
            let found = record.blocked_reason.as_deref().unwrap_or_default();
            if record.blocked && found == mark.reason() {
                return Ok(false);
            }
            ours = !record.blocked || mark.may_take(found, reason_of);
            if ours {
                let blocked_reason = Some(mark.reason());
                change.update_user(&UserRecord { blocked: true, blocked_reason, ..record })?;
            }
            Ok(ours)
        })?;
        Ok(ours)
    }

    /// Ends a block, where it is still the rule's own.
    pub(crate) fn unblock_for(&self, mark: &Mark<'_>, user: &str) -> Result<(), ControlError> {
        let by = mark.actor();
        let deed = Deed { by: &by, action: "user.change", subject: user };
        let done = self.decide(&deed, |change, _| {
            let Some(record) = change.user(user)? else { return Ok(false) };
            if !record.blocked || record.blocked_reason != Some(mark.reason()) {
                return Ok(false);
            }
            change.update_user(&UserRecord { blocked: false, blocked_reason: None, ..record })?;
            Ok(true)
        });
        match done {
            // Who is not there any more is not blocked either.
            Ok(_) | Err(ControlError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts the quota of a user at zero until then, or for as long as somebody else has.
    pub(crate) fn zero_for(
        &self,
        mark: &Mark<'_>,
        user: &str,
        until: Timestamp,
    ) -> Result<(), ControlError> {
        let by = mark.actor();
        let deed = Deed { by: &by, action: "user.change", subject: user };
        self.decide(&deed, |change, config| {
            let record = self.registered(change, config, user)?;
            if record.quota_zero_until.is_some_and(|there| there >= until) {
                return Ok(false);
            }
            change.update_user(&UserRecord { quota_zero_until: Some(until), ..record })?;
            Ok(true)
        })?;
        Ok(())
    }

    /// Lowers the limit by which users are throttled to `max`; `false` where an operator has decided
    /// about it for this user.
    pub(crate) fn throttle_for(
        &self,
        mark: &Mark<'_>,
        user: &str,
        (max, until): (u32, Option<Timestamp>),
    ) -> Result<bool, ControlError> {
        let plan = self.plan_of(user)?;
        let (by, mut ours) = (mark.actor(), true);
        let deed = Deed { by: &by, action: "override.set", subject: user };
        self.decide(&deed, |change, config| {
            let limit = limits::limit(config, &plan, THROTTLE)?;
            self.registered(change, config, user)?;
            let now = self.clock.now();
            let there = change
                .overrides_of(user)?
                .into_iter()
                .find(|it| it.limit == *limit.name && it.until.is_none_or(|until| until > now));
            ours = there.as_ref().is_none_or(|it| it.created_by.starts_with(ALERT));
            let end = |until: Option<Timestamp>| until.unwrap_or(Timestamp::MAX);
            if !ours || there.as_ref().is_some_and(|it| end(it.until) >= end(until)) {
                return Ok(false);
            }
            change.set_override(&OverrideRecord {
                user: user.to_owned(),
                limit: limit.name.to_string(),
                max: Some(i64::from(max)),
                until,
                created_at: now,
                created_by: by.0.clone(),
            })?;
            Ok(true)
        })?;
        Ok(ours)
    }

    /// Stops calls; `false` where somebody else had stopped them before.
    pub(crate) fn stop_for(&self, mark: &Mark<'_>, scope: String) -> Result<bool, ControlError> {
        let change = SwitchChange { on: true, scope: Some(scope), reason: Some(mark.reason()) };
        let (_, ours) = self.change_switch_where(&mark.actor(), change, |found| {
            found.is_none_or(|found| mark.may_take(&found.by, actor_of))
        })?;
        Ok(ours)
    }

    /// Lets calls go on, where they are still stopped by the rule.
    pub(crate) fn resume_for(&self, mark: &Mark<'_>, scope: String) -> Result<(), ControlError> {
        let change = SwitchChange { on: false, scope: Some(scope), reason: None };
        let own = mark.actor();
        self.change_switch_where(&own, change, |found| found.is_some_and(|it| it.by == own.0))?;
        Ok(())
    }
}
