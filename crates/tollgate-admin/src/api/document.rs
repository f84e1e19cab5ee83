//! The head of the API's document: what it is, and how its users prove who they are. The operations
//! add themselves.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, OpenApi as Document};
use utoipa::{Modify, OpenApi};

use super::problem::{ErrorBody, ErrorFacts};

/// The name of the security scheme.
const SCHEME: &str = "admin_key";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tollgate admin API",
        description = "Users, keys, limits, calls, usage, the kill switch and the audit. Money is a \
                       decimal string in USD with nine decimals, times are RFC 3339, counts are \
                       integers. Fields may be added, none is renamed.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ErrorBody, ErrorFacts)),
    security(("admin_key" = [])),
    modifiers(&Scheme)
)]
struct Head;

struct Scheme;

impl Modify for Scheme {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_with(Components::default)
            .add_security_scheme(SCHEME, scheme);
    }
}

/// The document without operations.
pub(super) fn head() -> Document {
    Head::openapi()
}

/// The document of the API, as JSON with line breaks.
pub fn openapi() -> String {
    super::operations().into_openapi().to_pretty_json().unwrap_or_default()
}
