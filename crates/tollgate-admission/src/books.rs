//! The port to what is kept beside the ledger for the callers' own API: sums of what was spent,
//! actions that hold an amount (SPEC §6.6), and usage that happened elsewhere.
//!
//! Every method may wait for a disk, so it is called where blocking is allowed. Nothing here decides:
//! limits are asked in the engine, who may see what is the caller's concern.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_domain::call::CallRecord;
use tollgate_domain::id::CallId;
use tollgate_domain::limit::Metric;
use tollgate_domain::money::NanoUsd;

/// What is kept beside the ledger.
pub trait Books: Send + Sync + fmt::Debug {
    /// Sums of the calls of one user, with all that were answered by now. Rows are ordered by their
    /// values; there is none where there was no call.
    fn billing(&self, query: &BillingQuery) -> Result<Vec<BillingRow>, BooksError>;

    /// Keeps an action that was granted.
    fn put_action(&self, action: &Action) -> Result<(), BooksError>;

    /// An action, as it stands or ended.
    fn action(&self, id: CallId) -> Result<Option<Action>, BooksError>;

    /// Ends an action that stands and has not run out at `now`; one that has run out ends as that.
    /// `None` where there is no such action.
    fn end_action(
        &self,
        id: CallId,
        how: ActionEnd,
        now: Timestamp,
    ) -> Result<Option<EndedAction>, BooksError>;

    /// Takes up events, all or none. Says of each whether it is new; an event that was taken up
    /// before, or stands twice in the list, is not. From here on they survive a crash.
    fn take_events(&self, events: &[UsageEvent], now: Timestamp) -> Result<Vec<bool>, BooksError>;

    /// The call that has used an idempotency key since then and may have cost something, or was
    /// answered: by the digest of the key. `newest` waits for the calls that have just ended.
    fn repeated(
        &self,
        key: [u8; 16],
        since: Timestamp,
        newest: bool,
    ) -> Result<Option<Repeated>, BooksError>;

    /// Notes that the ledger has the rows of these events.
    fn events_recorded(&self, events: &[UsageEvent]) -> Result<(), BooksError>;
}

/// A call that has used an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// Its id.
    pub call_id: CallId,
    /// Digest of its request.
    pub request: [u8; 16],
}

/// Which sums are wanted.
#[derive(Clone, Debug)]
pub struct BillingQuery {
    /// Whose calls.
    pub user: Arc<str>,
    /// Calls that arrived at this time or later.
    pub from: Timestamp,
    /// Calls that arrived before this time.
    pub to: Timestamp,
    /// The zone of days and months.
    pub zone: TimeZone,
    /// What the rows are, outermost first: words of `GET /api/billing`.
    pub group_by: Vec<String>,
}

/// One row of sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BillingRow {
    /// A value for each of `group_by`.
    pub group: Vec<Option<Arc<str>>>,
    /// Calls that were admitted.
    pub calls: u64,
    /// Input tokens, all kinds.
    pub input_tokens: u64,
    /// Of these: read from the provider's cache.
    pub cached_input_tokens: u64,
    /// Output tokens, all kinds.
    pub output_tokens: u64,
    /// What it cost.
    pub cost: NanoUsd,
}

/// An amount that is set aside for something that is not a call, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its id.
    pub id: CallId,
    /// Who pays.
    pub user: Arc<str>,
    /// Name of the key that asked for it.
    pub key: Arc<str>,
    /// Team of the user.
    pub team: Option<Arc<str>>,
    /// The address that asked, as limits count it.
    pub ip: Option<Arc<str>>,
    /// What the application calls it.
    pub feature: Option<Arc<str>>,
    /// The plan it was granted on.
    pub plan: Arc<str>,
    /// What is counted.
    pub metric: Metric,
    /// How much was set aside, in the integer of the metric.
    pub amount: i64,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// How it stands.
    pub state: ActionState,
    /// How much was used in the end.
    pub used: i64,
}

/// How an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionState {
    /// It holds its amount.
    Standing,
    /// It was turned into what was used.
    Committed,
    /// It was given back.
    Released,
    /// It ended by itself.
    Expired,
}

impl ActionState {
    /// The word that documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// How an action is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionEnd {
    /// So much was used; `None` is what was set aside.
    Commit(Option<i64>),
    /// Nothing was.
    Release,
}

/// An action that has ended, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedAction {
    /// The action.
    pub action: Action,
    /// Whether it was ended as asked, just now.
    pub now: bool,
}

/// A piece of usage that happened elsewhere.
#[derive(Clone, Debug)]
pub struct UsageEvent {
    /// Where it comes from, as the sender names it; empty where it does not.
    pub source: Arc<str>,
    /// Its id, unique within key and source.
    pub id: Arc<str>,
    /// Its row of the ledger, under the name of the key that sent it.
    pub record: Arc<CallRecord>,
    /// The plan of its user.
    pub plan: Arc<str>,
    /// Units that it used; kept as an action that was committed.
    pub units: i64,
}

impl UsageEvent {
    /// The key that sent it.
    pub fn sender(&self) -> &str {
        self.record.key.as_deref().unwrap_or_default()
    }

    /// The action under which its units are kept, where it has any.
    pub fn action(&self) -> Option<Action> {
        let record = &self.record;
        (self.units != 0).then(|| Action {
            id: record.call_id,
            user: Arc::clone(&record.user),
            key: Arc::from(self.sender()),
            team: record.team.clone(),
            ip: record.ip.clone(),
            feature: record.feature.clone(),
            plan: Arc::clone(&self.plan),
            metric: Metric::Units,
            amount: self.units,
            created_at: record.time,
            expires_at: None,
            state: ActionState::Committed,
            used: self.units,
        })
    }
}

/// Why the books cannot say or keep something. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The question cannot mean anything.
    #[error("{0}")]
    Invalid(String),
    /// Storage failed.
    #[error("{0}")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}
