//! Which price book is in force: the one that comes with the program, or a newer one that a price
//! refresh has brought and kept beside the database.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tollgate_domain::price::PriceBook;

use crate::config::{Config, JobKind};
use crate::{out, serve};

/// Where a book that was refreshed is kept.
fn path_of(database: &Path) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(".prices");
    PathBuf::from(path)
}

/// Keeps a book over a restart; it is there whole or not at all.
pub(crate) fn keep(database: &Path, text: &str) -> std::io::Result<()> {
    let path = path_of(database);
    let mut fresh = OsString::from(&path);
    fresh.push(".new");
    std::fs::write(&fresh, text)?;
    std::fs::rename(&fresh, &path)
}

/// The book that a program begins with. One that was refreshed holds while refreshing is configured,
/// unless the program has brought a later one since.
pub(crate) fn first(config: &Config) -> anyhow::Result<PriceBook> {
    let bundled = PriceBook::bundled()?;
    let is_refreshed = config.jobs.others.contains_key(&JobKind::PriceRefresh);
    let path = match serve::database(config) {
        Ok(database) if is_refreshed => path_of(&database),
        _ => return Ok(bundled),
    };
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(bundled) };
    match PriceBook::parse(text) {
        Ok(kept) if kept.released() >= bundled.released() => Ok(kept),
        Ok(_) => Ok(bundled),
        Err(error) => {
            out::note(format_args!(
                "`{}` is no price book, the program's own holds: {error}",
                path.display()
            ));
            Ok(bundled)
        }
    }
}
