//! Regular expressions of the source data as plain patterns (`#` a digit, `*` any text).
//!
//! The program has no engine for regular expressions. Those of the data are of a few simple
//! shapes, and each is spelt out as the list of patterns that says the same. The two that look
//! ahead are known by heart; anything else that is not understood is an error.

use anyhow::{Context as _, Result, bail};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Alternatives longer than this are no longer spelt out.
const MAX_CLASS: usize = 4;
const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const MAX_PATTERNS: usize = 64;

/// A rule in the notation of the price book for a regular expression over model names.
pub(super) fn name_rule(regex: &str) -> Result<String> {
    // Not a text-to-speech model.
    if regex == "^(?!.*-[tT][tT][sS](?:$|-))" {
        return Ok("&2 !$-tts !~-tts-".to_owned());
    }
    // A name without a slash, after the look-ahead; what follows is simple.
    if let Some(rest) = regex.strip_prefix("^(?![^/]+/)") {
        return Ok(format!("&2 !~/ {}", any_of(&expand(&format!("^{rest}"))?, true)));
    }
    Ok(any_of(&expand(regex)?, true))
}

/// Patterns of host and path for a regular expression over URLs.
pub(super) fn urls(regex: &str) -> Result<Vec<String>> {
    let mut urls: Vec<String> = Vec::new();
    for text in expand(&format!("^(?:{regex})"))? {
        let text = text.text.strip_prefix("https://").unwrap_or(&text.text);
        let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let open = if text.ends_with('.') { "*" } else { "" };
        let url = format!("{text}{open}");
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    Ok(urls)
}

/// One of the texts that an expression stands for.
#[derive(Clone, Default)]
struct Expansion {
    text: String,
    /// Whether the expression says that nothing follows.
    ended: bool,
}

fn any_of(expansions: &[Expansion], open_end: bool) -> String {
    let rule = |one: &Expansion| {
        let wild = one.text.contains(['#', '*']);
        match (wild, one.ended || !open_end) {
            (false, true) => format!("={}", one.text),
            (false, false) => format!("^{}", one.text),
            (true, true) => format!("#{}", one.text),
            (true, false) => format!("#{}*", one.text),
        }
    };
    match expansions {
        [one] => rule(one),
        many => {
            let rules: Vec<String> = many.iter().map(rule).collect();
            format!("|{} {}", rules.len(), rules.join(" "))
        }
    }
}

fn expand(regex: &str) -> Result<Vec<Expansion>> {
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
    let hir = parser.parse(regex).with_context(|| regex.to_owned())?;
    if !hir.properties().look_set_prefix().contains(Look::Start) {
        bail!("`{regex}` does not begin with ^");
    }
    append(vec![Expansion::default()], &hir).with_context(|| regex.to_owned())
}

/// Every text so far, followed by everything that `hir` stands for.
fn append(so_far: Vec<Expansion>, hir: &Hir) -> Result<Vec<Expansion>> {
    let all = match hir.kind() {
        HirKind::Empty | HirKind::Look(Look::Start) => so_far,
        HirKind::Look(Look::End) => {
            so_far.into_iter().map(|one| Expansion { ended: true, ..one }).collect()
        }
        HirKind::Literal(literal) => push(&so_far, &[std::str::from_utf8(&literal.0)?])?,
        HirKind::Class(class) => match members(class)?.as_slice() {
            digits if digits == DIGITS => wild(so_far, "#"),
            few if few.len() <= MAX_CLASS => {
                push(&so_far, &few.iter().map(String::as_str).collect::<Vec<_>>())?
            }
            _ => bail!("a class that is too large"),
        },
        HirKind::Repetition(repetition) => match (repetition.min, repetition.max) {
            (0 | 1, None) => wild(so_far, "*"),
            (0, Some(1)) => {
                let mut with = append(so_far.clone(), &repetition.sub)?;
                with.extend(so_far);
                with
            }
            (min, Some(max)) if min == max => {
                (0..min).try_fold(so_far, |so_far, _| append(so_far, &repetition.sub))?
            }
            _ => bail!("a repetition that is not understood"),
        },
        HirKind::Capture(capture) => append(so_far, &capture.sub)?,
        HirKind::Concat(parts) => parts.iter().try_fold(so_far, append)?,
        HirKind::Alternation(ways) => {
            let ways: Result<Vec<_>> = ways.iter().map(|way| append(so_far.clone(), way)).collect();
            ways?.concat()
        }
        HirKind::Look(_) => bail!("an assertion that is not understood"),
    };
    if all.len() > MAX_PATTERNS {
        bail!("too many alternatives");
    }
    Ok(all)
}

/// Every text so far, followed by each of `ways`.
fn push(so_far: &[Expansion], ways: &[&str]) -> Result<Vec<Expansion>> {
    if ways.iter().any(|way| way.contains(['#', '*', ' ', '\t'])) {
        bail!("a character that the notation cannot hold");
    }
    let with = |one: &Expansion| {
        let text = one.text.clone();
        ways.iter().map(move |way| Expansion { text: format!("{text}{way}"), ended: false })
    };
    Ok(so_far.iter().flat_map(with).collect())
}

fn wild(so_far: Vec<Expansion>, sign: &str) -> Vec<Expansion> {
    let with = |one: Expansion| Expansion { text: one.text + sign, ended: false };
    so_far.into_iter().map(with).collect()
}

/// The members of a class, which must all be ASCII. A class of letters that the expression states
/// as alternatives is one of characters, the others are of bytes.
fn members(class: &Class) -> Result<Vec<String>> {
    let class = match class {
        Class::Bytes(class) => class.clone(),
        Class::Unicode(class) => class.to_byte_class().context("a class beyond ASCII")?,
    };
    let bytes: Vec<u8> = class.iter().flat_map(|range| range.start()..=range.end()).collect();
    if !bytes.is_ascii() {
        bail!("a class beyond ASCII");
    }
    Ok(bytes.into_iter().map(|byte| char::from(byte).to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_expressions_become_rules_of_the_book() {
        for (regex, rule) in [
            (r"^claude-5-\d{8}$", "#claude-5-########"),
            (r"^a[-@]\d{2}$", "|2 #a-## #a@##"),
            (r"^c-2\.5\[fast=true\]$", "=c-2.5[fast=true]"),
            (r"^g-flash-\d", "#g-flash-#*"),
            (r"^o[134]", "|3 ^o1 ^o3 ^o4"),
            (
                r"^(?![^/]+/)(?:l-)?(?:(?:mi|mini)stral|open-(?:a|b))",
                "&2 !~/ |8 ^l-mistral ^mistral ^l-ministral ^ministral ^l-open-a ^l-open-b ^open-a ^open-b",
            ),
        ] {
            assert_eq!(name_rule(regex).unwrap(), rule, "{regex}");
        }
        for bad in ["abc", "^a{2,3}", "^[a-z]x", "^(?=x)", "^a b"] {
            assert!(name_rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn url_expressions_become_hosts_and_paths() {
        for (regex, patterns) in [
            (r"https://api\.a\.com", vec!["api.a.com"]),
            (r"https://b-r\.[a-z0-9-]+\.a\.com(/|$)", vec!["b-r.*.a.com"]),
            (
                r"(https?://)?([^.]*\.)?(?:o\.a\.com|b\.net)",
                vec!["*.o.a.com", "o.a.com", "*.b.net", "b.net"],
            ),
            (r"https://api\.moonshot\.", vec!["api.moonshot.*"]),
            (r"https://api\.c\.com/v4/x/[^/]+/ai(?:/|$)", vec!["api.c.com/v4/x/*/ai"]),
        ] {
            assert_eq!(urls(regex).unwrap(), patterns, "{regex}");
        }
    }
}
