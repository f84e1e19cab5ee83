//! The port of the control plane: what operators may see and change, and the rows that they see.
//!
//! The admin API and the command line speak to [`Control`] and to nothing else, so that both do the
//! same. Whoever implements it keeps three promises: a change is written together with its audit
//! entry in one transaction or not at all, it is in force when the call returns, and what cannot
//! mean anything (an unknown plan, a limit that counts for nobody) is refused with a sentence.
//!
//! With the feature `openapi` the rows describe themselves for the document of the admin API; they
//! know no HTTP beyond that.

mod alerts;
mod amount;
mod audit;
mod calls;
mod estimate;
mod jobs;
mod keys;
mod limits;
mod patch;
mod providers;
mod status;
mod storms;
mod switches;
mod usage;
mod users;

use std::error::Error;
use std::fmt;

use serde::Serialize;
use tollgate_domain::id::CallId;

pub use alerts::{
    AlertEventRow, AlertHistoryQuery, AlertRow, AlertRuleRow, AlertTest, AlertTestRow, NewSilence,
    SilenceRow,
};
pub use amount::{Amount, Written, WrongAmount};
pub use audit::{AuditQuery, AuditRow};
pub use calls::{
    Bodies, Call, CallQuery, DecisionFacts, DowngradeRow, Explanation, PriceFacts, PriceLine,
    WeighedRow,
};
pub use estimate::{Costs, Estimate, EstimateAsk, EstimateDifference, EstimateRow};
pub use jobs::JobRow;
pub use keys::{
    Key, KeyPatch, KeyQuery, KeyRotation, KeySource, KeyState, MadeKey, NewKey, WrittenLimit,
    WrongLimit,
};
pub use limits::{LimitFacts, LimitRow, PlanRow, scope_text};
pub use providers::{ProviderRow, TargetRow};
pub use status::{CounterFacts, LedgerFacts, Status};
pub use storms::StormRow;
pub use switches::{KillSwitch, SwitchChange, SwitchRow};
pub use usage::{UsageAsk, UsageReport};
pub use users::{
    BalanceRow, NewOverride, NewUser, OverrideRow, PlanFrom, TopUp, User, UserPatch, UserQuery,
};

/// Rows on a page where nobody says how many.
pub const USUAL_PAGE: usize = 50;
/// Most rows on a page.
pub const LARGEST_PAGE: usize = 500;

/// Who makes a change, as the audit names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(pub String);

/// Some rows of a list.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to send as `cursor` for the rows behind these; null where there are none.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `size` of these rows; there is another where one more was found. `cursor`
    /// names a row.
    pub fn cut(mut rows: Vec<T>, size: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = rows.len() > size;
        rows.truncate(size);
        let next_cursor = rows.last().filter(|_| more).map(cursor);
        Self { items: rows, next_cursor }
    }
}

/// The size of a page that is meant by a number.
pub fn page_size(asked: Option<u32>) -> Result<usize, ControlError> {
    let Some(asked) = asked else { return Ok(USUAL_PAGE) };
    usize::try_from(asked).ok().filter(|size| (1..=LARGEST_PAGE).contains(size)).ok_or_else(|| {
        ControlError::Invalid(format!("`limit` must be from 1 to {LARGEST_PAGE}, not {asked}"))
    })
}

/// Why something cannot be shown or changed. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nothing has this name or id.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It stands against something that is there.
    #[error("{0}")]
    Conflict(String),
    /// It cannot mean anything.
    #[error("{0}")]
    Invalid(String),
    /// Storage or the program failed.
    #[error("{0}")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// What operators may see and change.
pub trait Control: Send + Sync + fmt::Debug {
    /// Users by name: those that are registered, have called, or have a key.
    fn users(&self, query: &UserQuery) -> Result<Page<User>, ControlError>;
    /// One user, with how every limit stands.
    fn user(&self, name: &str) -> Result<User, ControlError>;
    /// Registers a user.
    fn create_user(&self, by: &Actor, user: NewUser) -> Result<User, ControlError>;
    /// Changes what is decided about a user. Where users are made on first sight this makes one.
    fn change_user(&self, by: &Actor, name: &str, patch: UserPatch) -> Result<User, ControlError>;
    /// Forgets what is decided about a user. The ledger and prepaid balances stay.
    fn delete_user(&self, by: &Actor, name: &str) -> Result<(), ControlError>;
    /// Gives a user another maximum, in the place of an earlier override of the same limit.
    fn set_override(&self, by: &Actor, user: &str, new: NewOverride) -> Result<User, ControlError>;
    /// Takes an override back.
    fn remove_override(&self, by: &Actor, user: &str, limit: &str) -> Result<User, ControlError>;
    /// Pays in on a prepaid balance.
    fn top_up(&self, by: &Actor, user: &str, top_up: TopUp) -> Result<User, ControlError>;

    /// Keys by name: the configuration's and the stored ones.
    fn keys(&self, query: &KeyQuery) -> Result<Page<Key>, ControlError>;
    /// Makes a key.
    fn create_key(&self, by: &Actor, key: NewKey) -> Result<MadeKey, ControlError>;

    /// Changes a key; one of the configuration is changed there.
    fn change_key(&self, by: &Actor, name: &str, patch: KeyPatch) -> Result<Key, ControlError>;

    /// Puts a new key in the place of one.
    fn rotate_key(
        &self,
        by: &Actor,
        name: &str,
        rotation: KeyRotation,
    ) -> Result<MadeKey, ControlError>;
    /// Makes a key useless at once.
    fn revoke_key(&self, by: &Actor, name: &str) -> Result<(), ControlError>;

    /// The plans in force.
    fn plans(&self) -> Result<Vec<PlanRow>, ControlError>;
    /// Every limit in force: those of plans, then those outside.
    fn limits(&self) -> Result<Vec<LimitFacts>, ControlError>;

    /// Calls, newest first.
    fn calls(&self, query: &CallQuery) -> Result<Page<Call>, ControlError>;
    /// One call.
    fn call(&self, id: CallId) -> Result<Call, ControlError>;
    /// The prompt and the answer of a call, where they are kept. Who reads them stands in the audit
    /// like who changes something.
    fn bodies(&self, by: &Actor, id: CallId) -> Result<Bodies, ControlError>;
    /// Why a call was allowed or refused, and how its price comes about.
    fn explain(&self, id: CallId) -> Result<Explanation, ControlError>;
    /// What a prompt would cost.
    fn estimate(&self, ask: &EstimateAsk) -> Result<Estimate, ControlError>;

    /// Sums of calls.
    fn usage(&self, ask: &UsageAsk) -> Result<UsageReport, ControlError>;

    /// What is stopped.
    fn kill_switch(&self) -> Result<KillSwitch, ControlError>;
    /// Stops something, or lets it go on.
    fn switch(&self, by: &Actor, change: SwitchChange) -> Result<KillSwitch, ControlError>;

    /// The last duplicate storms, newest first.
    fn storms(&self) -> Result<Vec<StormRow>, ControlError>;
    /// Lets the subject of a storm call again.
    fn lift_block(&self, by: &Actor, storm: u64) -> Result<StormRow, ControlError>;
    /// The alerts that are open: pending ones and those that fire.
    fn alerts(&self) -> Result<Vec<AlertRow>, ControlError>;
    /// What happened to alerts, newest first.
    fn alert_history(&self, query: &AlertHistoryQuery)
    -> Result<Page<AlertEventRow>, ControlError>;
    /// The rules in force.
    fn alert_rules(&self) -> Result<Vec<AlertRuleRow>, ControlError>;
    /// The silences in force.
    fn silences(&self) -> Result<Vec<SilenceRow>, ControlError>;
    /// Silences what matches.
    fn silence(&self, by: &Actor, new: NewSilence) -> Result<SilenceRow, ControlError>;
    /// Ends a silence.
    fn unsilence(&self, by: &Actor, id: i64) -> Result<(), ControlError>;
    /// Sends a sample through channels, and says what came back.
    fn test_alerts(&self, by: &Actor, test: AlertTest) -> Result<Vec<AlertTestRow>, ControlError>;

    /// Scheduled jobs, and how they stand.
    fn jobs(&self) -> Result<Vec<JobRow>, ControlError>;
    /// Runs a job beside its schedule, and gives it as it stands then: running.
    fn run_job(&self, by: &Actor, name: &str) -> Result<JobRow, ControlError>;

    /// Who changed what, and who read what was said in a call, newest first.
    fn audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>, ControlError>;
    /// Providers by name, and how their targets do.
    fn providers(&self) -> Result<Vec<ProviderRow>, ControlError>;
    /// How the program does.
    fn status(&self) -> Result<Status, ControlError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_only_where_there_are_more_rows() {
        let name = |row: &u8| row.to_string();
        let page = Page::cut(vec![1, 2, 3], 2, name);
        assert_eq!((page.items, page.next_cursor.as_deref()), (vec![1, 2], Some("2")));
        let page = Page::cut(vec![1, 2], 2, name);
        assert_eq!((page.items, page.next_cursor), (vec![1, 2], None));
        assert_eq!(Page::cut(Vec::new(), 2, name).next_cursor, None);
    }

    #[test]
    fn pages_are_bounded() {
        assert_eq!(page_size(None).unwrap(), USUAL_PAGE);
        assert_eq!(page_size(Some(500)).unwrap(), 500);
        for wrong in [0, 501, u32::MAX] {
            assert!(page_size(Some(wrong)).unwrap_err().to_string().contains("1 to 500"));
        }
    }
}
