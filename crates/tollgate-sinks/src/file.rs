//! A file of lines, set aside by size, by day, or both; so many old ones are kept.
//!
//! Somebody else may set the file aside too (`logrotate`): the sink notices that its file is not at
//! its path any more and begins a new one.

mod rotate;
mod send;

use crate::event::WriteLine;
use crate::settings::FileConfig;
use send::Open;

/// The sink.
pub(crate) struct Lines {
    config: FileConfig,
    line: WriteLine,
    open: Option<Open>,
}

impl Lines {
    pub(crate) fn new(config: &FileConfig, line: WriteLine) -> Self {
        Self { config: config.clone(), line, open: None }
    }
}

#[cfg(test)]
mod tests;
