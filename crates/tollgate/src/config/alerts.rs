//! Alerts: where they go, and the rules, those that are shipped among them.
//!
//! A rule is read to its end here, so that a running program meets no rule that it cannot evaluate.
//! Nothing is opened: files of authorities are read by whoever composes the program.

mod channel;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tollgate_alerts::condition::{Bound, Condition, WrongCondition, form_of, read_amount};
use tollgate_alerts::measure::{self, By, Source};
use tollgate_alerts::rule::{Action, Deed, Language, Rule, SHIPPED, Severity, Shipped, Trigger};
use tollgate_domain::limit::{Limit, Metric, Mode, OnLimit, Scope, Window};

use super::names::Names;
use super::problem::suggest;
use super::reader::{Fields, Item};
use super::scalar::{Blank, Count, Decimal, Name, Scalar, Span, Wrong, read_duration, wrong_word};
use super::schema;
pub use channel::{AlertChannel, ChannelKind};

/// The limit by which users are throttled.
pub(crate) const THROTTLE: &str = "throttle";
/// How often an alert is told again while it lasts.
const USUAL_REPEAT: Duration = Duration::from_hours(4);

/// Alerts.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// The language of their texts.
    pub language: Language,
    /// How long a second message of the same group waits at least.
    pub pause: Duration,
    /// Calls a minute that a throttled user may make.
    pub throttle: u32,
    /// Where they go, those that are not used left out.
    pub channels: Vec<AlertChannel>,
    /// What is alerted: the shipped rules that are in force, then those of the file.
    pub rules: Vec<Rule>,
}

macro_rules! word_scalar {
    ($($name:ident: $($variant:ident),+;)*) => {$(
        impl Scalar for $name {
            fn read(text: &str) -> Result<Self, Wrong> {
                let all = [$(Self::$variant),+];
                let found = all.into_iter().find(|word| word.as_str() == text);
                found.ok_or_else(|| wrong_word(text, Self::WORDS))
            }
        }

        impl Blank for $name {
            fn blank() -> Self {
                [$(Self::$variant),+][0]
            }
        }
    )*};
}

word_scalar! {
    Severity: Info, Warning, Critical;
    Language: Ko, En;
    Deed: Throttle, QuotaZero, Block, KillSwitch;
}

/// What a rule does, and for how long.
struct Doing(Action);

impl Scalar for Doing {
    fn read(text: &str) -> Result<Self, Wrong> {
        let (deed, lasting) = match text.split_once(" for ") {
            Some((deed, lasting)) => {
                let lasting = read_duration(lasting.trim()).filter(|it| !it.is_zero());
                let wrong =
                    || Wrong::expected("a duration after `for`, such as `quota_zero for 1h`");
                (deed, Some(lasting.ok_or_else(wrong)?))
            }
            None => (text, None),
        };
        Ok(Self(Action { deed: Deed::read(deed.trim())?, lasting }))
    }
}

impl Alerts {
    pub(super) fn read(fields: &Fields<'_>, names: &Names) -> Self {
        let channels: Vec<AlertChannel> = fields
            .named("channels", &schema::CHANNEL)
            .into_iter()
            .filter_map(|(name, own)| AlertChannel::read(name, &own, fields.get("language")))
            .collect();
        let all: Vec<Arc<str>> = channels.iter().map(|it| Arc::clone(&it.channel.name)).collect();
        let mut rules = Vec::new();
        let mut seen = BTreeSet::new();
        for own in fields.sections("rules", &schema::RULE) {
            let Name(name) = own.get("name");
            if own.has("name") && !seen.insert(Arc::clone(&name)) {
                let message = format!("there are two alert rules with the name `{name}`");
                own.fail_at("name", message, None);
            }
            let told = names.mentions(&own, "channels");
            let channels = if own.has("channels") { told } else { all.clone() };
            if let Some(rule) = rule(&own, &name, channels)
                && own.get::<bool>("enabled")
            {
                rules.push(rule);
            }
        }
        if fields.get::<bool>("shipped") {
            let shipped = SHIPPED.iter().filter(|it| !seen.contains(it.name));
            let shipped: Vec<Rule> = shipped.filter_map(|it| of_shipped(it, &all)).collect();
            rules.splice(0..0, shipped);
        }
        Self {
            language: fields.get("language"),
            pause: fields.get::<Span>("pause").0,
            throttle: fields.get::<Count>("throttle").0,
            channels,
            rules,
        }
    }

    /// The limit by which users are throttled, where a rule does so: unlimited until an alert lowers
    /// it for one of them. A limit of this name that is there is lowered instead.
    pub(super) fn throttled(&self, limits: &[Arc<Limit>], zone: &TimeZone) -> Option<Arc<Limit>> {
        let throttles = |rule: &Rule| rule.action.is_some_and(|it| it.deed == Deed::Throttle);
        let there = limits.iter().any(|limit| &*limit.name == THROTTLE);
        (self.rules.iter().any(throttles) && !there).then(|| {
            Arc::new(Limit {
                name: THROTTLE.into(),
                scope: vec![Scope::User],
                metric: Metric::Requests,
                window: Window::Sliding { millis: 60_000 },
                max: None,
                on_limit: OnLimit::Deny,
                mode: Mode::Enforce,
                warn_at: Vec::new(),
                rollover: 0,
                zone: zone.clone(),
                feature: None,
                models: Vec::new(),
                providers: Vec::new(),
            })
        })
    }
}

/// A shipped rule as it is.
fn of_shipped(shipped: &Shipped, channels: &[Arc<str>]) -> Option<Rule> {
    let trigger = match shipped.when {
        Some(when) => Trigger::When(when.parse().ok()?),
        None => Trigger::Steps,
    };
    let floor = floor_of(shipped, &trigger);
    Some(Rule {
        name: shipped.name.into(),
        tells_end: tells_end(&trigger),
        trigger,
        floor,
        severity: shipped.severity,
        channels: channels.to_vec(),
        action: None,
        repeat: shipped.repeat,
        language: None,
        group: shipped.name.into(),
    })
}

fn floor_of(shipped: &Shipped, trigger: &Trigger) -> i64 {
    let Trigger::When(condition) = trigger else { return 0 };
    let unit = condition.measure.metric.unit();
    shipped.floor.and_then(|floor| read_amount(floor, unit)).unwrap_or(0)
}

/// Whether the end of an alert is told where nobody says: not where a window of the calendar turns.
fn tells_end(trigger: &Trigger) -> bool {
    match trigger {
        Trigger::Steps => false,
        Trigger::When(condition) => {
            let budget = matches!(condition.measure.metric.source(), Source::Gauges)
                && condition.measure.by.is_some();
            !condition.measure.window.is_calendar() && !budget
        }
    }
}

/// A rule of the file, over the shipped one of its name.
fn rule(own: &Fields<'_>, name: &Arc<str>, channels: Vec<Arc<str>>) -> Option<Rule> {
    let shipped = Shipped::named(name);
    let trigger = match (own.item("when"), shipped) {
        (Some(item), _) => Trigger::When(condition(&item)?),
        (None, Some(shipped)) => match shipped.when {
            Some(when) => Trigger::When(when.parse().ok()?),
            None => Trigger::Steps,
        },
        (None, None) => {
            let message = format!(
                "`{}`: the rule `{name}` needs `when`: no shipped rule has this name",
                own.path
            );
            let remedy = suggest(name, SHIPPED.iter().map(|shipped| shipped.name));
            own.fail_at("name", message, remedy);
            return None;
        }
    };
    let floor = floor(own, &trigger, shipped)?;
    check_usual(own, &trigger, floor);
    let action = own.maybe::<Doing>("action").map(|Doing(action)| action);
    check_action(own, &trigger, action);
    let usual = match (&trigger, shipped) {
        (_, Some(shipped)) => shipped.repeat,
        (Trigger::When(it), None) if it.measure.window.is_calendar() => None,
        _ => Some(USUAL_REPEAT),
    };
    let repeat = own.maybe::<Duration>("repeat");
    let severity = shipped.map_or(Severity::Warning, |shipped| shipped.severity);
    Some(Rule {
        name: Arc::clone(name),
        tells_end: own.maybe("tell_end").unwrap_or_else(|| tells_end(&trigger)),
        trigger,
        floor,
        severity: own.maybe("severity").unwrap_or(severity),
        channels,
        action,
        repeat: repeat.map_or(usual, |repeat| (!repeat.is_zero()).then_some(repeat)),
        language: own.maybe("language"),
        group: own.maybe::<Name>("group").map_or_else(|| Arc::clone(name), |Name(group)| group),
    })
}

fn condition(item: &Item<'_>) -> Option<Condition> {
    let Name(text) = item.scalar()?;
    match text.parse::<Condition>() {
        // A rule that can never be an alert would be trusted in vain.
        Ok(condition) if condition.measure.metric == measure::Metric::BillingLag => {
            let message =
                "this version uploads no usage to Stripe, so nothing is known of `billing_lag`";
            item.fail(format!("`{}`: {message}", item.path), Some("leave the rule out".to_owned()));
            None
        }
        Ok(condition) => Some(condition),
        Err(WrongCondition { message, unknown, remedy, .. }) => {
            let near = unknown.and_then(|(name, known)| suggest(&name, known));
            item.fail(format!("`{}`: {message}", item.path), near.or(remedy));
            None
        }
    }
}

/// What counts as usual at least.
fn floor(own: &Fields<'_>, trigger: &Trigger, shipped: Option<&Shipped>) -> Option<i64> {
    let Some(item) = own.item("floor") else {
        return Some(shipped.map_or(0, |shipped| floor_of(shipped, trigger)));
    };
    let Decimal(text) = item.scalar()?;
    let condition = match trigger {
        Trigger::When(condition) if matches!(condition.bound, Bound::Usual { .. }) => condition,
        _ => {
            let message = format!("`{}`: the rule asks for nothing usual", item.path);
            item.fail(message, Some("leave it out".to_owned()));
            return None;
        }
    };
    let unit = condition.measure.metric.unit();
    let floor = read_amount(&text, unit);
    if floor.is_none() {
        item.fail(format!("`{}`: expected a {}", item.path, form_of(unit)), None);
    }
    floor
}

/// Refuses what nothing usual is known of, and what would make anything unusual.
fn check_usual(own: &Fields<'_>, trigger: &Trigger, floor: i64) {
    let Trigger::When(Condition { bound: Bound::Usual { .. }, measure, .. }) = trigger else {
        return;
    };
    let path = &own.path;
    if floor <= 0 {
        let unit = measure.metric.unit();
        let message = format!(
            "`{path}.floor`: what counts as usual at least must be more than 0: who has used nothing \
             yet would be an alert with the first call"
        );
        let remedy = format!("write `floor`, a {}", form_of(unit));
        let key = if own.has("floor") { "floor" } else { "when" };
        own.fail_at(key, message, Some(remedy));
    }
    let is_kept = |(by, name): &(By, Arc<str>)| {
        *by != By::Ip && measure.by != Some(By::Ip) && !name.ends_with('*')
    };
    if let Some((by, name)) = measure.only.iter().find(|only| !is_kept(only)) {
        let message = format!(
            "`{path}.when`: the ledger does not tell what is usual for `{}={name}`{}",
            by.as_str(),
            if measure.by == Some(By::Ip) { " of an address" } else { "" }
        );
        let remedy = "compare with a fixed figure, or name one value, and no address, without `*`";
        own.fail_at("when", message, Some(remedy.to_owned()));
    }
}

/// Refuses what cannot be done to what a rule is by.
fn check_action(own: &Fields<'_>, trigger: &Trigger, action: Option<Action>) {
    let Some(Action { deed, .. }) = action else { return };
    let by = match trigger {
        Trigger::When(condition) => condition.measure.by,
        Trigger::Steps => None,
    };
    if deed.fits(by) && *trigger != Trigger::Steps {
        return;
    }
    let path = &own.path;
    let (message, remedy) = if deed == Deed::KillSwitch {
        (
            format!("`{path}.action`: calls of what the rule is by cannot be stopped"),
            "write the rule by user, provider or model, or for everybody together",
        )
    } else {
        let message = format!("`{path}.action`: `{}` is done to a user", deed.as_str());
        (message, "write the rule `by=user`")
    };
    own.fail_at("action", message, Some(remedy.to_owned()));
}
