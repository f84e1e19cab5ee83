//! The arrows of the architecture (`ARCHITECTURE.md`, "The house"), read from the manifests, and
//! the crates that only one of ours may name.

use toml::{Table, Value};

use super::Finding;
use super::file::File;

const ALL: &[&str] = &[
    "tollgate-domain",
    "tollgate-wire",
    "tollgate-admission",
    "tollgate-store",
    "tollgate-counters",
    "tollgate-sinks",
    "tollgate-alerts",
    "tollgate-proxy",
    "tollgate-admin",
];
const PORTS: &[&str] = &["tollgate-admission", "tollgate-domain"];

/// Which crate may name which of ours.
const ARROWS: &[(&str, &[&str])] = &[
    ("tollgate-domain", &[]),
    ("tollgate-wire", &["tollgate-domain"]),
    ("tollgate-admission", &["tollgate-domain"]),
    ("tollgate-store", PORTS),
    ("tollgate-counters", PORTS),
    ("tollgate-sinks", PORTS),
    ("tollgate-alerts", PORTS),
    ("tollgate-proxy", &["tollgate-wire", "tollgate-admission", "tollgate-domain"]),
    ("tollgate-admin", PORTS),
    ("tollgate", ALL),
    ("tollgate-testkit", PORTS),
    ("xtask", &["tollgate-domain"]),
];

/// Foreign crates and who alone may name them.
const WRAPPERS: &[(&str, &[&str])] = &[
    ("rusqlite", &["tollgate-store"]),
    ("tokio-postgres", &["tollgate-store"]),
    ("redis", &["tollgate-counters"]),
    ("axum", &["tollgate-proxy", "tollgate-admin"]),
];
/// Without I/O and without async: the nouns, the dialects, the decision.
const PURE: &[&str] = &["tollgate-domain", "tollgate-wire", "tollgate-admission"];
const IMPURE: &[&str] = &["tokio", "hyper", "hyper-util", "reqwest", "axum"];
/// Crates that are nowhere in the graph: TLS is rustls.
const NOBODY: &[&str] = &["openssl", "openssl-sys", "native-tls"];

const TESTKIT: &str = "tollgate-testkit";

/// The rules about one manifest.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let member = file.name() == "Cargo.toml"
        && (file.path.starts_with("crates/") || file.path.starts_with("xtask/"));
    if !member {
        return Vec::new();
    }
    match file.text.parse::<Table>() {
        Ok(manifest) => Manifest::new(file, &manifest).check(),
        Err(error) => vec![Finding::new(&file.path, 0, error.message(), "write valid TOML")],
    }
}

/// Who stands in the lock file and must not.
pub(super) fn check_lock(files: &[File]) -> Vec<Finding> {
    let Some(lock) = files.iter().find(|file| file.path == "Cargo.lock") else {
        return Vec::new();
    };
    let named =
        |line: &str| NOBODY.iter().find(|name| line == format!("name = \"{name}\"")).copied();
    lock.lines()
        .filter_map(|(at, line)| {
            let wrong = format!("{} is in the graph", named(line)?);
            let remedy = "turn off the feature that asks for it; `cargo tree -i` names who does";
            Some(Finding::new(&lock.path, at, wrong, remedy))
        })
        .collect()
}

struct Manifest<'a> {
    file: &'a File,
    krate: &'a str,
    table: &'a Table,
}

struct Dependency<'a> {
    name: &'a str,
    value: &'a Value,
    dev: bool,
}

impl<'a> Manifest<'a> {
    fn new(file: &'a File, table: &'a Table) -> Self {
        let name = table.get("package").and_then(|package| package.get("name"));
        Self { file, table, krate: name.and_then(Value::as_str).unwrap_or_default() }
    }

    fn check(&self) -> Vec<Finding> {
        let Some((_, arrows)) = ARROWS.iter().find(|(name, _)| *name == self.krate) else {
            let wrong = format!("the crate `{}` is not part of the house", self.krate);
            let remedy = "a new crate needs an ADR, and its arrows in xtask/src/tidy/manifests.rs";
            return vec![self.finding("name", wrong, remedy)];
        };
        let dependencies = dependencies(self.table);
        let mut found: Vec<Finding> =
            dependencies.iter().filter_map(|dependency| self.judge(dependency, arrows)).collect();
        if self.table.get("lints").and_then(|lints| lints.get("workspace")).is_none() {
            let remedy = "add `[lints]` with `workspace = true`";
            found.push(self.finding("[lints]", "the lints are not the workspace's", remedy));
        }
        found
    }

    fn judge(&self, dependency: &Dependency<'_>, arrows: &[&str]) -> Option<Finding> {
        let name = dependency.name;
        let krate = self.krate;
        let (wrong, remedy) = if dependency.value.get("workspace").is_none() {
            (format!("`{name}` has a version of its own"), "inherit it: `name.workspace = true`")
        } else if name == TESTKIT {
            if dependency.dev {
                return None;
            }
            (format!("`{krate}` depends on the testkit"), "name it under [dev-dependencies] only")
        } else if name.starts_with("tollgate") && !arrows.contains(&name) {
            let remedy = "turn the arrow: let the lower crate own a port and the program join both";
            (format!("no arrow leads from `{krate}` to `{name}`"), remedy)
        } else if !dependency.dev && PURE.contains(&krate) && IMPURE.contains(&name) {
            let remedy = "keep I/O and async in tollgate-proxy or the program";
            (format!("`{krate}` is pure and names `{name}`"), remedy)
        } else {
            let (_, may) = WRAPPERS.iter().find(|(wrapped, _)| *wrapped == name)?;
            if may.contains(&krate) {
                return None;
            }
            (format!("`{krate}` names `{name}`"), "ask through the crate that wraps it")
        };
        Some(self.finding(name, wrong, remedy))
    }

    fn finding(&self, at: &str, wrong: impl Into<String>, remedy: &'static str) -> Finding {
        let line = self.file.lines().find(|(_, line)| line.trim_start().starts_with(at));
        Finding::new(&self.file.path, line.map_or(0, |(line, _)| line), wrong, remedy)
    }
}

fn dependencies(table: &Table) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    for (section, dev) in
        [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
    {
        let entries = table.get(section).and_then(Value::as_table).into_iter().flatten();
        found.extend(entries.map(|(name, value)| Dependency { name, value, dev }));
    }
    let targets = table.get("target").and_then(Value::as_table).into_iter().flatten();
    found.extend(targets.filter_map(|(_, inner)| inner.as_table()).flat_map(dependencies));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::table::holds;

    fn manifest(krate: &str, rest: &str) -> String {
        format!("[package]\nname = \"{krate}\"\n[lints]\nworkspace = true\n{rest}\n")
    }

    /// Who, in which section, names whom, and what is found.
    const ROWS: &[(&str, &str, &str, &str)] = &[
        ("tollgate-store", "dependencies", "rusqlite", ""),
        ("tollgate-store", "dependencies", "tollgate-admission", ""),
        ("tollgate-store", "dependencies", "tollgate-wire", "no arrow"),
        ("tollgate-admin", "dependencies", "tollgate-proxy", "no arrow"),
        ("tollgate-domain", "dev-dependencies", "tollgate-store", "no arrow"),
        ("tollgate", "dependencies", "tollgate-proxy", ""),
        ("tollgate", "dependencies", "tollgate-testkit", ":6: `tollgate`"),
        ("tollgate", "dev-dependencies", "tollgate-testkit", ""),
        ("tollgate", "dependencies", "rusqlite", "names `rusqlite`"),
        ("tollgate-wire", "dependencies", "tokio", "is pure"),
        ("tollgate-wire", "dev-dependencies", "tokio", ""),
        ("tollgate-wire", "target.'cfg(unix)'.dependencies", "tokio", "is pure"),
        ("tollgate-extra", "dependencies", "serde", "not part of the house"),
    ];

    #[test]
    fn arrows_are_kept() {
        for (krate, section, name, expected) in ROWS {
            let text = manifest(krate, &format!("[{section}]\n{name}.workspace = true"));
            holds(check, &[("crates/x/Cargo.toml", &text, expected)]);
        }
    }

    #[test]
    fn a_member_inherits_lints_and_versions() {
        let unlinted = "[package]\nname = \"tollgate-domain\"\n";
        let own = manifest("tollgate-wire", "[dependencies]\nserde = \"1\"");
        holds(
            check,
            &[
                ("crates/x/Cargo.toml", &own, "a version of its own"),
                ("crates/x/Cargo.toml", unlinted, "lints"),
                ("crates/x/Cargo.toml", "[package", "valid TOML"),
                ("Cargo.toml", "[package", ""),
            ],
        );
    }

    #[test]
    fn a_banned_crate_in_the_graph_is_found() {
        let text = "[[package]]\nname = \"openssl-sys\"\n\n[[package]]\nname = \"openssl-probe\"\n";
        let found = check_lock(&[File::new("Cargo.lock".to_owned(), text.to_owned())]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
    }
}
