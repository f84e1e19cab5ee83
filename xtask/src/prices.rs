//! `cargo xtask prices`: makes the price book that the program carries.
//!
//! It reads the data of the `genai-prices` crate in cargo's registry and writes the facts alone
//! (ids, rules about names, prices) in the notation of `tollgate_domain::price`. Numbers are
//! carried as text; a price key, rule or pattern that is not understood stops it, so that nothing
//! is left out in silence.

mod facts;
mod pattern;
mod source;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tollgate_domain::price::PriceBook;

const BOOK: &str = "crates/tollgate-domain/data/prices.txt";
const SOURCE: &str = "genai-prices";
/// How many names a list of differences shows.
const SHOWN: usize = 20;

/// Arguments of `prices`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail where the book is not what the data makes of it.
    #[arg(long)]
    check: bool,
    /// The day on which the data was released (YYYY-MM-DD); needed when its version changes.
    #[arg(long)]
    released: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    manifest_path: PathBuf,
}

/// Makes the book, or checks it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = metadata()?;
    let package = metadata.packages.iter().find(|package| package.name == SOURCE);
    let package = package.with_context(|| format!("{SOURCE} is not in the workspace's graph"))?;
    let data = package.manifest_path.with_file_name("data").join("prices.json");
    let data = std::fs::read_to_string(&data).with_context(|| data.display().to_string())?;
    let path = metadata.workspace_root.join(BOOK);
    let before = std::fs::read_to_string(&path).unwrap_or_default();

    let released = released(args, &before, &package.version)?;
    let after = facts::book(&data, &package.version, &released)?;
    PriceBook::parse(after.clone()).context("the book that was made cannot be read")?;
    report(&before, &after)?;
    match (args.check, before == after) {
        (_, true) => Ok(()),
        (true, false) => bail!("{BOOK} is not current: run `cargo xtask prices`"),
        (false, false) => write(&path, &after),
    }
}

fn metadata() -> Result<Metadata> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo).args(["metadata", "--format-version", "1"]).output()?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The day as stated, else as the present book of the same version has it.
fn released(args: &Args, before: &str, version: &str) -> Result<String> {
    let line = before.lines().find_map(|line| line.strip_prefix("version\t"));
    let known = line.and_then(|line| line.strip_prefix(version)?.strip_prefix(' '));
    let stated = args.released.as_deref().or(known);
    let needed = || format!("state the day on which {version} was released: --released YYYY-MM-DD");
    Ok(stated.with_context(needed)?.to_owned())
}

fn write(path: &Path, book: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, book).with_context(|| path.display().to_string())
}

/// Says which models came, went and changed.
fn report(before: &str, after: &str) -> Result<()> {
    let (before, after) = (models(before), models(after));
    let added = after.keys().filter(|id| !before.contains_key(*id));
    let removed = before.keys().filter(|id| !after.contains_key(*id));
    let changed = after.iter().filter(|(id, line)| before.get(*id).is_some_and(|old| old != *line));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} models", after.len())?;
    show(&mut out, "added", &added.collect::<Vec<_>>())?;
    show(&mut out, "removed", &removed.collect::<Vec<_>>())?;
    show(&mut out, "changed", &changed.map(|(id, _)| id).collect::<Vec<_>>())
}

fn show(out: &mut impl std::io::Write, what: &str, ids: &[&(&str, &str)]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    writeln!(out, "{what}: {}", ids.len())?;
    for (provider, model) in ids.iter().take(SHOWN) {
        writeln!(out, "  {provider}/{model}")?;
    }
    if let Some(more) = ids.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        writeln!(out, "  and {more} more")?;
    }
    Ok(())
}

/// The lines of a book by provider and model.
fn models(book: &str) -> BTreeMap<(&str, &str), &str> {
    let mut models = BTreeMap::new();
    let mut provider = "";
    for line in book.lines() {
        match line.split_once('\t') {
            Some(("provider", id)) => provider = id,
            Some(("model", rest)) => {
                let (id, facts) = rest.split_once('\t').unwrap_or((rest, ""));
                models.insert((provider, id), facts);
            }
            _ => {}
        }
    }
    models
}
