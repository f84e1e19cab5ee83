//! What is installed before the first document: the index template and the retention policy, from
//! the files of `deploy/`. Until they are in place nothing is sent, because a document that comes
//! first makes an index with fields of the wrong types, for good.

use http::{Method, StatusCode};

use crate::settings::Setup;
use crate::transport::http::{Ask, HttpClient};
use crate::worker::Delivery;

/// A document that is put under a path.
pub(super) struct Document {
    path: &'static str,
    text: &'static str,
    /// Whether there may be one already that is left alone.
    keep: bool,
}

const TEMPLATE: Document = Document {
    path: "/_index_template/tollgate-logs",
    text: include_str!("../../../../deploy/elasticsearch/index-template.json"),
    keep: false,
};
const OPENSEARCH_TEMPLATE: Document = Document {
    path: "/_index_template/tollgate-logs",
    text: include_str!("../../../../deploy/elasticsearch/index-template.opensearch.json"),
    keep: false,
};
/// Operators change how long logs are kept: what is there is left alone.
const ILM: Document = Document {
    path: "/_ilm/policy/tollgate-logs",
    text: include_str!("../../../../deploy/elasticsearch/ilm-policy.json"),
    keep: true,
};
/// The same of OpenSearch.
const ISM: Document = Document {
    path: "/_plugins/_ism/policies/tollgate-logs",
    text: include_str!("../../../../deploy/elasticsearch/ism-policy.json"),
    keep: true,
};

/// What is to be installed, last first: the template names the policy.
pub(super) fn documents(setup: Setup) -> Vec<Document> {
    match setup {
        Setup::Off => Vec::new(),
        Setup::Elasticsearch => vec![TEMPLATE, ILM],
        Setup::Opensearch => vec![OPENSEARCH_TEMPLATE, ISM],
    }
}

impl Document {
    /// Puts it in place.
    pub(super) async fn install(&self, client: &mut HttpClient) -> Result<(), Delivery> {
        if self.keep && self.is_there(client).await? {
            return Ok(());
        }
        let body = self.text.as_bytes().to_vec();
        let answer = client.ask(self.ask(Method::PUT, body)).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let Self { path, .. } = self;
        let why = format!("PUT {path} is answered with {}", answer.status.as_u16());
        Err(Delivery::Later { why, after: answer.retry_after() })
    }

    async fn is_there(&self, client: &mut HttpClient) -> Result<bool, Delivery> {
        let answer = client.ask(self.ask(Method::GET, Vec::new())).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            status => {
                let Self { path, .. } = self;
                Err(Delivery::later(format!("GET {path} is answered with {}", status.as_u16())))
            }
        }
    }

    const fn ask(&self, method: Method, body: Vec<u8>) -> Ask<'static> {
        Ask { method, path: self.path, content_type: "application/json", body }
    }
}
