//! The shape of a Rust file: how it opens, how long it is, what it is called, where provider
//! fields may be named.

use super::Finding;
use super::file::File;

/// The most lines of a file, tests not counted.
const LONGEST: usize = 400;

/// Field names that only providers' dialects know.
const PROVIDER_FIELDS: &[&str] = &[
    "prompt_tokens",
    "completion_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "include_usage",
    "stream_options",
    "max_completion_tokens",
    "finish_reason",
    "stop_reason",
    "usageMetadata",
    "promptTokenCount",
    "candidatesTokenCount",
    "cachedContentTokenCount",
    "thoughtsTokenCount",
];

/// Who may name them: the dialects, and the provider that tests script.
const KNOWS_PROVIDERS: &[&str] = &["crates/tollgate-wire/", "crates/tollgate-testkit/"];

/// All rules about one Rust file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    if !file.is("rs") {
        return Vec::new();
    }
    let mut found = Vec::new();
    found.extend(opening(file));
    found.extend(length(file));
    found.extend(module_file(file));
    found.extend(lint_attributes(file));
    found.extend(provider_fields(file));
    found
}

fn opening(file: &File) -> Option<Finding> {
    let first = file.lines().find(|(_, line)| !line.trim().is_empty() && !line.starts_with("#!["));
    let (at, line) = first.unwrap_or((1, ""));
    (!line.starts_with("//!")).then(|| {
        Finding::new(
            &file.path,
            at,
            "the file does not open with `//!`",
            "say what the file is responsible for, why so, and what it must not do",
        )
    })
}

fn length(file: &File) -> Option<Finding> {
    let lines = file.code().count();
    (lines > LONGEST).then(|| {
        Finding::new(
            &file.path,
            0,
            format!("{lines} lines without tests, {LONGEST} is the most"),
            "split it by responsibility: `foo.rs` and a folder `foo/`",
        )
    })
}

fn module_file(file: &File) -> Option<Finding> {
    (file.name() == "mod.rs").then(|| {
        Finding::new(&file.path, 0, "a file named `mod.rs`", "name it after its folder: `foo.rs`")
    })
}

fn lint_attributes(file: &File) -> Vec<Finding> {
    let lowers = |code: &str| {
        let attribute = code.contains("#[") || code.contains("#![");
        attribute && ["[allow(", " allow(", ",allow("].iter().any(|form| code.contains(form))
    };
    let lines = (1..).zip(&file.rust).filter(|(_, line)| lowers(&line.code));
    lines
        .map(|(at, _)| {
            Finding::new(
                &file.path,
                at,
                "an `allow` attribute",
                "mend the code, or write `#[expect(lint, reason = \"...\")]`",
            )
        })
        .collect()
}

fn provider_fields(file: &File) -> Vec<Finding> {
    let foreign = file.path.starts_with("crates/")
        && !KNOWS_PROVIDERS.iter().any(|prefix| file.path.starts_with(prefix));
    if !foreign {
        return Vec::new();
    }
    let named = file.code().filter_map(|(at, line)| {
        let words = line.strings.split(|char: char| !(char.is_alphanumeric() || char == '_'));
        let field = words.into_iter().find(|word| PROVIDER_FIELDS.contains(word))?;
        Some((at, field))
    });
    named
        .map(|(at, field)| {
            Finding::new(
                &file.path,
                at,
                format!("the provider's field `{field}` outside of tollgate-wire"),
                "read or write it in tollgate-wire and pass on a noun of tollgate-domain",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::table::holds;

    #[test]
    fn each_rule_finds_what_it_is_for_and_nothing_else() {
        let lib = "crates/tollgate-proxy/src/a.rs";
        let wire = "crates/tollgate-wire/src/a.rs";
        holds(
            check,
            &[
                (lib, "//! Good.\nfn a() {}\n", ""),
                (lib, "#![cfg(test)]\n//! Good.\n", ""),
                (lib, "use a;\n//! Late.\n", "does not open"),
                (lib, "", "does not open"),
                ("docs/a.md", "no Rust\n", ""),
                ("crates/a/src/b/mod.rs", "//! x\n", "mod.rs"),
                (lib, "//! x\n#[allow(dead_code)]\nfn a() {}\n", ":2: an `allow`"),
                (lib, "//! x\n#![cfg_attr(test, allow(dead_code))]\n", "an `allow`"),
                (lib, "//! x\nfn f() { allow(1) } // #[allow(x)]\n", ""),
                (lib, "//! x\nconst A: &str = \"prompt_tokens\";\n", ":2: the provider's field"),
                (lib, "//! x\nconst A: &str = \"/usage/promptTokenCount\";\n", "promptTokenCount"),
                (lib, "//! x\nconst A: &str = \"prompt_tokens_total\";\n", ""),
                (lib, "//! x prompt_tokens\nlet prompt_tokens = 1;\n", ""),
                (
                    lib,
                    "//! x\n#[cfg(test)]\nmod tests {\n const A: &str = \"stop_reason\";\n}\n",
                    "",
                ),
                (wire, "//! x\nconst A: &str = \"prompt_tokens\";\n", ""),
            ],
        );
    }

    #[test]
    fn length_counts_code_and_not_tests() {
        let code = format!("//! x\n{}", "fn a() {}\n".repeat(LONGEST - 1));
        let tests = format!("{code}#[cfg(test)]\nmod tests {{\n{}}}\n", "fn b() {}\n".repeat(50));
        let long = format!("{code}fn b() {{}}\n");
        holds(
            check,
            &[
                ("xtask/src/a.rs", &code, ""),
                ("xtask/src/a.rs", &tests, ""),
                ("xtask/src/a.rs", &long, "401 lines"),
                ("crates/a/tests/it/b.rs", &long, ""),
            ],
        );
    }
}
