//! The files of the tree: which there are, and what the rules ask about them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::scan::{self, Line};

/// Folders that hold nothing of ours; asked only where git cannot be.
const FOREIGN: &[&str] = &["target", "node_modules", "__pycache__"];

/// One text file of the tree.
#[derive(Debug)]
pub(super) struct File {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// For Rust files, each line taken apart; otherwise empty.
    pub(super) rust: Vec<Line>,
}

impl File {
    pub(super) fn new(path: String, text: String) -> Self {
        let rust = if is(&path, "rs") { scan::lines(&text) } else { Vec::new() };
        Self { path, text, rust }
    }

    /// Whether the name ends in `.extension`.
    pub(super) fn is(&self, extension: &str) -> bool {
        is(&self.path, extension)
    }

    /// The last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether the file holds tests and nothing else.
    pub(super) fn is_test(&self) -> bool {
        let path = format!("/{}", self.path);
        ["/tests/", "/benches/"].iter().any(|part| path.contains(part)) || self.name() == "tests.rs"
    }

    /// The lines of the file, counted from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// The lines of Rust outside of test code, counted from 1.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &Line)> {
        let whole = self.is_test();
        (1..).zip(&self.rust).filter(move |(_, line)| !whole && !line.test)
    }
}

fn is(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

/// The text files under version control (and those about to be); where there is no repository, all
/// files but those of tools.
pub(super) fn list(root: &Path) -> Result<Vec<File>> {
    let mut paths = match tracked(root) {
        Some(paths) => paths,
        None => walk(root, "")?,
    };
    paths.sort();
    paths.dedup();
    Ok(paths.into_iter().filter_map(|path| read(root, path)).collect())
}

/// A file that was deleted, is a link to a folder, or is not text is left out.
fn read(root: &Path, path: String) -> Option<File> {
    let text = std::fs::read_to_string(root.join(&path)).ok()?;
    Some(File::new(path, text))
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|done| done.status.success())?;
    let text = String::from_utf8(listed.stdout).ok()?;
    let paths = text.split('\0').filter(|path| !path.is_empty());
    Some(paths.map(str::to_owned).collect())
}

fn walk(root: &Path, under: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let folder = root.join(under);
    let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
        if hidden || FOREIGN.contains(&name.as_str()) {
            continue;
        }
        let path = if under.is_empty() { name } else { format!("{under}/{name}") };
        if entry.file_type()?.is_dir() {
            found.extend(walk(root, &path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_and_git_both_find_this_file_and_nothing_of_a_build() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut lists = vec![walk(root, "").unwrap()];
        lists.extend(tracked(root));
        for paths in lists {
            assert!(paths.iter().any(|path| path == "xtask/src/tidy/file.rs"));
            assert!(!paths.iter().any(|path| path.starts_with("target/")));
        }
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        let rows = [
            ("crates/a/tests/it/main.rs", true),
            ("tests/sdk/run.py", true),
            ("crates/a/src/codec/tests.rs", true),
            ("crates/a/src/contests.rs", false),
            ("crates/a/src/lib.rs", false),
        ];
        for (path, expected) in rows {
            assert_eq!(File::new(path.to_owned(), String::new()).is_test(), expected, "{path}");
        }
    }
}
