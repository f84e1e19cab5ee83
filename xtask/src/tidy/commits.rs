//! The form of commit messages: `area: Imperative subject`, 72 characters at most.

use std::path::Path;
use std::process::Command;

use super::Finding;

/// How many commits are looked at: what is older is published and stays as it is.
const LOOKED_AT: &str = "-20";
const LONGEST: usize = 72;
/// Imperatives that end like a participle.
const LOOKS_BENT: &[&str] =
    &["Bring", "Embed", "Exceed", "Feed", "Need", "Ping", "Seed", "Shed", "Speed"];

/// Checks the last commits; where there is no repository there is nothing to check.
pub(super) fn check(root: &Path) -> Vec<Finding> {
    let asked = Command::new("git")
        .args(["log", LOOKED_AT, "--no-merges", "--format=%h%x09%s"])
        .current_dir(root)
        .output();
    let log = asked.ok().filter(|done| done.status.success()).map(|done| done.stdout);
    let log = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
    log.lines()
        .filter_map(|line| {
            let (commit, subject) = line.split_once('\t')?;
            let wrong = fault(subject)?;
            let remedy = "write `area: Imperative subject`, at most 72 characters";
            Some(Finding::new(&format!("commit {commit}"), 1, wrong, remedy))
        })
        .collect()
}

/// What is wrong with a subject.
fn fault(subject: &str) -> Option<String> {
    let length = subject.chars().count();
    if length > LONGEST {
        return Some(format!("the subject has {length} characters"));
    }
    let Some((area, rest)) = subject.split_once(": ") else {
        return Some("the subject names no area".to_owned());
    };
    let in_area =
        |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-_/.,".contains(char);
    if area.is_empty() || !area.chars().all(in_area) {
        return Some(format!("the area `{area}` is not one lowercase word"));
    }
    let verb = rest.split(' ').next().unwrap_or_default();
    if !verb.starts_with(char::is_uppercase) {
        return Some(format!("`{verb}` does not begin with a capital"));
    }
    let bent = verb.ends_with("ed") || verb.ends_with("ing");
    if bent && !LOOKS_BENT.contains(&verb) {
        return Some(format!("`{verb}` is not an imperative"));
    }
    rest.ends_with('.').then(|| "the subject ends in a full stop".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_judged() {
        let long = format!("wire: Read {}", "x".repeat(72));
        let rows = [
            ("wire: Read the usage of a cut stream", None),
            ("store/fold: Seed rollups", None),
            ("Read the usage", Some("no area")),
            ("Wire: Read", Some("lowercase")),
            ("wire: read", Some("capital")),
            ("wire: Added usage", Some("imperative")),
            ("wire: Reading usage", Some("imperative")),
            ("wire: Read usage.", Some("full stop")),
            (long.as_str(), Some("characters")),
        ];
        for (subject, expected) in rows {
            let found = fault(subject);
            match expected {
                None => assert_eq!(found, None, "{subject}"),
                Some(words) => {
                    assert!(found.clone().is_some_and(|f| f.contains(words)), "{found:?}");
                }
            }
        }
    }
}
