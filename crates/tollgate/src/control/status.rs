//! How the program does.

use tollgate_admission::control::{ControlError, CounterFacts, LedgerFacts, Status};

use super::{Controls, Live};

impl Controls {
    pub(super) fn show_status(&self) -> Result<Status, ControlError> {
        let kill_switch = self.show_switches()?.on;
        let registry = self.registry.lock();
        let config = self.config.lock();
        let stored = registry.keys()?.iter().filter(|key| key.revoked_at.is_none()).count();
        let live = self.live.as_ref();
        let obstacle = match live {
            Some(live) => live.handle.plane.not_ready(),
            None => Some("no server runs in this process".to_owned()),
        };
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.origin.clone(),
            started_at: live.map(|live| live.handle.plane.started_at),
            ready: obstacle.is_none(),
            obstacle,
            kill_switch,
            providers: config.providers.keys().map(ToString::to_string).collect(),
            registered_users: count(registry.users()?.len()),
            keys: count(stored + config.auth.keys.len()),
            ledger: live.map(ledger),
            counters: live.map(counters),
        })
    }
}

fn ledger(live: &Live) -> LedgerFacts {
    let status = live.ledger.status();
    LedgerFacts {
        open: status.open,
        waiting: status.waiting,
        folded: status.folded,
        failures: status.failures,
        journal_bytes: status.bytes,
        last_error: status.last_error,
    }
}

fn counters(live: &Live) -> CounterFacts {
    let census = live.handle.plane.gate.engine().census();
    CounterFacts { accounts: census.accounts, counters: census.counters, held: census.held }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
