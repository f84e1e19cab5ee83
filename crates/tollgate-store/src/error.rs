//! What can go wrong when a database is opened, read or administered.
//!
//! Failures of the hot path are not here: the port of `tollgate-admission` has its own error.

use std::path::PathBuf;

use tollgate_admission::control::ControlError;

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file of the journal, or its directory, could not be used.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `create`, `read`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A second server was started on the same database.
    #[error(
        "another tollgate server uses {} already: stop it, or give this one its own [storage] url",
        .0.display()
    )]
    Locked(PathBuf),
    /// There is no database to read.
    #[error("there is no database at {}: start the server once, or check [storage] url", .0.display())]
    Missing(PathBuf),
    /// The file is a database of some other program.
    #[error("{} is an SQLite database of another program", .0.display())]
    Foreign(PathBuf),
    /// A later version of the program has written the file; going on could harm it.
    #[error("the database has schema {found}, this program knows {known}: use the newer program")]
    Newer {
        /// Schema of the file.
        found: i64,
        /// Latest schema that this program knows.
        known: i64,
    },
    /// The SQLite that is linked can corrupt a write-ahead log (fixed upstream in 3.51.3).
    #[error("SQLite {0} is linked, but 3.51.3 or later is needed")]
    OldSqlite(String),
    /// A name that must be unique exists.
    #[error("{what} `{name}` exists already")]
    Exists {
        /// What kind of thing: `key`, `user`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Nothing has this name or id.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// What kind of thing: `key`, `user`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A stored value cannot be read back.
    #[error("the database holds a {what} that cannot be read")]
    Malformed {
        /// What kind of value.
        what: &'static str,
    },
    /// A thread could not be started, or has died.
    #[error("the {name} thread failed: {source}")]
    Thread {
        /// Name of the thread.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Wraps an error of the file system.
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// As the control plane tells it: what is absent and what stands in the way keep their sentence.
impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unknown { what, name } => Self::NotFound { what, name },
            error @ StoreError::Exists { .. } => Self::Conflict(error.to_string()),
            error => Self::Failed(Box::new(error)),
        }
    }
}
