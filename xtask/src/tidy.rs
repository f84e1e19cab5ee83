//! `cargo xtask tidy`: the habits of the project that no compiler and no clippy lint checks.
//!
//! Each rule is a pure function from a file's text (or from the list of files) to findings, so that
//! it can be tested with a table of snippets. A finding names file, line and remedy. The tool must
//! not mend anything and must not need a network.

mod commits;
mod cover;
mod file;
mod links;
mod locks;
mod manifests;
mod names;
mod rust;
mod scan;
mod text;
mod wording;

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use file::File;

/// One thing that is not as the project wants it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Counted from 1; 0 where the file as a whole is meant.
    line: usize,
    wrong: String,
    remedy: &'static str,
}

impl Finding {
    fn new(path: &str, line: usize, wrong: impl Into<String>, remedy: &'static str) -> Self {
        Self { path: path.to_owned(), line, wrong: wrong.into(), remedy }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, wrong, remedy } = self;
        write!(f, "{path}:{line}: {wrong}\n    remedy: {remedy}")
    }
}

/// Checks the tree at `root`; fails when anything is found.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let files = file::list(root)?;
    let mut findings: Vec<Finding> = files.iter().flat_map(check_file).collect();
    findings.extend(links::check(root, &files));
    findings.extend(locks::check(&files));
    findings.extend(cover::check(&files));
    findings.extend(manifests::check_lock(&files));
    findings.extend(commits::check(root));
    findings.sort();
    findings.dedup();
    report(files.len(), &findings)
}

fn check_file(file: &File) -> Vec<Finding> {
    let rules: [fn(&File) -> Vec<Finding>; 5] =
        [rust::check, names::check, wording::check, text::check, manifests::check];
    rules.iter().flat_map(|rule| rule(file)).collect()
}

fn report(files: usize, findings: &[Finding]) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    writeln!(out, "tidy: {files} files, {} findings", findings.len())?;
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod table {
    //! What the tables of the rules share.
    use super::{File, Finding};

    /// Runs `rule` over each (path, text) and expects the given words in exactly one finding, or
    /// no finding where the words are empty.
    pub(super) fn holds(rule: fn(&File) -> Vec<Finding>, rows: &[(&str, &str, &str)]) {
        for (path, text, expected) in rows {
            let found = rule(&File::new((*path).to_owned(), (*text).to_owned()));
            if expected.is_empty() {
                assert_eq!(found, [], "{path}: {text:?}");
            } else {
                assert_eq!(found.len(), 1, "{path}: {text:?} gives {found:?}");
                assert!(found[0].to_string().contains(expected), "{expected:?} not in {found:?}");
            }
        }
    }
}
