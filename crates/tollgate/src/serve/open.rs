//! What the configuration says must be there, opened: listeners, database, ledger.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tollgate_store::{Recovery, SqliteLedger};

use crate::config::{Config, StorageUrl};
use crate::stored;

/// The listeners of the data plane and of the admin plane.
pub(super) async fn listeners(config: &Config) -> anyhow::Result<(TcpListener, TcpListener)> {
    Ok((bind(config.server.listen).await?, bind(config.server.admin_listen).await?))
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: is another server running there?"))
}

/// The file of the embedded database.
pub(crate) fn database(config: &Config) -> anyhow::Result<PathBuf> {
    match &config.storage.url {
        StorageUrl::Sqlite(path) => Ok(path.clone()),
        StorageUrl::Postgres(_) => bail!("storage.url: PostgreSQL is not served by this version"),
    }
}

/// The ledger, and what the last run left in its journal.
pub(super) fn ledger(
    config: &Config,
    path: &Path,
) -> anyhow::Result<(Arc<SqliteLedger>, Recovery)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    }
    let (ledger, recovery) = SqliteLedger::open(path, &stored::options(config))
        .with_context(|| format!("the ledger `{}` cannot be opened", path.display()))?;
    Ok((Arc::new(ledger), recovery))
}
