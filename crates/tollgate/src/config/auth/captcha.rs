//! What guests must prove first.

use std::time::Duration;

use http::HeaderName;
use secrecy::{ExposeSecret, SecretString};

use crate::config::reader::Fields;
use crate::config::scalar::{Blank, HttpUrl, Scalar, Share, Span, Wrong, words};
use crate::config::server::secret;

words! {
    /// A service that makes and verifies CAPTCHA tokens.
    CaptchaProvider {
        /// Cloudflare Turnstile.
        Turnstile = "turnstile",
        /// hCaptcha.
        Hcaptcha = "hcaptcha",
        /// Google reCAPTCHA.
        Recaptcha = "recaptcha",
    }
}

impl CaptchaProvider {
    /// Where it verifies tokens, by its documentation.
    const fn verify_url(self) -> &'static str {
        match self {
            Self::Turnstile => "https://challenges.cloudflare.com/turnstile/v0/siteverify",
            Self::Hcaptcha => "https://api.hcaptcha.com/siteverify",
            Self::Recaptcha => "https://www.google.com/recaptcha/api/siteverify",
        }
    }
}

/// What guests must prove first.
#[derive(Clone, Debug)]
pub struct Captcha {
    /// Which service made the token.
    pub provider: CaptchaProvider,
    /// The secret key of the site.
    pub secret: SecretString,
    /// Where tokens are verified.
    pub verify_url: String,
    /// The header in which a guest sends the token.
    pub header: HeaderName,
    /// How long a verified token stands as a pass.
    pub pass_for: Duration,
    /// The least score that passes, where one is stated.
    pub min_score: Share,
}

impl PartialEq for Captcha {
    fn eq(&self, other: &Self) -> bool {
        let Self { provider, secret, verify_url, header, pass_for, min_score } = self;
        *provider == other.provider
            && secret.expose_secret() == other.secret.expose_secret()
            && *verify_url == other.verify_url
            && *header == other.header
            && *pass_for == other.pass_for
            && *min_score == other.min_score
    }
}

impl Captcha {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let provider: CaptchaProvider = fields.get("provider");
        let own = fields.maybe::<HttpUrl>("verify_url").map(|HttpUrl(url)| url);
        let key = secret(fields, "secret");
        if key.is_none() {
            fields.fail_at("secret", "[auth.captcha] needs `secret`".to_owned(), None);
        }
        Self {
            provider,
            secret: key.unwrap_or_else(SecretString::blank),
            verify_url: own.unwrap_or_else(|| provider.verify_url().to_owned()),
            header: fields.get("header"),
            pass_for: fields.get::<Span>("pass_for").0,
            min_score: fields.get("min_score"),
        }
    }
}

/// A header of the application's own; those with a meaning already cannot carry something else.
impl Scalar for HeaderName {
    fn read(text: &str) -> Result<Self, Wrong> {
        let name = Self::from_bytes(text.as_bytes()).ok();
        let taken = ["x-api-key", "x-goog-api-key", "x-request-id"];
        let own =
            name.filter(|name| name.as_str().starts_with("x-") && !taken.contains(&name.as_str()));
        own.ok_or_else(|| Wrong::expected("the name of a header that begins with `x-`"))
    }
}

impl Blank for HeaderName {
    fn blank() -> Self {
        Self::from_static("x-captcha-token")
    }
}
