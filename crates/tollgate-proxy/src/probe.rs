//! Whether a provider answers, asked from outside of traffic: its list of models where it has one,
//! because that costs nothing and shows that the credential is taken; else a connection is all that
//! is made. No limit, no breaker and no row of the ledger hears of it.

use std::time::Duration;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use tollgate_domain::clock::Clock;

use crate::outgoing::{ANTHROPIC_VERSION, VERSION, address, finish};
use crate::provider::{Api, Backend, Provider, Remote};
use crate::upstream::Broken;

/// Who asks.
const ASKER: HeaderValue =
    HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION")));

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// How long it took.
    pub took: Duration,
    /// What is wrong; `None` where the provider is up.
    pub trouble: Option<String>,
}

/// Asks a provider; `None` where it is none on the network.
pub async fn probe(provider: &Provider, timeout: Duration, clock: &Clock) -> Option<Probed> {
    let Backend::Remote(remote) = &provider.backend else { return None };
    let begun = clock.monotonic();
    let trouble = match tokio::time::timeout(timeout, ask(&provider.api, remote)).await {
        Ok(Ok(status)) => status.and_then(trouble),
        Ok(Err(broken)) => Some(broken.to_string()),
        Err(_) => Some("no answer in time".to_owned()),
    };
    Some(Probed { took: clock.monotonic().saturating_sub(begun), trouble })
}

/// The status that a provider answers with, where it is asked anything.
async fn ask(api: &Api, remote: &Remote) -> Result<Option<StatusCode>, Broken> {
    let Some(path) = models(api, &remote.base_path) else {
        return remote.pool.reach().await.map(|()| None);
    };
    let mut request = Request::new(Full::default());
    finish(&mut request, remote, address(remote, &path)?);
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, ASKER);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if matches!(api, Api::Anthropic) {
        headers.entry(VERSION).or_insert(ANTHROPIC_VERSION);
    }
    Ok(Some(remote.pool.send(request).await?.status()))
}

/// The path of a provider's list of models, as short a one as it can be asked for.
fn models(api: &Api, base: &str) -> Option<String> {
    match api {
        Api::Openai => Some(format!("{base}/models")),
        Api::Azure(Some(version)) => Some(format!("{base}/openai/models?api-version={version}")),
        Api::Azure(None) => Some(format!("{base}/openai/v1/models")),
        Api::Anthropic => Some(format!("{base}/v1/models?limit=1")),
        Api::Gemini => Some(format!("{base}/v1beta/models?pageSize=1")),
        // Their lists stand at other services, with other rights.
        Api::Vertex(_) | Api::Bedrock(_) => None,
    }
}

/// What a status says is wrong. A compatible service without a list of models is up all the same.
fn trouble(status: StatusCode) -> Option<String> {
    match status.as_u16() {
        200..300 | 404 | 405 => None,
        code @ (401 | 403) => Some(format!("it refuses the credential with {code}")),
        code => Some(format!("it answers {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_is_asked_where_its_list_of_models_is() {
        for (api, base, path) in [
            (Api::Openai, "/v1", Some("/v1/models")),
            (Api::Anthropic, "", Some("/v1/models?limit=1")),
            (Api::Gemini, "", Some("/v1beta/models?pageSize=1")),
            (
                Api::Azure(Some("2024-10-21".into())),
                "",
                Some("/openai/models?api-version=2024-10-21"),
            ),
            (Api::Azure(None), "", Some("/openai/v1/models")),
            (Api::Vertex(None), "/v1/projects/p", None),
            (Api::Bedrock(None), "", None),
        ] {
            assert_eq!(models(&api, base).as_deref(), path, "{api:?}");
        }
    }

    #[test]
    fn a_service_is_up_that_answers_as_it_should_or_has_no_list() {
        let told = |code: u16| trouble(StatusCode::from_u16(code).unwrap());
        for up in [200, 204, 404, 405] {
            assert_eq!(told(up), None, "{up}");
        }
        assert_eq!(told(401).as_deref(), Some("it refuses the credential with 401"));
        for down in [301, 400, 429, 500, 503, 529] {
            assert_eq!(told(down), Some(format!("it answers {down}")));
        }
    }
}
