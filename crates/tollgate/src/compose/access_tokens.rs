//! The access tokens of Google Cloud, one for each service account that a provider is called with.
//! They outlive a reload, so that a reload costs no fetch; who renews them is
//! [`crate::serve`]'s concern.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tollgate_proxy::provider::AccessToken;

/// Tokens by the file of their service account.
#[derive(Debug, Default)]
pub(crate) struct AccessTokens(Mutex<BTreeMap<PathBuf, Arc<AccessToken>>>);

impl AccessTokens {
    /// The token of a service account; empty until it was fetched.
    pub(crate) fn of(&self, file: &Path) -> Arc<AccessToken> {
        Arc::clone(self.0.lock().entry(file.to_owned()).or_default())
    }

    /// All tokens.
    pub(crate) fn all(&self) -> Vec<(PathBuf, Arc<AccessToken>)> {
        let tokens = self.0.lock();
        tokens.iter().map(|(file, token)| (file.clone(), Arc::clone(token))).collect()
    }
}
