//! What makes two calls the same: a digest of everything that the answer may depend on.
//!
//! That is the endpoint, the public model and who serves it, every member of the body, the query and
//! the few headers that change what a provider answers. It is not the credential, ids of requests
//! and traces, or what the client says about itself (`user-agent`): no answer depends on them.
//! `user` and `metadata` are members of the body like any other, because answers repeat them.

use aws_lc_rs::digest::{Context, SHA256};
use http::request::Parts;
use tollgate_wire::canonical::canonical;

use crate::admit::Candidate;
use crate::identify::without_credential;

/// SHA-256 of what makes a call what it is.
pub(crate) type Digest = [u8; 32];

/// Headers that change what a provider answers.
const HEADERS: [&str; 5] =
    ["anthropic-beta", "anthropic-version", "openai-beta", "openai-organization", "openai-project"];

/// A call as it is compared with others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompt {
    /// The same for all calls that ask the same.
    pub(crate) digest: Digest,
    /// Whether the body is JSON that can be read in one way only, so that its canonical form is what
    /// was compared; else the bytes were.
    pub(crate) canonical: bool,
}

/// What a call asks, whoever asks it.
pub(crate) fn prompt(candidate: &Candidate, head: &Parts) -> Prompt {
    let Candidate { endpoint, asked, chosen, through, .. } = candidate;
    let form = canonical(&asked.body);
    let mut hash = Fields::new(b"tollgate prompt 1");
    hash.field(endpoint.path().as_bytes());
    hash.field(asked.peek.model.as_bytes());
    for target in &chosen.route.targets {
        hash.field(target.provider.name.as_bytes());
        hash.field(target.model.as_bytes());
    }
    hash.end_list();
    match through {
        Some(through) => {
            hash.field(through.method.as_str().as_bytes());
            hash.field(through.path.as_bytes());
        }
        None => hash.field(head.uri.query().map(without_credential).unwrap_or_default().as_bytes()),
    }
    for name in HEADERS {
        for value in head.headers.get_all(name) {
            hash.field(value.as_bytes());
        }
        hash.end_list();
    }
    hash.field(form.as_deref().unwrap_or(&asked.body));
    Prompt { digest: hash.finish(), canonical: form.is_some() }
}

/// The same prompt as one of several users, so that it meets none of another.
pub(crate) fn of_user(prompt: &Digest, user: &str) -> Digest {
    let mut hash = Fields::new(b"tollgate user 1");
    hash.field(prompt);
    hash.field(user.as_bytes());
    hash.finish()
}

/// An idempotency key as one of whoever sent it: the name of the key, and the user it acts for.
pub(crate) fn of_repetition(candidate: &Candidate, key: &str) -> Digest {
    let mut hash = Fields::new(b"tollgate idempotency 1");
    hash.field(candidate.caller.principal.key.name.as_bytes());
    hash.field(candidate.caller.principal.user.as_bytes());
    hash.field(key.as_bytes());
    hash.finish()
}

/// Hashes fields so that no two lists of them run together.
struct Fields(Context);

impl Fields {
    fn new(purpose: &[u8]) -> Self {
        let mut fields = Self(Context::new(&SHA256));
        fields.field(purpose);
        fields
    }

    fn field(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX - 1);
        self.0.update(&length.to_le_bytes());
        self.0.update(bytes);
    }

    fn end_list(&mut self) {
        self.0.update(&u64::MAX.to_le_bytes());
    }

    fn finish(self) -> Digest {
        let mut digest = Digest::default();
        for (to, from) in digest.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        digest
    }
}
