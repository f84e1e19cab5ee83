//! The figures: every round is kept, the table shows medians and the ratio of the two proxies.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// Figures by measurement and by who was measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    rounds: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl Report {
    /// Adds the figure of one round.
    pub(super) fn add(&mut self, what: &str, who: &str, value: f64) {
        let by_who = self.rounds.entry(what.to_owned()).or_default();
        by_who.entry(who.to_owned()).or_default().push(value);
    }

    /// Adds the size of a binary in MiB, as it is shipped: without debug information.
    pub(super) fn note_binary(&mut self, who: &str, path: &Path) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let stripped = folder.path().join("stripped");
        let done = Command::new("strip").arg("-o").arg(&stripped).arg(path).status();
        let shipped =
            if done.is_ok_and(|status| status.success()) { stripped.as_path() } else { path };
        let bytes = fs::metadata(shipped).with_context(|| path.display().to_string())?.len();
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
        self.add("binary.mib", who, f64::from(kib) / 1024.0);
        Ok(())
    }

    /// Prints a line for each measurement: median of each, and Tollgate's over nginx's.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let width = self.rounds.keys().map(String::len).max().unwrap_or_default();
        writeln!(
            out,
            "{:width$} {:>12} {:>12} {:>12} {:>8}",
            "median of rounds", "direct", "nginx", "tollgate", "ratio"
        )?;
        for (what, by_who) in &self.rounds {
            let of = |who: &str| by_who.get(who).map(|values| median(values));
            let cell = |value: Option<f64>| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
            };
            let ratio = of("tollgate").zip(of("nginx")).map(|(ours, theirs)| ours / theirs);
            writeln!(
                out,
                "{what:width$} {:>12} {:>12} {:>12} {:>8}",
                cell(of("direct")),
                cell(of("nginx")),
                cell(of("tollgate")),
                cell(ratio.filter(|ratio| ratio.is_finite()))
            )?;
        }
        Ok(())
    }

    /// Writes every round as JSON.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_medians_and_their_ratio() {
        let mut report = Report::default();
        for value in [9.0, 1.0, 2.0] {
            report.add("calls.cpu_us", "nginx", value);
            report.add("calls.cpu_us", "tollgate", value * 3.0);
        }
        let mut text = Vec::new();
        report.print(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let line: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(line, ["calls.cpu_us", "-", "2.00", "6.00", "3.00"]);
    }
}
