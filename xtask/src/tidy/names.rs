//! Names that say nothing: a module or type called after no responsibility collects what nobody
//! has thought through.

use super::Finding;
use super::file::File;

const EMPTY_WORDS: &[&str] = &["manager", "helper", "helpers", "util", "utils"];
/// Said of a module only; a type may speak of types.
const EMPTY_MODULES: &[&str] = &["common", "types"];
const TYPE_ITEMS: &[&str] = &["struct", "enum", "trait", "type", "union"];

/// Names of the file, and of the modules and types that are declared in it.
pub(super) fn check(file: &File) -> Vec<Finding> {
    if !file.is("rs") {
        return Vec::new();
    }
    let stem = file.name().trim_end_matches(".rs");
    let own = empty_module(stem).then_some((0, stem.to_owned()));
    let declared = (1..).zip(&file.rust).filter_map(|(at, line)| Some((at, declared(&line.code)?)));
    own.into_iter()
        .chain(declared)
        .map(|(at, name)| {
            Finding::new(
                &file.path,
                at,
                format!("the name `{name}` says nothing"),
                "name it after what it is responsible for, in the words of the field",
            )
        })
        .collect()
}

/// The empty name that a line declares.
fn declared(code: &str) -> Option<String> {
    let mut words = code
        .split(|char: char| !(char.is_alphanumeric() || char == '_'))
        .filter(|word| !word.is_empty() && *word != "pub" && *word != "crate" && *word != "super");
    let item = words.next()?;
    let name = words.next()?;
    let empty = match item {
        "mod" => empty_module(name),
        _ if TYPE_ITEMS.contains(&item) => camel_words(name).iter().any(|word| is_empty_word(word)),
        _ => false,
    };
    empty.then(|| name.to_owned())
}

fn empty_module(name: &str) -> bool {
    name.split('_').any(|word| is_empty_word(word) || EMPTY_MODULES.contains(&word))
}

fn is_empty_word(word: &str) -> bool {
    EMPTY_WORDS.contains(&word.to_ascii_lowercase().as_str())
}

fn camel_words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for char in name.chars() {
        match words.last_mut() {
            Some(word) if !char.is_uppercase() => word.push(char),
            _ => words.push(char.to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::table::holds;

    #[test]
    fn empty_names_are_found_where_they_are_declared() {
        let a = "crates/a/src/a.rs";
        holds(
            check,
            &[
                ("crates/a/src/util.rs", "//! x\n", "`util`"),
                ("crates/a/src/test_helpers.rs", "//! x\n", "`test_helpers`"),
                ("crates/a/src/common.rs", "//! x\n", "`common`"),
                (a, "pub(crate) mod types;\n", ":1: the name `types`"),
                (a, "pub struct KeyManager {}\n", "KeyManager"),
                (a, "trait Helper {}\n", "Helper"),
                (a, "type IoUtil = ();\n", "IoUtil"),
                (a, "struct Utilization;\nstruct CommonPrefix;\nenum TypesSeen {}\n", ""),
                (a, "// struct KeyManager\nlet a = \"struct KeyManager\";\n", ""),
                (a, "let manager = 1;\nuse axum::util::x;\n", ""),
                ("docs/util.md", "", ""),
            ],
        );
    }
}
