//! The DSN of a Sentry project: `https://PUBLIC_KEY@HOST/PROJECT_ID`.

use http::Uri;

use super::{HttpConfig, Place, Secret, TlsConfig};

/// Where the reports of a project go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dsn {
    place: Place,
    project: String,
    key: Secret,
}

/// A text that is no DSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no DSN")]
pub struct WrongDsn;

impl Dsn {
    /// Reads a DSN.
    pub fn read(text: &str) -> Result<Self, WrongDsn> {
        let uri: Uri = text.trim().parse().map_err(|_| WrongDsn)?;
        let authority = uri.authority().ok_or(WrongDsn)?;
        let (who, _) = authority.as_str().rsplit_once('@').ok_or(WrongDsn)?;
        // Old DSNs have a secret key behind the public one; it is not needed any more.
        let key = who.split(':').next().unwrap_or_default();
        let mut place = Place::http(text.trim()).map_err(|_| WrongDsn)?;
        let (path, project) = place.path.rsplit_once('/').ok_or(WrongDsn)?;
        let project = project.to_owned();
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain(key) || !plain(&project) {
            return Err(WrongDsn);
        }
        place.path = path.into();
        place.basic = None;
        Ok(Self { place, project, key: Secret::new(key) })
    }

    /// The path that envelopes are posted to.
    pub(crate) fn path(&self) -> String {
        format!("/api/{}/envelope/", self.project)
    }

    /// How the service is reached, and who asks.
    pub(crate) fn http(&self) -> HttpConfig {
        let client = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
        let auth = format!(
            "Sentry sentry_version=7, sentry_client={client}, sentry_key={}",
            self.key.expose()
        );
        HttpConfig {
            place: self.place.clone(),
            headers: vec![("x-sentry-auth".to_owned(), Secret::new(&auth))],
            gzip: true,
            tls: TlsConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dsn_names_host_key_and_project() {
        let dsn = Dsn::read("https://abc123@o1.ingest.example.com/42").unwrap();
        assert_eq!(dsn.path(), "/api/42/envelope/");
        assert_eq!(dsn.place.authority(), "o1.ingest.example.com:443");
        let old = Dsn::read("http://abc:def@127.0.0.1:9000/base/7").unwrap();
        assert_eq!((&*old.place.path, old.path().as_str()), ("/base", "/api/7/envelope/"));
        assert!(!format!("{dsn:?}").contains("abc123"));
        for wrong in
            ["", "https://host/42", "https://abc@host", "ftp://abc@host/1", "https://a b@h/1"]
        {
            assert_eq!(Dsn::read(wrong), Err(WrongDsn), "{wrong}");
        }
    }
}
