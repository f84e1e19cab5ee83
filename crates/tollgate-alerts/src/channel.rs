//! Channels: each puts a notice into the form of its service and sends it once. Whether and when it
//! is sent again is not decided here ([`crate::delivery`]).
//!
//! Addresses and keys of channels are secrets: no text that is made here holds one.

mod alertmanager;
mod email;
mod pagerduty;
mod slack;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::notice::Notice;
use crate::post::{NoReply, Poster, Reply};
use crate::rule::{Language, Severity};
use crate::text::Display;

pub use alertmanager::Alertmanager;
pub use email::{Email, Security, Server, WrongEmail};
pub use lettre::message::Mailbox;
pub use pagerduty::Pagerduty;
pub use slack::Slack;
pub use webhook::{SigningKey, Webhook, WrongKey};

/// How long a service is left alone that says it gets too much.
const CROWDED: Duration = Duration::from_mins(1);
/// How long one is left alone that its gateway does not reach.
const AWAY: Duration = Duration::from_secs(10);

/// What a channel is.
#[derive(Clone, Debug)]
pub enum Way {
    /// A Slack webhook.
    Slack(Slack),
    /// The events API of `PagerDuty`.
    Pagerduty(Pagerduty),
    /// E-mail.
    Email(Box<Email>),
    /// A signed webhook.
    Webhook(Webhook),
    /// Alertmanager: it is shown how all stands.
    Alertmanager(Alertmanager),
}

/// A channel.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: Arc<str>,
    /// What it is.
    pub way: Way,
    /// The language of its texts.
    pub language: Language,
    /// What is less than this it is not told.
    pub least: Severity,
}

/// What came of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Delivered,
    /// It may be taken later; the service may have said when.
    Later {
        /// Why not now.
        why: String,
        /// The channel is to be left alone for so long.
        after: Option<Duration>,
    },
    /// This message will never be taken.
    Refused {
        /// Why.
        why: String,
    },
    /// No message will be taken any more.
    Gone {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// Every word of [`Verdict::as_str`].
    pub const WORDS: [&str; 4] = ["delivered", "failed", "refused", "gone"];

    /// The word that metrics and documents use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Later { .. } => "failed",
            Self::Refused { .. } => "refused",
            Self::Gone { .. } => "gone",
        }
    }

    /// What came back, for people.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Delivered => None,
            Self::Later { why, .. } | Self::Refused { why } | Self::Gone { why } => Some(why),
        }
    }

    fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None }
    }
}

impl From<NoReply> for Verdict {
    fn from(none: NoReply) -> Self {
        let why = none.to_string();
        if none.is_for_good() { Self::Refused { why } } else { Self::later(why) }
    }
}

/// What does not lie in a channel or a notice.
#[derive(Clone, Debug)]
pub struct Sending<'a> {
    /// What names the message: the same however often it is sent.
    pub id: &'a str,
    /// The time of the attempt.
    pub now: Timestamp,
    /// How amounts and times are shown.
    pub display: &'a Display,
    /// Posts.
    pub poster: &'a Poster,
}

impl Channel {
    /// Sends a notice, once.
    pub async fn send(&self, notice: &Notice, sending: &Sending<'_>) -> Verdict {
        match &self.way {
            Way::Slack(slack) => slack.send(notice, sending).await,
            Way::Pagerduty(pagerduty) => pagerduty.send(notice, sending).await,
            Way::Email(email) => email.send(notice, sending).await,
            Way::Webhook(webhook) => webhook.send(notice, sending).await,
            Way::Alertmanager(alertmanager) => {
                alertmanager.show(&notice.incidents, self.language, sending).await
            }
        }
    }

    /// Whether it takes incidents one by one and follows them to their end.
    pub const fn follows(&self) -> bool {
        matches!(self.way, Way::Pagerduty(_))
    }

    /// Whether it is shown how all stands instead of being told what changes.
    pub const fn mirrors(&self) -> bool {
        matches!(self.way, Way::Alertmanager(_))
    }

    /// The word for what it is.
    pub const fn kind(&self) -> &'static str {
        match self.way {
            Way::Slack(_) => "slack",
            Way::Pagerduty(_) => "pagerduty",
            Way::Email(_) => "email",
            Way::Webhook(_) => "webhook",
            Way::Alertmanager(_) => "alertmanager",
        }
    }
}

/// An answer in a few words: its status, and the begin of its text where that is a plain word.
fn told(reply: &Reply) -> String {
    let word = reply.body.trim();
    let plain = !word.is_empty()
        && word.len() <= 80
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-. ".contains(&b));
    let status = reply.status.as_u16();
    if plain { format!("it answers {status} {word}") } else { format!("it answers {status}") }
}

/// How an answer is read that follows no rule of its own service.
fn usual(reply: &Reply) -> Verdict {
    let status = reply.status.as_u16();
    // Who has too much to do and does not say for how long gets some time all the same.
    let rest = match status {
        429 => Some(CROWDED),
        502 | 504 => Some(AWAY),
        _ => None,
    };
    let (why, after) = (told(reply), reply.retry_after.or(rest));
    match status {
        200..300 => Verdict::Delivered,
        408 | 425 | 429 | 500.. => Verdict::Later { why, after },
        _ => Verdict::Refused { why },
    }
}

#[cfg(test)]
mod tests;
