//! The hygiene of every text file: line ends, characters that cannot be seen, what belongs to one
//! machine or one download host only.

use super::Finding;
use super::file::File;

/// First parts of absolute paths that mean something on one machine only.
const MACHINE_FOLDERS: &[&str] = &["home", "root", "work", "tmp", "Users"];
/// Where packages are downloaded from; a lock names packages and hashes, never a host.
const DOWNLOAD_HOSTS: &[&str] = &[
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "registry.npmjs.org",
    "pypi.org",
    "files.pythonhosted.org",
    "proxy.golang.org",
];
/// Written by tools, or word for word somebody else's.
const VERBATIM: &[&str] = &["LICENSE", "Cargo.lock"];

/// All rules about one text file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let recorded = ["snap", "sse", "seed"].iter().any(|extension| file.is(extension));
    let verbatim = VERBATIM.contains(&file.name()) || recorded;
    if verbatim || file.text.contains('\0') {
        return Vec::new();
    }
    let mut found: Vec<Finding> = file
        .lines()
        .flat_map(|(at, line)| {
            let wrong = line_faults(line);
            wrong
                .into_iter()
                .map(move |(wrong, remedy)| Finding::new(&file.path, at, wrong, remedy))
        })
        .collect();
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        let last = file.text.lines().count();
        found.push(Finding::new(&file.path, last, "no newline at the end", "add it"));
    }
    if file.text.ends_with("\n\n") {
        let last = file.text.lines().count();
        found.push(Finding::new(&file.path, last, "empty lines at the end", "remove them"));
    }
    if file.text.contains("\r\n") {
        found.push(Finding::new(&file.path, 0, "lines end in CR LF", "end lines with LF"));
    }
    found
}

fn line_faults(line: &str) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    if line.ends_with([' ', '\t']) {
        found.push(("blanks at the end of the line".to_owned(), "remove them"));
    }
    if let Some(unseen) = line.chars().find(|char| is_unseen(*char)) {
        let code = u32::from(unseen);
        found.push((format!("the unseen character U+{code:04X}"), "write it as an escape"));
    }
    if [("<", 7), (">", 7), ("|", 7)].iter().any(|(mark, times)| is_merge_mark(line, mark, *times))
    {
        found.push(("a mark of an unfinished merge".to_owned(), "finish the merge"));
    }
    if let Some(path) = MACHINE_FOLDERS.iter().find(|path| names_path(line, path)) {
        let remedy = "use a relative path, a variable or mktemp";
        found.push((format!("`/{path}` is a folder of one machine"), remedy));
    }
    if let Some(host) = DOWNLOAD_HOSTS.iter().find(|host| names_host(line, host)) {
        let remedy = "name the package; where it comes from is the tool's configuration";
        found.push((format!("the download host {host}"), remedy));
    }
    found
}

/// Controls but tab, and the formatting characters that hide or reorder text. The joiner stays:
/// scripts and emoji need it.
fn is_unseen(char: char) -> bool {
    let hides = matches!(char, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
    let reorders = matches!(char, '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}');
    (char.is_control() && char != '\t') || hides || reorders
}

fn is_merge_mark(line: &str, mark: &str, times: usize) -> bool {
    let rest = line.strip_prefix(mark.repeat(times).as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// Whether an absolute path begins here: not the middle of a relative one or of a URL.
fn names_path(line: &str, folder: &str) -> bool {
    line.match_indices(&format!("/{folder}/")).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        !before.is_some_and(|char| char.is_alphanumeric() || "._-/*}>)".contains(char))
    })
}

fn names_host(line: &str, host: &str) -> bool {
    line.match_indices("://").any(|(at, _)| {
        let rest = line.get(at + 3..).unwrap_or_default();
        let rest = rest.strip_prefix("www.").unwrap_or(rest);
        let after = rest.strip_prefix(host).map(|tail| tail.chars().next());
        after.is_some_and(|next| !next.is_some_and(|char| char.is_alphanumeric() || char == '.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::table::holds;

    #[test]
    fn each_fault_of_a_text_is_found() {
        let merge = format!("{} main\n", "<".repeat(7));
        let home = concat!("see /ho", "me/ann/x\n");
        let temporary = concat!("out=\"/t", "mp/x\"\n");
        let host = concat!("https:/", "/crates.io/crates/x\n");
        holds(
            check,
            &[
                ("a.md", "fine\n", ""),
                ("a.md", "", ""),
                ("a.md", "no end", ":1: no newline"),
                ("a.md", "one\n\n", "empty lines"),
                ("a.md", "blank \n", "blanks at the end"),
                ("a.md", "a\u{202e}b\n", "U+202E"),
                ("a.md", "a\u{1b}[0m\n", "U+001B"),
                ("a.md", "\u{feff}a\n", "U+FEFF"),
                ("a.md", "한국어\tä → ü\n", ""),
                ("a.md", &merge, "merge"),
                ("a.md", "=======\n", ""),
                ("a.md", home, "folder of one machine"),
                ("scripts/a", temporary, "folder of one machine"),
                ("a.md", "crates/work/x and ../home/x and http://a.b/tmp/x\n", ""),
                ("a.md", host, "download host"),
                ("a.md", "https://docs.example.com/crates.io/\n", ""),
                ("LICENSE", "verbatim ", ""),
            ],
        );
    }

    #[test]
    fn line_ends_of_another_system_are_found_once() {
        let file = File::new("a.md".to_owned(), "a\r\nb\r\n".to_owned());
        let found = check(&file);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].wrong.contains("CR LF"));
    }
}
