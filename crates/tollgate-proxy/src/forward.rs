//! Step 6: the request goes to the provider. It asks for an [`OpenCall`], which only admission
//! makes, so nothing reaches the network unadmitted.
//!
//! The exchange is one future from the first byte sent to the head of the answer (and, unless it is
//! a stream, to its end). When the client goes away meanwhile, that future is not lost: it is
//! handed to the task that looks after such calls, with the call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT,
    FORWARDED, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use jiff::Timestamp;
use tollgate_wire::openai::{Rewrite, rewrite};
use tollgate_wire::simulated::{self, Ask};

use crate::answer::Answer;
use crate::identify::{API_KEY, GOOGLE_API_KEY};
use crate::leftover::Leftover;
use crate::open_call::OpenCall;
use crate::snapshot::{Backend, Remote};
use crate::upstream::{Broken, Phase};

/// Headers whose names begin so are between the client and us.
const KEPT_HERE: [&str; 3] = ["x-tollgate-", "x-forwarded-", "proxy-"];

/// The future that brings an answer.
pub(crate) type Exchange = Pin<Box<dyn Future<Output = Result<Answer, Broken>> + Send>>;

/// A call whose answer is awaited.
pub struct Forwarded {
    waiting: Option<(Box<OpenCall>, Exchange)>,
}

impl std::fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forwarded(..)")
    }
}

/// Sends an admitted call on its way.
pub fn forward(call: Box<OpenCall>, headers: &HeaderMap) -> Forwarded {
    let exchange: Exchange = match &call.chosen.target.provider.backend {
        Backend::Remote(remote) => {
            let request = request(&call, remote, headers);
            let (pool, total) = (Arc::clone(&remote.pool), remote.total);
            let wants_stream = call.peek.stream;
            let max_answer = call.snapshot.settings.max_answer;
            Box::pin(async move {
                let exchange = async {
                    let response = pool.send(request?).await?;
                    Answer::of(response, wants_stream, max_answer).await
                };
                match tokio::time::timeout(total, exchange).await {
                    Ok(answered) => answered,
                    Err(_) => Err(Broken::timed_out(Phase::Request, "no whole answer in time")),
                }
            })
        }
        Backend::Simulated(script) => {
            let ask = Ask {
                endpoint: call.endpoint,
                peek: &call.peek,
                body: &call.body,
                include_usage: true,
                call: call.plane.ids.draw(),
                created: seconds(call.admitted.record().time),
            };
            let plan = simulated::answer(script, &ask);
            Box::pin(Answer::of_simulated(plan))
        }
    };
    Forwarded { waiting: Some((call, exchange)) }
}

impl Forwarded {
    /// The call that waits.
    pub fn call(&self) -> Option<&OpenCall> {
        self.waiting.as_ref().map(|(call, _)| &**call)
    }
}

impl Future for Forwarded {
    type Output = (Box<OpenCall>, Result<Answer, Broken>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((_, exchange)) = &mut self.waiting else {
            return Poll::Pending;
        };
        match exchange.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(answered) => match self.waiting.take() {
                Some((call, _)) => Poll::Ready((call, answered)),
                None => Poll::Pending,
            },
        }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        if let Some((call, exchange)) = self.waiting.take() {
            Leftover::Awaited(call, exchange).hand_over();
        }
    }
}

/// The request that the provider gets: the client's own, but for credentials, model name and the
/// usage that must be asked for.
fn request(
    call: &OpenCall,
    remote: &Remote,
    headers: &HeaderMap,
) -> Result<Request<Full<Bytes>>, Broken> {
    let target = &call.chosen.target;
    let body = rewrite(
        call.endpoint,
        &call.body,
        &call.peek,
        &Rewrite {
            model: Some(&target.model),
            include_usage: true,
            max_output: call.clamped_output,
            legacy_max_tokens: target.provider.vendor.legacy_max_tokens,
        },
    );
    let below = call.endpoint.path().strip_prefix("/v1").unwrap_or_default();
    let path = format!("{}{below}", remote.base_path);
    let uri = Uri::builder()
        .scheme(if remote.origin.tls { "https" } else { "http" })
        .authority(remote.host.as_bytes())
        .path_and_query(path)
        .build()
        .map_err(|error| Broken::new(Phase::Connect, error))?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = request_headers(call, remote, headers);
    Ok(request)
}

/// The client's headers without what is between it and us, and with the provider's own.
fn request_headers(call: &OpenCall, remote: &Remote, from_client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from_client.len() + remote.headers.len() + 2);
    headers.insert(HOST, remote.host.clone());
    for (name, value) in from_client {
        if passes(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    if let Some(captcha) = call.snapshot.captcha() {
        headers.remove(captcha.header());
    }
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &remote.headers {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or_default()
}

/// Whether a client's header is for the provider. Credentials, cookies, addresses and everything
/// that belongs to one connection are not; nor is the wish for compression, because usage is read
/// from the answer as it passes.
fn passes(name: &HeaderName) -> bool {
    const STAY: [HeaderName; 16] = [
        HOST,
        AUTHORIZATION,
        API_KEY,
        GOOGLE_API_KEY,
        COOKIE,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        ACCEPT_ENCODING,
        CONNECTION,
        EXPECT,
        TE,
        TRAILER,
        UPGRADE,
        FORWARDED,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("baggage"),
    ];
    !STAY.contains(name)
        && !KEPT_HERE.iter().any(|prefix| name.as_str().starts_with(prefix))
        && *name != crate::accept::REQUEST_ID
}
