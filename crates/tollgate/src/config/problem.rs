//! What is wrong with a configuration, and where: file, line, column, key, remedy.
//!
//! All problems of a file are reported together, because whoever fixes one at a time starts the
//! program once per mistake. A problem quotes what the file says, never what an environment
//! variable held, so that a secret in the wrong place is not repeated on a terminal.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// A file's text and its name, so that an offset can be told as line and column.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// Line and column (in characters) of a byte offset, both from 1.
    pub(super) fn position(&self, offset: usize) -> (u32, u32) {
        let before = self.text.get(..offset.min(self.text.len())).unwrap_or(self.text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }

    /// What stands in the file at a span, on one line and not too long.
    pub(super) fn quote(&self, span: &Range<usize>) -> String {
        const MOST: usize = 60;
        let written = self.text.get(span.clone()).unwrap_or_default().trim();
        let line = written.lines().next().unwrap_or_default();
        let mut quoted: String = line.chars().take(MOST).collect();
        if quoted.len() < written.len() {
            quoted.push_str("...");
        }
        quoted
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1; 0 where no line is to blame.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The path of the key, such as `server.listen`; empty where none is to blame.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message)?,
        }
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    /// These problems, in the order of the file.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems.dedup();
        Self(problems)
    }

    /// One problem that has no line.
    pub(super) fn whole(file: &str, message: String, remedy: Option<String>) -> Self {
        let file = file.to_owned();
        Self(vec![Problem { file, line: 0, column: 0, key: String::new(), message, remedy }])
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The candidate that a mistyped name most probably meant, if one is near enough.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = name.chars().count();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= (length.max(candidate.chars().count()) / 3).max(1) && *distance < length
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// "did you mean …" where a candidate is near, else the list of what is known.
pub(super) fn suggest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    const MOST: usize = 12;
    if let Some(near) = nearest(name, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let known: Vec<String> =
        candidates.into_iter().take(MOST).map(|name| format!("`{name}`")).collect();
    (!known.is_empty()).then(|| format!("known here: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not_forced() {
        let names = ["listen", "admin_listen", "timezone"];
        assert_eq!(nearest("lisen", names), Some("listen"));
        assert_eq!(nearest("time_zone", names), Some("timezone"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(suggest("x", ["y"]).unwrap(), "known here: `y`");
        assert_eq!(suggest("x", []), None);
    }

    #[test]
    fn positions_count_characters_from_one() {
        let source = Source { file: "f", text: "a\n\u{d55c}\u{ae00}=1\nb" };
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(8), (2, 3));
        assert_eq!(source.position(usize::MAX), (3, 2));
        assert_eq!(source.position(3), (3, 2), "inside a character the end is told, not a panic");
    }
}
