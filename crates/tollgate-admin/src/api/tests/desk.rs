//! A control plane of canned answers that remembers who changed something.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use tollgate_admission::control::{
    Actor, AlertEventRow, AlertHistoryQuery, AlertRow, AlertRuleRow, AlertTest, AlertTestRow,
    Amount, AuditQuery, AuditRow, Bodies, Call, CallQuery, Control, ControlError, Estimate,
    EstimateAsk, Explanation, JobRow, Key, KeyPatch, KeyQuery, KeyRotation, KeySource, KeyState,
    KillSwitch, LimitFacts, MadeKey, NewKey, NewOverride, NewSilence, NewUser, OverrideRow, Page,
    PlanFrom, PlanRow, ProviderRow, SilenceRow, Status, StormRow, SwitchChange, TopUp, UsageAsk,
    UsageReport, User, UserPatch, UserQuery, page_size,
};
use tollgate_domain::call::{CacheState, CallRecord, Dialect, Outcome};
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

/// The one call that there is.
pub(super) const CALL: &str = "019a0000-0000-7000-8000-000000000000";

#[derive(Debug, Default)]
pub(super) struct Desk(Mutex<Vec<String>>);

impl Desk {
    /// Who made changes or read what is audited, one name each.
    pub(super) fn changes(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    fn changed(&self, by: &Actor) {
        self.0.lock().push(by.0.clone());
    }

    fn user_after(&self, by: &Actor, name: &str) -> User {
        self.changed(by);
        user(name)
    }

    fn made(&self, by: &Actor, name: &str) -> MadeKey {
        self.changed(by);
        MadeKey {
            name: name.to_owned(),
            key: "tg_secret".to_owned(),
            role: "service".to_owned(),
            user: name.to_owned(),
            expires_at: None,
            old_until: None,
        }
    }
}

fn job() -> JobRow {
    JobRow {
        name: "purge".to_owned(),
        configured: true,
        enabled: true,
        schedule: Some("0 3 * * *".to_owned()),
        timezone: Some("Asia/Seoul".to_owned()),
        running: false,
        last_started: None,
        last_ended: None,
        outcome: None,
        message: None,
        last_success: None,
        next: "2026-11-21T18:00:00Z".parse().ok(),
    }
}

fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        plan: "free".to_owned(),
        plan_from: PlanFrom::Default,
        team: None,
        blocked: false,
        blocked_reason: None,
        quota_zero_until: None,
        registered: true,
        created_at: Some(Timestamp::UNIX_EPOCH),
        overrides: vec![OverrideRow {
            limit: "daily".to_owned(),
            max: Amount::Count(0),
            until: None,
            by: "ops".to_owned(),
        }],
        balances: Vec::new(),
        limits: None,
    }
}

fn storm(id: u64) -> StormRow {
    StormRow {
        id,
        time: Timestamp::UNIX_EPOCH,
        user: "alice".to_owned(),
        key: "backend".to_owned(),
        session: None,
        endpoint: "/v1/chat/completions".to_owned(),
        model: "gpt-4o".to_owned(),
        calls: 20,
        action: "block".to_owned(),
        blocked_until: None,
    }
}

fn key(name: &str) -> Key {
    Key {
        name: name.to_owned(),
        prefix: None,
        role: "service".to_owned(),
        user: name.to_owned(),
        team: None,
        plan: None,
        state: KeyState::Good,
        created_at: None,
        expires_at: None,
        revoked_at: None,
        models: Vec::new(),
        providers: Vec::new(),
        networks: Vec::new(),
        on_disconnect: None,
        limits: Vec::new(),
        source: KeySource::Database,
    }
}

fn call() -> Call {
    Call(CallRecord {
        call_id: CALL.parse().unwrap(),
        request_id: "r".into(),
        time: Timestamp::UNIX_EPOCH,
        user: "alice".into(),
        key: None,
        team: None,
        ip: None,
        session: None,
        feature: None,
        tags: vec![(Arc::from("stage"), Arc::from("test"))],
        dialect: Dialect::Openai,
        endpoint: "/v1/chat/completions".into(),
        provider: "openai".into(),
        model_asked: "gpt-4o-mini".into(),
        model: "gpt-4o-mini".into(),
        stream: false,
        status: 200,
        outcome: Outcome::Success,
        error_type: None,
        attempts: 1,
        cache: CacheState::Miss,
        usage: Usage::tokens(8, 9),
        cost: NanoUsd::from_nanos(6_600),
        provider_cost: None,
        saved: NanoUsd::ZERO,
        repetition: None,
        price_version: "book".into(),
        estimated: false,
        latency_us: 412_000,
        ttft_us: None,
        trace: None,
        decision: None,
        tries: Vec::new(),
    })
}

fn page<T>(items: Vec<T>) -> Page<T> {
    Page { items, next_cursor: None }
}

fn switches() -> KillSwitch {
    KillSwitch { on: false, switches: Vec::new() }
}

impl Control for Desk {
    fn users(&self, query: &UserQuery) -> Result<Page<User>, ControlError> {
        page_size(query.limit).map(|_| page(vec![user("alice")]))
    }

    fn user(&self, name: &str) -> Result<User, ControlError> {
        if name == "alice" {
            return Ok(user(name));
        }
        Err(ControlError::NotFound { what: "user", name: name.to_owned() })
    }

    fn create_user(&self, by: &Actor, new: NewUser) -> Result<User, ControlError> {
        Ok(self.user_after(by, &new.name))
    }

    fn change_user(&self, by: &Actor, name: &str, _: UserPatch) -> Result<User, ControlError> {
        Ok(self.user_after(by, name))
    }

    fn delete_user(&self, by: &Actor, _: &str) -> Result<(), ControlError> {
        self.changed(by);
        Ok(())
    }

    fn set_override(&self, by: &Actor, user: &str, _: NewOverride) -> Result<User, ControlError> {
        Ok(self.user_after(by, user))
    }

    fn remove_override(&self, by: &Actor, user: &str, _: &str) -> Result<User, ControlError> {
        Ok(self.user_after(by, user))
    }

    fn top_up(&self, by: &Actor, user: &str, _: TopUp) -> Result<User, ControlError> {
        Ok(self.user_after(by, user))
    }

    fn keys(&self, _: &KeyQuery) -> Result<Page<Key>, ControlError> {
        Ok(page(Vec::new()))
    }

    fn create_key(&self, by: &Actor, key: NewKey) -> Result<MadeKey, ControlError> {
        Ok(self.made(by, &key.name))
    }

    fn change_key(&self, by: &Actor, name: &str, _: KeyPatch) -> Result<Key, ControlError> {
        self.changed(by);
        Ok(key(name))
    }

    fn rotate_key(&self, by: &Actor, name: &str, _: KeyRotation) -> Result<MadeKey, ControlError> {
        Ok(self.made(by, name))
    }

    fn revoke_key(&self, by: &Actor, _: &str) -> Result<(), ControlError> {
        self.changed(by);
        Ok(())
    }

    fn plans(&self) -> Result<Vec<PlanRow>, ControlError> {
        Ok(Vec::new())
    }

    fn limits(&self) -> Result<Vec<LimitFacts>, ControlError> {
        Ok(Vec::new())
    }

    fn calls(&self, query: &CallQuery) -> Result<Page<Call>, ControlError> {
        page_size(query.limit).map(|_| page(vec![call()]))
    }

    fn call(&self, _: CallId) -> Result<Call, ControlError> {
        Ok(call())
    }

    fn bodies(&self, by: &Actor, id: CallId) -> Result<Bodies, ControlError> {
        self.changed(by);
        Ok(Bodies {
            call_id: id.to_string(),
            redacted: true,
            prompt: Some("a prompt of [email]".to_owned()),
            answer: None,
            prompt_bytes: 19,
            answer_bytes: 0,
        })
    }

    fn explain(&self, _: CallId) -> Result<Explanation, ControlError> {
        Ok(Explanation {
            call: call(),
            decision: "allowed".to_owned(),
            why: "every limit covered it".to_owned(),
            plan: "free".to_owned(),
            hold_usd: None,
            decided: None,
            price: None,
            limits: Vec::new(),
        })
    }

    fn estimate(&self, _: &EstimateAsk) -> Result<Estimate, ControlError> {
        Ok(Estimate {
            calls_per_month: 1,
            currency: "USD".to_owned(),
            usd_rate: "1".to_owned(),
            rows: Vec::new(),
            differences: Vec::new(),
        })
    }

    fn usage(&self, _: &UsageAsk) -> Result<UsageReport, ControlError> {
        Ok(UsageReport {
            from: "2026-11-01".to_owned(),
            to: "2026-11-30".to_owned(),
            timezone: "UTC".to_owned(),
            total_cost_usd: NanoUsd::ZERO,
            calls: 0,
            rows: Vec::new(),
        })
    }

    fn kill_switch(&self) -> Result<KillSwitch, ControlError> {
        Ok(switches())
    }

    fn switch(&self, by: &Actor, _: SwitchChange) -> Result<KillSwitch, ControlError> {
        self.changed(by);
        Ok(switches())
    }

    fn storms(&self) -> Result<Vec<StormRow>, ControlError> {
        Ok(vec![storm(1)])
    }

    fn lift_block(&self, by: &Actor, id: u64) -> Result<StormRow, ControlError> {
        self.changed(by);
        Ok(storm(id))
    }

    fn alerts(&self) -> Result<Vec<AlertRow>, ControlError> {
        Ok(Vec::new())
    }

    fn alert_history(
        &self,
        query: &AlertHistoryQuery,
    ) -> Result<Page<AlertEventRow>, ControlError> {
        page_size(query.limit).map(|_| page(Vec::new()))
    }

    fn alert_rules(&self) -> Result<Vec<AlertRuleRow>, ControlError> {
        Ok(Vec::new())
    }

    fn silences(&self) -> Result<Vec<SilenceRow>, ControlError> {
        Ok(Vec::new())
    }

    fn silence(&self, by: &Actor, new: NewSilence) -> Result<SilenceRow, ControlError> {
        self.changed(by);
        Ok(SilenceRow {
            id: 1,
            matchers: new.matchers,
            reason: String::new(),
            by: by.0.clone(),
            from: Timestamp::UNIX_EPOCH,
            until: new.until,
        })
    }

    fn unsilence(&self, by: &Actor, _: i64) -> Result<(), ControlError> {
        self.changed(by);
        Ok(())
    }

    fn test_alerts(&self, by: &Actor, _: AlertTest) -> Result<Vec<AlertTestRow>, ControlError> {
        self.changed(by);
        Ok(Vec::new())
    }

    fn jobs(&self) -> Result<Vec<JobRow>, ControlError> {
        Ok(vec![job()])
    }

    fn run_job(&self, by: &Actor, name: &str) -> Result<JobRow, ControlError> {
        if name != "purge" {
            return Err(ControlError::NotFound { what: "job", name: name.to_owned() });
        }
        self.changed(by);
        Ok(JobRow { running: true, ..job() })
    }

    fn audit(&self, _: &AuditQuery) -> Result<Page<AuditRow>, ControlError> {
        Ok(page(Vec::new()))
    }

    fn providers(&self) -> Result<Vec<ProviderRow>, ControlError> {
        Ok(Vec::new())
    }

    fn status(&self) -> Result<Status, ControlError> {
        Ok(Status {
            version: "0".to_owned(),
            config: "environment".to_owned(),
            started_at: None,
            ready: true,
            obstacle: None,
            kill_switch: false,
            providers: Vec::new(),
            registered_users: 0,
            keys: 0,
            ledger: None,
            counters: None,
        })
    }
}
