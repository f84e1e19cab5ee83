//! What a call costs the ledger: CPU of both journal writes and the fold, with 64 producers.
//!
//! The producers run twice, first without a ledger; the difference is what the ledger costs.
//!
//! `cargo run --release -p tollgate-store --example ledger_bench [calls] [calls a second] [users] [ms]`
//!
//! The last argument is the pause between two folds.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tollgate_admission::ledger::{Ledger as _, LedgerError};
use tollgate_domain::call::{CacheState, CallRecord, Dialect, Outcome};
use tollgate_domain::clock::Clock;
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;
use tollgate_store::{Options, Reader, SqliteLedger};

const PRODUCERS: u64 = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let calls = arguments.next().unwrap_or(200_000);
    let rate = arguments.next().unwrap_or(20_000).max(1);
    let users = arguments.next().unwrap_or(100).max(1);
    let pause = Duration::from_millis(arguments.next().unwrap_or(200));
    let dir = std::env::current_dir()?.join("target/ledger_bench");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let database = dir.join("bench.db");
    let start = cpu_micros()?;
    produce_all(None, (calls, rate, users));
    let bare = cpu_micros()? - start;
    let options = Options { backlog_bound: calls, fold_pause: pause, ..Options::default() };
    let (ledger, _) = SqliteLedger::open(&database, &options)?;
    let took = produce_all(Some(&ledger), (calls, rate, users));
    let fold = fold_micros()?;
    ledger.shutdown()?;
    let total = cpu_micros()? - start - bare;
    let line = format!(
        "{calls} calls of {users} users in {took:.1?}: {:.2} us CPU a call (fold {:.2}), {:.2} without ledger",
        per(total, calls),
        per(fold, calls),
        per(bare, calls),
    );
    report(&database, &line)
}

fn produce_all(ledger: Option<&SqliteLedger>, (calls, rate, users): (u64, u64, u64)) -> Duration {
    let clock = Clock::system();
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let clock = clock.clone();
            scope.spawn(move || produce(ledger, &clock, (producer, calls, rate, users)));
        }
    });
    clock.monotonic()
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn per(micros: u64, calls: u64) -> f64 {
    micros as f64 / calls as f64
}

fn report(database: &Path, line: &str) -> Result<(), Box<dyn std::error::Error>> {
    let report = Reader::open(database)?.verify(|_, _| {})?;
    writeln!(
        io::stdout(),
        "{line}\n{} rows, {} B each on disk, sound: {}",
        report.rows,
        std::fs::metadata(database)?.len() / report.rows.max(1),
        report.is_sound()
    )?;
    Ok(())
}

fn produce(
    ledger: Option<&SqliteLedger>,
    clock: &Clock,
    (producer, calls, rate, users): (u64, u64, u64, u64),
) -> Result<(), LedgerError> {
    let template = record(clock.now(), producer, 0);
    let names: Vec<Arc<str>> = (0..users).map(|n| Arc::from(format!("user-{n:06}"))).collect();
    for n in (producer..calls).step_by(64) {
        let due = Duration::from_micros(n.saturating_mul(1_000_000) / rate);
        while let Some(early) = due.checked_sub(clock.monotonic()).filter(|d| !d.is_zero()) {
            thread::park_timeout(early);
        }
        let intent =
            CallRecord { user: Arc::clone(pick(&names, n)), ..stamped(&template, clock.now(), n) };
        if let Some(ledger) = ledger {
            drop(ledger.open(&intent)?);
        }
        let record = Arc::new(CallRecord { outcome: Outcome::Success, ..intent });
        if let Some(ledger) = ledger {
            drop(ledger.close(record)?);
        }
    }
    Ok(())
}

/// A user by a fixed, scattered choice.
fn pick(names: &[Arc<str>], n: u64) -> &Arc<str> {
    let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let index = usize::try_from(scattered).unwrap_or(0) % names.len();
    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    &names[index]
}

fn stamped(template: &CallRecord, now: Timestamp, n: u64) -> CallRecord {
    let fresh = record_id(now, n);
    CallRecord {
        call_id: fresh,
        request_id: Arc::from(fresh.to_string()),
        time: now,
        ..template.clone()
    }
}

fn record_id(now: Timestamp, n: u64) -> CallId {
    let mut random = [1; 10];
    let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    for (byte, from) in random.iter_mut().zip(scattered) {
        *byte = from;
    }
    CallId::new(u64::try_from(now.as_millisecond()).unwrap_or(0), random)
}

fn record(now: Timestamp, producer: u64, n: u64) -> CallRecord {
    let call_id = record_id(now, n);
    CallRecord {
        call_id,
        request_id: Arc::from(call_id.to_string()),
        time: now,
        user: Arc::from("user"),
        key: Some(Arc::from("backend")),
        team: None,
        ip: Some(Arc::from("127.0.0.1")),
        session: None,
        feature: None,
        tags: Vec::new(),
        dialect: Dialect::Openai,
        endpoint: Arc::from("/v1/chat/completions"),
        provider: Arc::from("openai"),
        model_asked: Arc::from("gpt-4o-mini"),
        model: Arc::from("gpt-4o-mini-2024-07-18"),
        stream: producer.is_multiple_of(2),
        status: 200,
        outcome: Outcome::InDoubt,
        error_type: None,
        attempts: 1,
        cache: CacheState::Miss,
        usage: Usage::tokens(812, 96),
        cost: NanoUsd::from_nanos(179_400),
        provider_cost: None,
        saved: NanoUsd::ZERO,
        repetition: None,
        price_version: Arc::from("book 2026-10-30 openai/gpt-4o-mini"),
        estimated: false,
        latency_us: 412_000,
        ttft_us: Some(120_000),
        trace: None,
        decision: None,
        tries: Vec::new(),
    }
}

/// CPU that the process has used so far, in microseconds (user and system, of 10 ms ticks).
fn cpu_micros() -> Result<u64, io::Error> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    Ok(ticks.filter_map(|text| text.parse::<u64>().ok()).sum::<u64>() * 10_000)
}

/// CPU that the folding thread has used so far, in microseconds.
fn fold_micros() -> Result<u64, io::Error> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() == "ledger-fold" {
            let nanos = std::fs::read_to_string(task.join("schedstat"))?;
            let nanos = nanos.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
            return Ok(nanos.unwrap_or(0) / 1_000);
        }
    }
    Ok(0)
}
