//! The errors of providers in the words of the client's dialect.
//!
//! The provider's message and code stay: they say what is wrong. Only the shape changes, and the
//! status where a dialect's clients do not know it.

use bytes::Bytes;
use tollgate_domain::call::Dialect;

use crate::endpoint::Endpoint;
use crate::error::{provider_error, provider_status};
use crate::facts::InbandError;
use crate::openai::read_error;

/// An error answer of a provider for the client: the status and the body.
///
/// A body that says nothing is given a message that names the status.
pub fn translate_error(
    client: Endpoint,
    status: u16,
    body: &[u8],
    request_id: Option<&str>,
) -> (u16, Bytes) {
    let dialect: Dialect = client.dialect();
    let mut error = read_error(body).unwrap_or_default();
    if error.message.is_empty() {
        error.message = format!("the provider answered with status {status}").into();
    }
    let status = provider_status(dialect, status);
    error.status = Some(status);
    (status, provider_error(dialect, &error, request_id))
}

/// The same for an error inside an answer of status 200.
pub(crate) fn inband(client: Dialect, error: &InbandError) -> Bytes {
    provider_error(client, error, None)
}
