//! Names of files that were set aside, and which of them go.
//!
//! `calls.jsonl` becomes `calls.jsonl.2026-11-21.1`, after the day of its first line; a second one
//! of that day ends in `.2`. Names sort by age.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

/// Sets the file aside.
pub(super) fn set_aside(path: &Path, day: Date) -> io::Result<()> {
    let newest = aside(path)?.into_iter().filter(|each| each.day == day).map(|each| each.number);
    let number = newest.max().unwrap_or(0) + 1;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{day}.{number}"));
    fs::rename(path, PathBuf::from(name))
}

/// Removes all but the newest `keep` files that were set aside.
pub(super) fn remove_old(path: &Path, keep: usize) -> io::Result<()> {
    let mut found = aside(path)?;
    found.sort_unstable_by_key(|each| (each.day, each.number));
    let surplus = found.len().saturating_sub(keep);
    found.into_iter().take(surplus).try_for_each(|each| fs::remove_file(each.path))
}

struct Aside {
    day: Date,
    number: u32,
    path: PathBuf,
}

/// The files that were set aside from this path.
fn aside(path: &Path) -> io::Result<Vec<Aside>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".";
    let entries = fs::read_dir(folder_of(path))?;
    let parse = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let (day, number) = file.strip_prefix(&name)?.split_once('.')?;
        Some(Aside { day: day.parse().ok()?, number: number.parse().ok()?, path: entry.path() })
    };
    Ok(entries.filter_map(parse).collect())
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}
