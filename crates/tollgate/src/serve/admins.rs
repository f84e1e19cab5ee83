//! Who may use the admin API: whoever holds the configuration's admin key or a key of role `admin`.
//! Credentials are compared by keyed digest, so that the time it takes tells nothing.

use secrecy::ExposeSecret as _;
use tollgate_admin::api::{Authenticate, Denied};
use tollgate_admission::control::Actor;
use tollgate_admission::identity::Role;

use super::start::Handle;

/// Whom the audit names for the configuration's key; names of keys carry a prefix.
const BOOTSTRAP: &str = "admin_key";

/// The check of the admin API over what is in force.
pub(super) fn authenticate(handle: Handle) -> Authenticate {
    Authenticate::new(move |credential, from| {
        let hasher = &handle.ground.hasher;
        let own = {
            let config = handle.config.lock();
            let key = config.server.admin_key.as_ref();
            key.map(|key| hasher.digest(key.expose_secret().as_bytes()))
        };
        if own == Some(hasher.digest(credential)) {
            return Ok(Actor(BOOTSTRAP.to_owned()));
        }
        let snapshot = handle.plane.snapshot.load();
        let now = handle.ground.clock.now();
        match snapshot.keys.find(hasher, credential, from, now) {
            Ok(key) if key.role == Role::Admin => Ok(Actor(format!("key:{}", key.name))),
            Ok(_) => Err(Denied::NotAdmin),
            Err(_) => Err(Denied::Unknown),
        }
    })
}
