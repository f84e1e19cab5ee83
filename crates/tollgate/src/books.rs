//! The books over the database: what the callers' own API asks beside the ledger.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use jiff::Timestamp;
use parking_lot::Mutex;
use tollgate_admission::books::{
    Action, ActionEnd, BillingQuery, BillingRow, Books, BooksError, EndedAction, Repeated,
    UsageEvent,
};
use tollgate_domain::id::CallId;
use tollgate_store::{Dim, Reader, Registry, SqliteLedger, UsageQuery, UsageRow};

/// How long a question about calls waits for the newest ones to reach the database.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Most rows of one report.
const MOST_ROWS: usize = 50_000;

/// The books of a running server.
pub(crate) struct StoreBooks {
    database: PathBuf,
    ledger: Arc<SqliteLedger>,
    registry: Mutex<Registry>,
    /// Opened on the first question; one at a time is asked.
    reader: Mutex<Option<Reader>>,
    /// The same for idempotency keys, so that they do not wait for reports.
    key_reader: Mutex<Option<Reader>>,
}

impl fmt::Debug for StoreBooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBooks").field("database", &self.database).finish_non_exhaustive()
    }
}

fn failed(error: impl Into<anyhow::Error>) -> BooksError {
    BooksError::Failed(error.into().into())
}

impl StoreBooks {
    /// The books of this database, which `ledger` writes.
    pub(crate) fn open(database: &Path, ledger: &Arc<SqliteLedger>) -> anyhow::Result<Self> {
        Ok(Self {
            database: database.to_owned(),
            ledger: Arc::clone(ledger),
            registry: Mutex::new(Registry::open(database)?),
            reader: Mutex::new(None),
            key_reader: Mutex::new(None),
        })
    }

    fn call_of(
        &self,
        key: [u8; 16],
        since: Timestamp,
        newest: bool,
    ) -> anyhow::Result<Option<Repeated>> {
        let mut held = self.key_reader.lock();
        let reader = match held.take() {
            Some(reader) => reader,
            None => Reader::open(&self.database)?,
        };
        if newest {
            self.ledger.hurry();
            ensure!(reader.catch_up(CATCH_UP)?, "the newest calls are not in the database yet");
        }
        let found = reader.repeated(key, since)?;
        *held = Some(reader);
        Ok(found)
    }

    fn usage(&self, query: &UsageQuery) -> anyhow::Result<Vec<UsageRow>> {
        let mut held = self.reader.lock();
        let reader = match held.take() {
            Some(reader) => reader,
            None => Reader::open(&self.database)?,
        };
        self.ledger.hurry();
        ensure!(reader.catch_up(CATCH_UP)?, "the newest calls are not in the database yet");
        let rows = reader.usage(query)?;
        *held = Some(reader);
        Ok(rows)
    }
}

impl Books for StoreBooks {
    fn billing(&self, query: &BillingQuery) -> Result<Vec<BillingRow>, BooksError> {
        let dims: Result<Vec<Dim>, _> = query.group_by.iter().map(|word| word.parse()).collect();
        let usage = UsageQuery {
            zone: query.zone.clone(),
            user: Some(Arc::clone(&query.user)),
            group_by: dims.map_err(|unknown| BooksError::Invalid(unknown.to_string()))?,
            ..UsageQuery::between(query.from, query.to)
        };
        let rows = self.usage(&usage).map_err(failed)?;
        if rows.len() > MOST_ROWS {
            let message = format!("more than {MOST_ROWS} rows: ask for less time or fewer groups");
            return Err(BooksError::Invalid(message));
        }
        Ok(rows.into_iter().map(billed).collect())
    }

    fn put_action(&self, action: &Action) -> Result<(), BooksError> {
        self.registry.lock().put_action(action).map_err(failed)
    }

    fn action(&self, id: CallId) -> Result<Option<Action>, BooksError> {
        self.registry.lock().action(id).map_err(failed)
    }

    fn end_action(
        &self,
        id: CallId,
        how: ActionEnd,
        now: Timestamp,
    ) -> Result<Option<EndedAction>, BooksError> {
        self.registry.lock().end_action(id, how, now).map_err(failed)
    }

    fn take_events(&self, events: &[UsageEvent], now: Timestamp) -> Result<Vec<bool>, BooksError> {
        self.registry.lock().take_events(events, now).map_err(failed)
    }

    fn repeated(
        &self,
        key: [u8; 16],
        since: Timestamp,
        newest: bool,
    ) -> Result<Option<Repeated>, BooksError> {
        self.call_of(key, since, newest).map_err(failed)
    }

    fn events_recorded(&self, events: &[UsageEvent]) -> Result<(), BooksError> {
        let names = events.iter().map(|event| (event.sender(), &*event.source, &*event.id));
        self.registry.lock().events_recorded(names).map_err(failed)
    }
}

fn billed(row: UsageRow) -> BillingRow {
    BillingRow {
        group: row.group,
        calls: row.sums.calls,
        input_tokens: row.sums.input_tokens,
        cached_input_tokens: row.sums.cached_input_tokens,
        output_tokens: row.sums.output_tokens,
        cost: row.sums.cost_usd,
    }
}
