//! Rules that say which names a provider or a model answers to, in prefix notation.
//!
//! `=x` is the name x (`=` alone: the model's own id), `^x` begins and `$x` ends with x, `~x` has
//! it within, `#x` is a pattern in which `#` is a digit and `*` any text; `!` turns a rule round,
//! and `|3` and `&2` take the three or two rules that follow, of which any or all must hold.
//! Everything is lower case. A rule is read each time it is asked: names are resolved when
//! something is loaded or first seen, and text takes less memory than trees.

use super::book::Reason;

/// Deeper rules are refused, so that a hostile file cannot exhaust the stack.
const MAX_DEPTH: usize = 8;

/// Whether `subject`, in lower case, satisfies `rule`; the whole rule is read in any case, so that
/// a single answer shows that it is well formed.
pub(super) fn matches(rule: &str, own: &str, subject: &str) -> Result<bool, Reason> {
    let mut reader = Reader { terms: rule.split(' '), own, subject };
    let answer = reader.next(MAX_DEPTH)?;
    match reader.terms.next() {
        None => Ok(answer),
        Some(rest) => Err(Reason::Rule(rest.to_owned())),
    }
}

struct Reader<'a> {
    terms: std::str::Split<'a, char>,
    own: &'a str,
    subject: &'a str,
}

impl Reader<'_> {
    fn next(&mut self, depth: usize) -> Result<bool, Reason> {
        let term = self.terms.next().unwrap_or_default();
        let bad = || Reason::Rule(term.to_owned());
        let depth = depth.checked_sub(1).ok_or_else(bad)?;
        if let Some(count) = term.strip_prefix(['|', '&']) {
            let count: usize = count.parse().map_err(|_| bad())?;
            let mut hits = 0_usize;
            for _ in 0..count {
                hits += usize::from(self.next(depth)?);
            }
            return Ok(if term.starts_with('|') { hits > 0 } else { hits == count });
        }
        match term.strip_prefix('!') {
            Some(inner) => self.leaf(inner).map(|hit| !hit),
            None => self.leaf(term),
        }
    }

    fn leaf(&self, term: &str) -> Result<bool, Reason> {
        let mut chars = term.chars();
        let operation = chars.next();
        let text = chars.as_str();
        if text.is_empty() && operation != Some('=') {
            return Err(Reason::Rule(term.to_owned()));
        }
        Ok(match operation {
            Some('=') if text.is_empty() => equals_folded(self.own, self.subject),
            Some('=') => self.subject == text,
            Some('^') => self.subject.starts_with(text),
            Some('$') => self.subject.ends_with(text),
            Some('~') => self.subject.contains(text),
            Some('#') => pattern(text, self.subject),
            _ => return Err(Reason::Rule(term.to_owned())),
        })
    }
}

/// Whether `own` in lower case is `subject`, which is in lower case.
pub(super) fn equals_folded(own: &str, subject: &str) -> bool {
    own.chars().flat_map(char::to_lowercase).eq(subject.chars())
}

/// Whether the whole of `text` fits a pattern in which `#` is a digit and `*` any text.
pub(super) fn pattern(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|head| strip(head, text)) else {
        return false;
    };
    let Some(tail) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match (0..=rest.len()).find_map(|from| strip(piece, rest.get(from..)?)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    let from = rest.len().checked_sub(tail.len());
    from.and_then(|from| strip(tail, rest.get(from..)?)) == Some("")
}

/// Takes a piece without `*` from the front of `text`.
fn strip<'a>(piece: &str, text: &'a str) -> Option<&'a str> {
    let mut rest = text.chars();
    for wanted in piece.chars() {
        let found = rest.next()?;
        let fits = if wanted == '#' { found.is_ascii_digit() } else { found == wanted };
        if !fits {
            return None;
        }
    }
    Some(rest.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rules_answer_for_names() {
        for (rule, subject, answer) in [
            ("=", "own-id", true),
            ("=", "own", false),
            ("=a", "a", true),
            ("^gpt-", "gpt-4o", true),
            ("^gpt-", "my-gpt-4o", false),
            ("$-tts", "x-tts", true),
            ("~claude", "us.claude-3", true),
            ("!~claude", "us.claude-3", false),
            ("|2 =a =b", "b", true),
            ("|2 =a =b", "c", false),
            ("|0", "c", false),
            ("&3 ^gemini-2.5-pro !$-tts !~-tts-", "gemini-2.5-pro-001", true),
            ("&3 ^gemini-2.5-pro !$-tts !~-tts-", "gemini-2.5-pro-tts", false),
            ("|2 &2 ^a $z =q", "abz", true),
            ("#claude-5-########", "claude-5-20260101", true),
            ("#claude-5-########", "claude-5-2026010", false),
            ("#claude-5-########", "claude-5-202601011", false),
            ("#gemini-3.5-flash-#*", "gemini-3.5-flash-001-x", true),
            ("#gemini-3.5-flash-#*", "gemini-3.5-flash-lite", false),
            ("#*.example.com", "a.b.example.com", true),
            ("#*.example.com", "example.com", false),
            ("#a*b*c", "a-b-b-c", true),
            ("#a*bc", "abc", true),
            ("#ab*bc", "abc", false),
        ] {
            assert_eq!(matches(rule, "Own-Id", subject).unwrap(), answer, "{rule} of {subject}");
        }
        let deep = "|1 ".repeat(50) + "=a";
        for bad in
            ["", "x", "^", "|", "|2 =a", "=a =b", "|99999999999999999999 =a", "!|1 =a", &deep]
        {
            assert!(matches(bad, "own", "a").is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_rule_and_no_name_panics(rule in "[=^$~#!|& *a0-9é]{0,40}", subject in "\\PC{0,20}") {
            if let Ok(answer) = matches(&rule, "own", &subject) {
                prop_assert_eq!(matches(&rule, "own", &subject).unwrap(), answer);
            }
        }
    }
}
