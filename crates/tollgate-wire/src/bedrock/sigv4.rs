//! Signs requests to AWS (Signature Version 4), as a pure function: the time is an argument.
//!
//! The path is encoded once more than it stands on the wire (`%3A` becomes `%253A`) and brought to
//! its plain form, as every service but S3 wants it. What is signed must be what is sent: whoever
//! changes a signed header, the path or the body afterwards breaks the signature. Source: the AWS
//! guide on creating a signed request, and its published test suite.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;

use crate::endpoint::unescaped;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs. The secrets show in no debug output.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The id of the access key.
    pub access_key_id: &'a str,
    /// Its secret.
    pub secret_access_key: &'a str,
    /// The token of a session, for credentials that expire.
    pub session_token: Option<&'a str>,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// What a signature holds for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The region, as in the host name.
    pub region: &'a str,
    /// The service; for the runtime of Bedrock it is `bedrock`.
    pub service: &'a str,
    /// When. AWS takes a signature for five minutes.
    pub time: Timestamp,
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path as it stands on the wire, without query.
    pub path: &'a str,
    /// The query as it stands on the wire, without `?`.
    pub query: &'a str,
    /// Headers to sign. `host` must be among them; `x-amz-date` and the session's token must not:
    /// they are added here.
    pub headers: &'a [(&'a str, &'a str)],
    /// See [`payload_hash`].
    pub payload_hash: &'a str,
}

/// The hash of a body, as a signature names it.
pub fn payload_hash(body: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, body).as_ref())
}

/// The headers that make a request a signed one, to be added to those that were signed.
pub fn sign(
    request: &Request<'_>,
    credentials: &Credentials<'_>,
    scope: &Scope<'_>,
) -> Vec<(&'static str, String)> {
    let time = scope.time.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = time.get(..8).unwrap_or_default();
    let mut added = vec![("x-amz-date", time.clone())];
    if let Some(token) = credentials.session_token {
        added.push(("x-amz-security-token", token.to_owned()));
    }
    let (headers, names) = canonical_headers(request.headers, &added);
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{names}\n{}",
        request.method,
        canonical_path(request.path),
        canonical_query(request.query),
        request.payload_hash
    );
    let holds_for = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let hash = payload_hash(canonical.as_bytes());
    let to_sign = format!("{ALGORITHM}\n{time}\n{holds_for}\n{hash}");
    let key = signing_key(credentials.secret_access_key, day, scope);
    let signature = hex(hmac::sign(&key, to_sign.as_bytes()).as_ref());
    let who = credentials.access_key_id;
    let authorization = format!(
        "{ALGORITHM} Credential={who}/{holds_for}, SignedHeaders={names}, Signature={signature}"
    );
    added.push(("authorization", authorization));
    added
}

fn signing_key(secret: &str, day: &str, scope: &Scope<'_>) -> hmac::Key {
    let first = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    [day, scope.region, scope.service, "aws4_request"].iter().fold(first, |key, part| {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())
    })
}

/// The headers in order, a line each, and their names.
fn canonical_headers(signed: &[(&str, &str)], added: &[(&str, String)]) -> (String, String) {
    let added = added.iter().map(|(name, value)| (*name, &**value));
    let mut all: Vec<(String, String)> = signed
        .iter()
        .copied()
        .chain(added)
        .map(|(name, value)| (name.to_ascii_lowercase(), single_spaced(value)))
        .collect();
    // Values of one name stay in the order in which they are sent.
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut lines, mut names) = (String::new(), String::new());
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let Some((name, _)) = group.first() else { continue };
        let values: Vec<&str> = group.iter().map(|(_, value)| &**value).collect();
        lines.push_str(&[name, ":", &values.join(","), "\n"].concat());
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(name);
    }
    (lines, names)
}

fn single_spaced(value: &str) -> String {
    value.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The path without `.`, `..` and doubled slashes, encoded.
fn canonical_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut out = String::with_capacity(path.len() + 8);
    for part in &parts {
        out.push('/');
        push_encoded(&mut out, part);
    }
    if out.is_empty() || path.ends_with('/') {
        out.push('/');
    }
    out
}

/// The parameters in order of their names, then of their values.
fn canonical_query(query: &str) -> String {
    let encoded = |part: &str| {
        let mut out = String::with_capacity(part.len());
        push_encoded(&mut out, &unescaped(part));
        out
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| [name, "=", value].concat()).collect();
    pairs.join("&")
}

/// Appends `text` with every byte escaped that RFC 3986 does not leave alone.
pub(crate) fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let written = write!(out, "%{byte:02X}");
            debug_assert!(written.is_ok(), "a string takes every write");
        }
    }
}

/// A part of a path, escaped as AWS's clients write it: `:` becomes `%3A`.
pub fn path_segment(part: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(part.len() + 4);
    push_encoded(&mut out, part);
    if out == part { Cow::Borrowed(part) } else { Cow::Owned(out) }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let written = write!(out, "{byte:02x}");
        debug_assert!(written.is_ok(), "a string takes every write");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> Timestamp {
        "2015-08-30T12:36:00.9Z".parse().unwrap()
    }

    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGB\
        uFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZamp\
        KsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkU\
        L64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn credentials(session_token: Option<&str>) -> Credentials<'_> {
        Credentials {
            access_key_id: "AKIDEXAMPLE",
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session_token,
        }
    }

    /// The signature of a request of the suite, whose target is method, path and query.
    fn signature(target: (&str, &str, &str), more: &[(&str, &str)], body: &[u8]) -> String {
        let headers = [&[("Host", "example.amazonaws.com")], more].concat();
        let (method, path, query) = target;
        let hash = payload_hash(body);
        let request = Request { method, path, query, headers: &headers, payload_hash: &hash };
        let scope = Scope { region: "us-east-1", service: "service", time: time() };
        let signed = sign(&request, &credentials(None), &scope);
        assert_eq!(signed[0], ("x-amz-date", "20150830T123600Z".to_owned()));
        signed.last().unwrap().1.rsplit('=').next().unwrap().to_owned()
    }

    type Target<'a> = (&'a str, &'a str, &'a str);
    type Headers<'a> = &'a [(&'a str, &'a str)];

    /// Name, target, headers, body and signature.
    const SUITE: &[(&str, Target<'_>, Headers<'_>, &str, &str)] = &[
        (
            "get-vanilla",
            ("GET", "/", ""),
            &[],
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "get-vanilla-query-order-key-case",
            ("GET", "/", "Param2=value2&Param1=value1"),
            &[],
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "get-utf8",
            ("GET", "/\u{1234}", ""),
            &[],
            "",
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
        (
            "get-space",
            ("GET", "/example space/", ""),
            &[],
            "",
            "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
        ),
        (
            "get-slashes",
            ("GET", "//example//", ""),
            &[],
            "",
            "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
        ),
        (
            "get-relative-relative",
            ("GET", "/example1/example2/../..", ""),
            &[],
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "post-vanilla",
            ("POST", "/", ""),
            &[],
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "post-header-key-sort",
            ("POST", "/", ""),
            &[("My-Header1", " VALUE1 ")],
            "",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            "post-x-www-form-urlencoded",
            ("POST", "/", ""),
            &[("Content-Type", "application/x-www-form-urlencoded")],
            "Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ];

    #[test]
    fn the_requests_of_the_published_suite_get_its_signatures() {
        for (name, target, headers, body, expected) in SUITE {
            assert_eq!(signature(*target, headers, body.as_bytes()), *expected, "{name}");
        }
    }

    #[test]
    fn the_token_of_a_session_is_signed_and_sent() {
        let hash = payload_hash(b"");
        let headers = [("host", "example.amazonaws.com")];
        let request = Request {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            payload_hash: &hash,
        };
        let scope = Scope { region: "us-east-1", service: "service", time: time() };
        let signed = sign(&request, &credentials(Some(TOKEN)), &scope);
        assert_eq!(signed[1], ("x-amz-security-token", TOKEN.to_owned()));
        assert_eq!(
            signed[2].1,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-security-token, \
             Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        );
        assert_eq!(format!("{:?}", credentials(Some(TOKEN))), "Credentials { .. }");
    }

    #[test]
    fn a_model_in_the_path_is_encoded_twice_in_what_is_signed() {
        let path = format!("/model/{}/converse", path_segment("anthropic.claude-v2:1"));
        assert_eq!(path, "/model/anthropic.claude-v2%3A1/converse");
        assert_eq!(canonical_path(&path), "/model/anthropic.claude-v2%253A1/converse");
        assert_eq!(path_segment("plain-1.0_x~"), "plain-1.0_x~");
        assert_eq!(path_segment("a/b"), "a%2Fb");
    }

    #[test]
    fn headers_and_parameters_come_to_their_plain_form() {
        let headers = [("B", " x   y "), ("a", "2"), ("A", "1")];
        let (lines, names) = canonical_headers(&headers, &[]);
        assert_eq!((&*lines, &*names), ("a:2,1\nb:x y\n", "a;b"));
        assert_eq!(canonical_query("b&a=2&a=1%2f&&a b=%zz"), "a=1%2F&a=2&a%20b=%25zz&b=");
    }
}
