//! Links: a relative link in Markdown leads to a file and, where it names one, to a heading of it;
//! a path of the tree that is named in Markdown or in a comment exists.

use std::path::Path;

use super::Finding;
use super::file::File;

/// Where paths of the tree begin.
const TOPS: &[&str] = &[
    "crates/",
    "docs/",
    "scripts/",
    "xtask/",
    "presets/",
    "tests/",
    "deploy/",
    "examples/",
    ".ci/",
];

/// All links of all files.
pub(super) fn check(root: &Path, files: &[File]) -> Vec<Finding> {
    let exists = |path: &str| root.join(path).exists();
    let mut found = Vec::new();
    for file in files {
        if file.is("md") {
            found.extend(
                links(file).into_iter().filter_map(|link| link.fault(file, files, &exists)),
            );
        }
        let named = named_paths(file).into_iter().filter(|(_, path)| !exists(path));
        found.extend(named.map(|(at, path)| {
            let remedy = "correct the path, or say what is there";
            Finding::new(&file.path, at, format!("`{path}` does not exist"), remedy)
        }));
    }
    found
}

struct Link {
    at: usize,
    target: String,
}

impl Link {
    fn fault(&self, file: &File, files: &[File], exists: &dyn Fn(&str) -> bool) -> Option<Finding> {
        let (path, heading) = self.target.split_once('#').unwrap_or((&self.target, ""));
        let path = if path.is_empty() { file.path.clone() } else { resolve(&file.path, path) };
        let missing_heading = || {
            let other = files.iter().find(|other| other.path == path && other.is("md"));
            let headings = other.map(headings);
            !heading.is_empty() && headings.is_some_and(|all| !all.iter().any(|h| h == heading))
        };
        let wrong = if !exists(&path) {
            format!("the link to `{}` leads nowhere", self.target)
        } else if missing_heading() {
            format!("{path} has no heading `#{heading}`")
        } else {
            return None;
        };
        Some(Finding::new(&file.path, self.at, wrong, "correct the link"))
    }
}

/// The path that a relative link means.
fn resolve(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Lines of Markdown that are not in a fence.
fn prose(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    file.lines().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

fn links(file: &File) -> Vec<Link> {
    let mut found = Vec::new();
    for (at, line) in prose(file) {
        let plain = without_code(line);
        for (opening, _) in plain.match_indices("](") {
            let rest = plain.get(opening + 2..).unwrap_or_default();
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") && !target.is_empty() {
                found.push(Link { at, target: target.to_owned() });
            }
        }
    }
    found
}

/// A line with its code spans blanked.
fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts.map(|(nth, part)| if nth % 2 == 0 { part } else { "" }).collect()
}

fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Paths of the tree in code spans, in Markdown outside of fences and in Rust comments.
fn named_paths(file: &File) -> Vec<(usize, String)> {
    let texts: Vec<(usize, &str)> = if file.is("md") {
        prose(file).collect()
    } else {
        (1..).zip(file.rust.iter().map(|line| line.comment.as_str())).collect()
    };
    let spans =
        texts.into_iter().flat_map(|(at, text)| code_spans(text).map(move |span| (at, span)));
    spans
        .filter(|(_, span)| TOPS.iter().any(|top| span.starts_with(top)))
        .filter(|(_, span)| !span.contains([' ', '*', '{', '<', '…', '$']))
        .map(|(at, span)| (at, span.split(':').next().unwrap_or(span).to_owned()))
        .collect()
}

/// The anchors of a Markdown file's headings, as the usual renderers form them.
fn headings(file: &File) -> Vec<String> {
    let lines = prose(file).filter(|(_, line)| line.starts_with('#'));
    lines.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_named_paths_are_followed() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let rows = [
            ("docs/a.md", "[x](../Cargo.toml) [y](https://a.b/c) [z](mailto:a@b.c)\n", ""),
            ("docs/a.md", "[x](Cargo.toml)\n", "leads nowhere"),
            ("docs/a.md", "`[x](nowhere.md)`\n```\n[x](nowhere.md)\n```\n", ""),
            ("Cargo.toml.md", "[x](Cargo.toml) `crates/tollgate-domain/src/lib.rs`\n", ""),
            ("a.md", "see `crates/none/src/lib.rs`\n", "does not exist"),
            ("a.md", "see `crates/*/src` and `docs/{a,b}.md` and `cargo test`\n", ""),
            ("xtask/src/a.rs", "//! See `docs/none.md`.\n", "does not exist"),
            ("xtask/src/a.rs", "const A: &str = \"`docs/none.md`\";\n", ""),
        ];
        for (path, text, expected) in rows {
            let files = [File::new(path.to_owned(), text.to_owned())];
            let found = check(here, &files);
            assert_eq!(found.len(), usize::from(!expected.is_empty()), "{text}: {found:?}");
            assert!(found.iter().all(|one| one.to_string().contains(expected)), "{found:?}");
        }
    }

    #[test]
    fn anchors_are_held_against_the_headings() {
        let text =
            "# 빠른 시작\n## What is where?\n[a](#빠른-시작) [b](#what-is-where) [c](#gone)\n";
        let file = File::new("README.md".to_owned(), text.to_owned());
        let faults: Vec<_> =
            links(&file).iter().filter_map(|link| link.fault(&file, &[], &|_| true)).collect();
        assert_eq!(faults, [], "without the file in the list nothing can be said");
        let files = [file];
        let exists = |_: &str| true;
        let faults: Vec<_> =
            links(&files[0]).iter().filter_map(|l| l.fault(&files[0], &files, &exists)).collect();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].wrong.contains("#gone"));
    }

    #[test]
    fn relative_links_are_resolved_from_their_file() {
        assert_eq!(resolve("docs/adr/0001.md", "../../README.md"), "README.md");
        assert_eq!(resolve("README.md", "./docs/a.md"), "docs/a.md");
    }
}
