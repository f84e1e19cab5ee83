//! E-mail by SMTP: submission over TLS, plain text, one thread an incident.
//!
//! MIME, encodings and the protocol are those of a library; what is decided here is who gets what,
//! which headers a machine's mail carries, and how a server's answer is read.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use lettre::address::AddressError;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};

use super::pagerduty::hex;
use super::{Sending, Verdict};
use crate::notice::{Notice, NoticeKind};
use crate::text::{clean, text};

/// How a connection is kept from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (port 465).
    Implicit,
    /// TLS after a greeting; without it nothing is sent (port 587).
    Starttls,
    /// None: for a relay on the same machine.
    None,
}

/// E-mail.
#[derive(Clone, Debug)]
pub struct Email {
    /// The server.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// How the connection is kept from others.
    pub security: Security,
    /// User and password.
    pub login: Option<(String, SecretString)>,
    /// Who it is from.
    pub from: Mailbox,
    /// Who gets it.
    pub to: Vec<Mailbox>,
    /// What is trusted instead of the machine's authorities, as PEM.
    pub authority: Option<Arc<[u8]>>,
}

/// Why an e-mail channel cannot be what it is said to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongEmail {
    /// The server is not named as it must be.
    #[error("expected smtp://USER:PASSWORD@HOST:PORT or smtps://USER:PASSWORD@HOST:PORT")]
    Server,
    /// A password would be sent in the clear.
    #[error("a password is sent over TLS only")]
    Exposed,
    /// An address is none.
    #[error("expected an address such as Ops <ops@example.com>")]
    Address,
}

/// Where a mail server is: host, port, how it is secured, and the login where there is one.
pub type Server = (Box<str>, u16, Security, Option<(String, SecretString)>);

impl Email {
    /// Reads where the server is: `smtp://` with STARTTLS, `smtps://`, or `smtp+plain://` without.
    pub fn server(text: &str) -> Result<Server, WrongEmail> {
        let (scheme, rest) = text.split_once("://").ok_or(WrongEmail::Server)?;
        let (security, usual) = match scheme {
            "smtps" => (Security::Implicit, 465),
            "smtp" => (Security::Starttls, 587),
            "smtp+plain" => (Security::None, 25),
            _ => return Err(WrongEmail::Server),
        };
        let (login, place) = match rest.trim_end_matches('/').rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest.trim_end_matches('/')),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| WrongEmail::Server)?),
            None => (place, usual),
        };
        if host.is_empty() || host.contains(['/', ' ', '?']) {
            return Err(WrongEmail::Server);
        }
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (decoded(user), SecretString::from(decoded(password)))
        });
        if login.is_some() && security == Security::None {
            return Err(WrongEmail::Exposed);
        }
        Ok((host.into(), port, security, login))
    }

    /// Reads an address of somebody.
    pub fn address(text: &str) -> Result<Mailbox, WrongEmail> {
        text.parse().map_err(|_: AddressError| WrongEmail::Address)
    }

    pub(super) async fn send(&self, notice: &Notice, sending: &Sending<'_>) -> Verdict {
        let message = match self.message(notice, sending) {
            Ok(message) => message,
            Err(error) => {
                return Verdict::Refused { why: format!("no message can be made: {error}") };
            }
        };
        let patience = sending.poster.patience();
        let transport = match self.transport(patience) {
            Ok(transport) => transport,
            Err(error) => return verdict(&error),
        };
        // Each command has its own patience, and the whole has one too.
        match tokio::time::timeout(patience * 2, transport.send(message)).await {
            Ok(Ok(_)) => Verdict::Delivered,
            Ok(Err(error)) => verdict(&error),
            Err(_) => Verdict::later("no answer in time"),
        }
    }

    fn transport(
        &self,
        patience: Duration,
    ) -> Result<AsyncSmtpTransport<Tokio1Executor>, lettre::transport::smtp::Error> {
        let tls = match self.security {
            Security::None => Tls::None,
            Security::Implicit => Tls::Wrapper(self.tls()?),
            Security::Starttls => Tls::Required(self.tls()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&*self.host)
            .port(self.port)
            .tls(tls)
            .hello_name(ClientId::Domain(self.domain().to_owned()))
            .timeout(Some(patience));
        if let Some((user, password)) = &self.login {
            let password = password.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(builder.build())
    }

    fn tls(&self) -> Result<TlsParameters, lettre::transport::smtp::Error> {
        let mut tls = TlsParameters::builder(self.host.to_string());
        if let Some(authority) = &self.authority {
            tls = tls
                .certificate_store(CertificateStore::None)
                .add_root_certificate(Certificate::from_pem(authority)?);
        }
        tls.build_rustls()
    }

    fn domain(&self) -> &str {
        self.from.email.domain()
    }

    /// The message. Its id is that of the attempt's message; what it answers is the begin of its
    /// incident, so that mail programs put them together.
    fn message(
        &self,
        notice: &Notice,
        sending: &Sending<'_>,
    ) -> Result<Message, lettre::error::Error> {
        let text = text(notice, sending.display);
        let seconds = u64::try_from(notice.time.as_second()).unwrap_or_default();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        let root = self.id(&root(notice));
        let own = match notice.kind {
            NoticeKind::Fired | NoticeKind::Report => root.clone(),
            _ => self.id(sending.id),
        };
        let mut builder: MessageBuilder = Message::builder()
            .from(self.from.clone())
            .date(time)
            .message_id(Some(own.clone()))
            .subject(clean(&text.title))
            .raw_header(automatic("Auto-Submitted", "auto-generated"))
            .raw_header(automatic("X-Auto-Response-Suppress", "All"));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        if own != root {
            builder = builder.in_reply_to(root.clone()).references(root);
        }
        builder.header(MIME_VERSION_1_0).header(ContentType::TEXT_PLAIN).body(text.plain())
    }

    fn id(&self, name: &str) -> String {
        let digest = digest(&SHA256, name.as_bytes());
        let short = hex(digest.as_ref().get(..16).unwrap_or_default());
        format!("<tollgate.{short}@{}>", self.domain())
    }
}

/// What names the begin of an incident.
fn root(notice: &Notice) -> String {
    let began = notice.incidents.first().and_then(|it| it.fired_at);
    format!("{} {}", notice.thread(), began.unwrap_or(notice.time))
}

fn automatic(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// 4xx passes by itself (greylisting); 5xx does not; a refused login ends the channel.
fn verdict(error: &lettre::transport::smtp::Error) -> Verdict {
    let Some(code) = error.status() else {
        let why = if error.is_timeout() {
            "no answer in time"
        } else {
            "it cannot be reached, or TLS fails"
        };
        return Verdict::later(why);
    };
    let why = format!("it answers {code}");
    match u16::from(code) {
        530 | 534 | 535 | 538 => Verdict::Gone { why },
        _ if error.is_permanent() => Verdict::Refused { why },
        _ => Verdict::later(why),
    }
}

/// A text in which `%40` stands for `@` and so on.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digits = (ahead.next(), ahead.next());
        match (byte, digits) {
            (b'%', (Some(high), Some(low)))
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
                bytes.push(u8::try_from(digit(high) * 16 + digit(low)).unwrap_or_default());
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_with_their_security() {
        let (host, port, security, login) =
            Email::server("smtps://ops%40example.com:p%3Aw@mail.example.com").unwrap();
        assert_eq!((&*host, port, security), ("mail.example.com", 465, Security::Implicit));
        let (user, password) = login.unwrap();
        assert_eq!((&*user, password.expose_secret()), ("ops@example.com", "p:w"));
        let (_, port, security, login) = Email::server("smtp://mail.example.com:2525").unwrap();
        assert_eq!((port, security, login.is_none()), (2525, Security::Starttls, true));
        assert_eq!(Email::server("smtp+plain://localhost").unwrap().2, Security::None);
        assert_eq!(Email::server("smtp+plain://a:b@localhost").unwrap_err(), WrongEmail::Exposed);
        for bad in ["", "mail.example.com", "http://x", "smtp://", "smtp://host:port", "smtp://a b"]
        {
            assert_eq!(Email::server(bad).unwrap_err(), WrongEmail::Server, "{bad}");
        }
        assert!(Email::address("Ops <ops@example.com>").is_ok());
        assert!(Email::address("ops").is_err());
        assert!(Email::address("a@b.c\r\nBcc: x@y.z").is_err());
    }
}
