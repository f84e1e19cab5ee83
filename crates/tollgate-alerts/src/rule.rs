//! A rule: when somebody is told, who, in which words, and what is done besides.

mod shipped;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::measure::By;

pub use shipped::{SHIPPED, Shipped};

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            /// The words, in the order of their weight.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word that documents use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

words! {
    /// How bad it is.
    Severity {
        /// Worth knowing.
        Info = "info",
        /// Somebody should look today.
        Warning = "warning",
        /// Somebody should look at once.
        Critical = "critical",
    }
}

words! {
    /// What is done besides telling.
    Deed {
        /// The user may make a few calls a minute only.
        Throttle = "throttle",
        /// The user's quota counts as used up.
        QuotaZero = "quota_zero",
        /// The user's calls are refused.
        Block = "block",
        /// Calls are stopped: everything, or what the rule is by.
        KillSwitch = "kill_switch",
    }
}

impl Deed {
    /// Whether it can be done to what a rule is by.
    pub const fn fits(self, by: Option<By>) -> bool {
        match self {
            Self::Throttle | Self::QuotaZero | Self::Block => matches!(by, Some(By::User)),
            Self::KillSwitch => {
                matches!(by, None | Some(By::User | By::Provider | By::Model))
            }
        }
    }
}

words! {
    /// The language of texts.
    Language {
        /// Korean.
        Ko = "ko",
        /// English.
        En = "en",
    }
}

/// What is done, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// What.
    pub deed: Deed,
    /// For how long; until somebody undoes it where there is no end.
    pub lasting: Option<Duration>,
}

/// What sets a rule off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A condition that holds.
    When(Condition),
    /// A step of use (`warn_at`) that a limit reaches, once per window and step.
    Steps,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: Arc<str>,
    /// What sets it off.
    pub trigger: Trigger,
    /// What counts as usual at least, in the unit of the metric.
    pub floor: i64,
    /// How bad it is.
    pub severity: Severity,
    /// Who is told, by name of the channel.
    pub channels: Vec<Arc<str>>,
    /// What is done besides.
    pub action: Option<Action>,
    /// How often it is told again while it lasts; `None` is never.
    pub repeat: Option<Duration>,
    /// The language of its texts, where it is another than that of the channel.
    pub language: Option<Language>,
    /// What is told in one message.
    pub group: Arc<str>,
    /// Whether its end is told as well.
    pub tells_end: bool,
}

impl Rule {
    /// Its condition, where it has one.
    pub const fn condition(&self) -> Option<&Condition> {
        match &self.trigger {
            Trigger::When(condition) => Some(condition),
            Trigger::Steps => None,
        }
    }

    /// As it is written: the condition, or what stands for it.
    pub fn when(&self) -> String {
        match &self.trigger {
            Trigger::When(condition) => condition.to_string(),
            Trigger::Steps => "warn_at of limits".to_owned(),
        }
    }
}

/// What a message is about, by name: what silences are matched with, and labels are made of.
pub type Labels = BTreeMap<String, String>;
