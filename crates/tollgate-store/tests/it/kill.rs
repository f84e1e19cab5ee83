//! A writer that is killed with `kill -9` at some moment, and what is found after it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use jiff::Timestamp;
use tollgate_admission::ledger::{Ledger as _, Written};
use tollgate_domain::call::Outcome;
use tollgate_store::{Options, SqliteLedger};

use crate::given::call_at;

/// Tells the child where to write.
const DATABASE: &str = "TOLLGATE_STORE_TEST_DATABASE";

/// The child: writes calls on four threads without end and names each that was reported as written.
/// Started by the test below; does nothing otherwise.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(DATABASE).map(PathBuf::from) else { return };
    let options = Options { segment_bytes: 32_768, ..Options::default() };
    let (ledger, _) = SqliteLedger::open(&path, &options).unwrap();
    std::thread::scope(|scope| {
        for part in 0..4_u32 {
            let ledger = &ledger;
            scope.spawn(move || {
                for n in 0.. {
                    let at = Timestamp::from_second(1_790_000_000 + i64::from(n)).unwrap();
                    let call = call_at(at, "alice", part << 24 | n);
                    assert!(matches!(ledger.open(&call).unwrap(), Written::Durable));
                    tell("open", &call.call_id);
                    assert!(matches!(
                        ledger.close(Arc::new(call.clone())).unwrap(),
                        Written::Durable
                    ));
                    tell("closed", &call.call_id);
                }
            });
        }
    });
}

/// One write for each line, so that a line that arrives is whole.
fn tell(what: &str, id: &tollgate_domain::id::CallId) {
    use std::io::Write as _;
    std::io::stdout().write_all(format!("\n{what} {id}\n").as_bytes()).unwrap();
}

#[test]
fn after_kill_nine_every_call_that_was_written_is_there_exactly_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    for lines in [1, 3_000, 20_000] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(DATABASE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut told = HashMap::new();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut listen = |line: String| {
            if let Some((what @ ("open" | "closed"), id)) = line.split_once(' ') {
                told.insert(id.to_owned(), what == "closed");
            }
        };
        output.by_ref().take(lines).map_while(Result::ok).for_each(&mut listen);
        child.kill().unwrap();
        child.wait().unwrap();
        output.map_while(Result::ok).for_each(&mut listen);

        assert!(told.len() >= lines / 8, "the child wrote {} calls", told.len());
        let (ledger, recovery) = SqliteLedger::open(&path, &Options::default()).unwrap();
        assert!(recovery.is_clean());
        assert!(recovery.in_doubt <= 4, "{recovery:?}");
        ledger.shutdown().unwrap();
        let reader = tollgate_store::Reader::open(&path).unwrap();
        let report = reader.verify(|_, _| {}).unwrap();
        assert!(report.is_sound(), "{report:?}");
        let mut found = HashMap::new();
        reader
            .for_each_since(Timestamp::UNIX_EPOCH, |call| {
                assert_eq!(found.insert(call.call_id.to_string(), call.outcome), None);
            })
            .unwrap();
        for (id, closed) in &told {
            assert!(found.contains_key(id), "{id} is lost");
            assert!(!closed || found[id] == Outcome::Success, "{id}: {:?}", found[id]);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
