//! One channel: its kind says which keys mean anything; any other is refused.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use tollgate_alerts::channel::{
    Alertmanager, Channel, Email, Pagerduty, SigningKey, Slack, Way, Webhook,
};
use tollgate_alerts::post::{Place, Reach};
use tollgate_alerts::rule::Language;

use crate::config::reader::{Fields, Item};
use crate::config::scalar::words;
use crate::config::server::secret;

words! {
    /// A kind of alert channel.
    ChannelKind {
        /// A Slack webhook.
        Slack = "slack",
        /// The events API of `PagerDuty`.
        Pagerduty = "pagerduty",
        /// E-mail.
        Email = "email",
        /// A signed webhook.
        Webhook = "webhook",
        /// Alertmanager.
        Alertmanager = "alertmanager",
    }
}

/// Where `PagerDuty` takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// Which keys mean something for which kind, beside those that all have.
const KEYS: &[(&str, &[ChannelKind])] = &[
    ("routing_key", &[ChannelKind::Pagerduty]),
    ("secret", &[ChannelKind::Webhook]),
    ("previous_secret", &[ChannelKind::Webhook]),
    ("allow_private", &[ChannelKind::Webhook]),
    ("token", &[ChannelKind::Alertmanager]),
    ("from", &[ChannelKind::Email]),
    ("to", &[ChannelKind::Email]),
];

/// Where alerts go.
#[derive(Clone, Debug)]
pub struct AlertChannel {
    /// The channel, without what stands in files.
    pub channel: Channel,
    /// The authority that is trusted instead of the machine's, as PEM.
    pub ca_file: Option<PathBuf>,
}

impl AlertChannel {
    /// Reads a channel; `None` where it is not used, or is wrong and reported.
    pub(super) fn read(name: &str, fields: &Fields<'_>, usual: Language) -> Option<Self> {
        let kind: ChannelKind = fields.get("kind");
        for (key, kinds) in KEYS {
            if fields.has(key) && !kinds.contains(&kind) {
                let message = format!(
                    "`{}.{key}`: a channel of kind {} has no `{key}`",
                    fields.path,
                    kind.as_str()
                );
                fields.fail_at(key, message, None);
            }
        }
        let url = secret(fields, "url");
        let way = match kind {
            ChannelKind::Slack => {
                url.and_then(|url| place(fields, &url)).map(|place| Way::Slack(Slack { place }))
            }
            ChannelKind::Pagerduty => pagerduty(fields, url),
            ChannelKind::Email => url.and_then(|url| email(fields, &url)),
            ChannelKind::Webhook => url.and_then(|url| webhook(fields, &url)),
            ChannelKind::Alertmanager => url.and_then(|url| alertmanager(fields, &url)),
        };
        let enabled: bool = fields.get("enabled");
        let language = fields.maybe("language").unwrap_or(usual);
        let least = fields.get("severity");
        let ca_file = fields.maybe::<Arc<str>>("ca_file").map(|path| PathBuf::from(&*path));
        let way = way.filter(|_| enabled)?;
        let channel = Channel { name: name.into(), way, language, least };
        Some(Self { channel, ca_file })
    }
}

fn wrong(fields: &Fields<'_>, key: &'static str, why: &dyn std::fmt::Display) {
    fields.fail_at(key, format!("`{}.{key}`: {why}", fields.path), None);
}

fn place(fields: &Fields<'_>, url: &SecretString) -> Option<Place> {
    match Place::read(url.expose_secret()) {
        Ok(place) => Some(place),
        Err(error) => {
            wrong(fields, "url", &error);
            None
        }
    }
}

fn pagerduty(fields: &Fields<'_>, url: Option<SecretString>) -> Option<Way> {
    let routing_key = secret(fields, "routing_key")?;
    let place = place(fields, &url.unwrap_or_else(|| PAGERDUTY.into()))?;
    Some(Way::Pagerduty(Pagerduty { place, routing_key }))
}

fn alertmanager(fields: &Fields<'_>, url: &SecretString) -> Option<Way> {
    let members = url.expose_secret().split(',').filter(|member| !member.trim().is_empty());
    let members: Option<Vec<Place>> =
        members.map(|member| place(fields, &SecretString::from(member.trim()))).collect();
    Some(Way::Alertmanager(Alertmanager { members: members?, token: secret(fields, "token") }))
}

fn webhook(fields: &Fields<'_>, url: &SecretString) -> Option<Way> {
    let place = place(fields, url)?;
    let mut keys = Vec::new();
    for name in ["secret", "previous_secret"] {
        let Some(text) = secret(fields, name) else { continue };
        match SigningKey::read(text.expose_secret()) {
            Ok(key) => keys.push(key),
            Err(error) => wrong(fields, name, &error),
        }
    }
    let allow_private: bool = fields.get("allow_private");
    let reach = if allow_private { Reach::Anywhere } else { Reach::Public };
    if reach == Reach::Public && !place.is_tls() {
        wrong(fields, "url", &"expected https, or `allow_private = true`");
    }
    if keys.is_empty() && !fields.has("secret") {
        let remedy = "`openssl rand -base64 32` makes one; write whsec_ in front of it";
        let message = format!("{} needs `secret`: what receivers know it by", fields.title());
        fields.fail(message, Some(remedy.to_owned()));
    }
    Some(Way::Webhook(Webhook { place, keys, reach }))
}

fn email(fields: &Fields<'_>, url: &SecretString) -> Option<Way> {
    let server = Email::server(url.expose_secret());
    let from = address(fields, fields.item("from").as_ref(), "from");
    let to: Vec<Item<'_>> = fields.item("to").map(|item| item.items()).unwrap_or_default();
    let to: Vec<_> = to.iter().filter_map(|item| address(fields, Some(item), "to")).collect();
    if to.is_empty() && !fields.has("to") {
        fields.fail(format!("{} needs `to`", fields.title()), None);
    }
    match server {
        Ok((host, port, security, login)) => {
            let email = Email { host, port, security, login, from: from?, to, authority: None };
            Some(Way::Email(Box::new(email)))
        }
        Err(error) => {
            wrong(fields, "url", &error);
            None
        }
    }
}

/// An address of somebody; reported where it is none or is missing.
fn address(
    fields: &Fields<'_>,
    item: Option<&Item<'_>>,
    key: &'static str,
) -> Option<tollgate_alerts::channel::Mailbox> {
    let Some(item) = item else {
        fields.fail(format!("{} needs `{key}`", fields.title()), None);
        return None;
    };
    let text: Arc<str> = item.scalar()?;
    match Email::address(&text) {
        Ok(address) => Some(address),
        Err(error) => {
            item.fail(format!("`{}`: {error}", item.path), None);
            None
        }
    }
}
