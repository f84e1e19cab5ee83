//! The command line of the program under test, beside a running server on the same files.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Program;
use crate::wait::eventually;

/// What a command said.
#[derive(Clone, Debug)]
pub struct CliOutput {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl CliOutput {
    /// Standard output as one JSON document a line; panics where a line is none.
    pub fn rows(&self) -> Vec<Value> {
        let rows = self.stdout.lines().filter(|line| !line.trim().is_empty());
        rows.map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in line {line:?}"))
        })
        .collect()
    }
}

impl Program {
    /// Runs `tollgate <arguments> --config <file>`, whatever comes of it.
    pub fn try_cli(&self, arguments: &[&str]) -> CliOutput {
        let output = Command::new(&self.binary)
            .args(arguments)
            .arg("--config")
            .arg(self.config_path())
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        CliOutput {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command that must succeed; panics with what it said where it does not.
    pub fn cli(&self, arguments: &[&str]) -> CliOutput {
        let output = self.try_cli(arguments);
        assert_eq!(
            output.code,
            Some(0),
            "tollgate {arguments:?}\n{}{}",
            output.stdout,
            output.stderr
        );
        output
    }

    /// Every call in the ledger, oldest first.
    pub fn calls(&self) -> Vec<Value> {
        let mut rows = self.cli(&["ledger", "export"]).rows();
        rows.sort_by_cached_key(|row| row["time"].as_str().unwrap_or_default().to_owned());
        rows
    }

    /// Waits until the ledger holds `count` admitted calls, all settled, and gives them.
    pub async fn settled(&self, count: usize) -> Vec<Value> {
        eventually("so many calls are settled", Duration::from_secs(15), || async {
            let mut rows = self.calls();
            rows.retain(|row| row["outcome"] != "refused");
            let open = rows.iter().filter(|row| row["outcome"] == "in_doubt").count();
            if rows.len() == count && open == 0 {
                Ok(rows)
            } else {
                Err(format!("{} calls of {count}, {open} in doubt: {rows:#?}", rows.len()))
            }
        })
        .await
    }

    /// Waits until exactly one settled call has this request id, and gives it.
    pub async fn settled_call(&self, request_id: &str) -> Value {
        eventually("the call is settled", Duration::from_secs(15), || async {
            let mut rows = self.calls();
            rows.retain(|row| row["request_id"] == request_id);
            match rows.as_slice() {
                [row] if row["outcome"] != "in_doubt" => Ok(row.clone()),
                other => Err(format!("{other:#?}")),
            }
        })
        .await
    }
}
