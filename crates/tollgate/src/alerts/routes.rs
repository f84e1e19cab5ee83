//! The channels as they can be sent through: with the authority that each trusts.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tollgate_alerts::channel::{Channel, Sending, Verdict, Way};
use tollgate_alerts::notice::Notice;
use tollgate_alerts::post::Poster;
use tollgate_alerts::text::Display;
use tollgate_domain::clock::Clock;

use super::settings::display;
use crate::config::{AlertChannel, Config};

/// A channel and what it is sent through.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) channel: Channel,
    pub(super) poster: Poster,
}

/// Every channel that is used.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    pub(super) all: Vec<Arc<Route>>,
    pub(super) display: Display,
}

impl Routes {
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let channels = &config.alerts.channels;
        let all = channels.iter().map(|channel| route(channel).map(Arc::new));
        Ok(Self { all: all.collect::<anyhow::Result<_>>()?, display: display(config) })
    }
}

fn route(own: &AlertChannel) -> anyhow::Result<Route> {
    let AlertChannel { channel, ca_file } = own;
    let named = || format!("alerts.channels.{}.ca_file", channel.name);
    let tls = match ca_file {
        Some(path) => trusting(path).with_context(named)?,
        None => {
            use rustls_platform_verifier::ConfigVerifierExt as _;
            rustls::ClientConfig::with_platform_verifier()
                .context("the machine's certificate authorities cannot be used")?
        }
    };
    let mut channel = channel.clone();
    if let (Way::Email(email), Some(path)) = (&mut channel.way, ca_file) {
        email.authority = Some(std::fs::read(path).with_context(named)?.into());
    }
    Ok(Route { channel, poster: Poster::new(Arc::new(tls)) })
}

/// TLS that trusts the authorities of a file and no others.
fn trusting(path: &Path) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Sends a sample through channels: each with what it is and what came back.
pub(crate) fn test(
    config: &Config,
    only: Option<&str>,
    clock: &Clock,
) -> anyhow::Result<Vec<(Arc<str>, &'static str, Verdict)>> {
    let routes = Routes::new(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let now = clock.now();
    let id = format!("test-{}", now.as_microsecond());
    let wanted = routes.all.iter().filter(|it| only.is_none_or(|only| *it.channel.name == *only));
    let sent = wanted.map(|route| {
        let channel = &route.channel;
        let notice = Notice::sample(channel.language, now);
        let sending = Sending { id: &id, now, display: &routes.display, poster: &route.poster };
        let verdict = runtime.block_on(channel.send(&notice, &sending));
        (Arc::clone(&channel.name), channel.kind(), verdict)
    });
    Ok(sent.collect())
}
