//! Where a service is: scheme, host, port, path, and who asks where the URL says so.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;

use super::Secret;

/// Where a service is.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The host name or address, IPv6 without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// What stands before every path, without a slash at its end.
    pub path: Box<str>,
    /// `user:password` of the URL, as the header `authorization` says it.
    pub basic: Option<Secret>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())
    }
}

/// A text that is no place of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongPlace {
    /// It is no URL.
    #[error("is no URL")]
    NoUrl,
    /// It has another scheme.
    #[error("has a scheme that this kind does not speak")]
    Scheme,
    /// It names no host or no port.
    #[error("names no host and port")]
    Host,
    /// It has a query.
    #[error("has a query")]
    Query,
}

impl Place {
    /// Reads an `http` or `https` URL, with credentials where it has any.
    pub fn http(text: &str) -> Result<Self, WrongPlace> {
        Self::read(text, &[("http", false, Some(80)), ("https", true, Some(443))])
    }

    /// Reads `tcp://HOST:PORT` or `tls://HOST:PORT`.
    pub fn tcp(text: &str) -> Result<Self, WrongPlace> {
        let place = Self::read(text, &[("tcp", false, None), ("tls", true, None)])?;
        if place.path.is_empty() { Ok(place) } else { Err(WrongPlace::NoUrl) }
    }

    fn read(text: &str, schemes: &[(&str, bool, Option<u16>)]) -> Result<Self, WrongPlace> {
        let uri: Uri = text.parse().map_err(|_| WrongPlace::NoUrl)?;
        let scheme = uri.scheme_str().ok_or(WrongPlace::NoUrl)?;
        let (_, tls, port) =
            schemes.iter().find(|(name, ..)| *name == scheme).ok_or(WrongPlace::Scheme)?;
        let authority = uri.authority().ok_or(WrongPlace::Host)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().or(*port).ok_or(WrongPlace::Host)?;
        if host.is_empty() {
            return Err(WrongPlace::Host);
        }
        if uri.query().is_some() {
            return Err(WrongPlace::Query);
        }
        let basic = authority.as_str().rsplit_once('@').map(|(who, _)| Self::basic(&decoded(who)));
        let path = uri.path().trim_end_matches('/').into();
        Ok(Self { tls: *tls, host: host.into(), port, path, basic })
    }

    /// The header `authorization` that says `user:password` (RFC 7617).
    pub fn basic(who: &str) -> Secret {
        Secret::new(&format!("Basic {}", STANDARD.encode(who)))
    }

    /// Host and port as a header says them.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Text of a URL with its `%` escapes undone.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => {
                let digits = [*high, *low];
                std::str::from_utf8(&digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { rest.get(3..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_host_port_path_and_who_asks() {
        let place = Place::http("https://ann:p%40ss@es.example.com/base/").unwrap();
        assert_eq!((place.tls, &*place.host, place.port), (true, "es.example.com", 443));
        assert_eq!((&*place.path, place.authority()), ("/base", "es.example.com:443".to_owned()));
        assert_eq!(place.basic, Some(Place::basic("ann:p@ss")));
        assert!(!format!("{place:?}").contains("ann"));
        let place = Place::tcp("tls://[::1]:5000").unwrap();
        assert_eq!((place.tls, place.authority()), (true, "[::1]:5000".to_owned()));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for (text, wrong) in [
            ("es:9200", WrongPlace::NoUrl),
            ("tcp://h:1", WrongPlace::Scheme),
            ("http:///x", WrongPlace::NoUrl),
            ("http://h/?k=v", WrongPlace::Query),
        ] {
            assert_eq!(Place::http(text).unwrap_err(), wrong, "{text}");
        }
        assert_eq!(Place::tcp("tcp://h").unwrap_err(), WrongPlace::Host);
        assert_eq!(Place::tcp("tcp://h:1/path").unwrap_err(), WrongPlace::NoUrl);
    }
}
