//! Plans and limits: the words of the file become [`tollgate_domain::limit`], and a limit that
//! could never do what it says is refused.

mod form;
mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use tollgate_admission::identity::OnDisconnect;
use tollgate_domain::limit::{Limit, Metric, OnLimit, Plan, Scope, Window};

use super::names::Names;
use super::reader::Fields;
use super::scalar::{Name, Share};
use super::schema;
use form::Maximum;
pub(super) use own::own_limits;
pub(crate) use own::read_key_limits;

/// What becomes of calls whose client goes away, by plan, where a plan says so.
pub type PlanDisconnects = BTreeMap<Arc<str>, OnDisconnect>;

/// Whether calls may use the prompt cache, by plan, where a plan says so.
pub type PlanCaches = BTreeMap<Arc<str>, bool>;

/// What limits may mention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mentions<'a> {
    pub(super) models: &'a Names,
    pub(super) providers: &'a Names,
}

/// Reads all plans, by name, and what each says about clients that go away and about the cache.
pub(super) fn plans(
    root: &Fields<'_>,
    mentions: Mentions<'_>,
    zone: &TimeZone,
) -> (BTreeMap<Arc<str>, Plan>, PlanDisconnects, PlanCaches) {
    let (mut plans, mut disconnects) = (BTreeMap::new(), BTreeMap::new());
    let mut caches = BTreeMap::new();
    for (name, fields) in root.named("plans", &schema::PLAN) {
        let name: Arc<str> = name.into();
        let zone = fields.maybe("timezone").unwrap_or_else(|| zone.clone());
        if !fields.has("limits") {
            let remedy = "write `limits = []` for a plan without limits";
            fields.fail(format!("{} needs `limits`", fields.title()), Some(remedy.to_owned()));
        }
        let limits = named(&fields, Scope::User, mentions, &zone);
        if let Some(on_disconnect) = fields.maybe("on_disconnect") {
            disconnects.insert(Arc::clone(&name), on_disconnect);
        }
        if let Some(cache) = fields.maybe("cache") {
            caches.insert(Arc::clone(&name), cache);
        }
        plans.insert(Arc::clone(&name), Plan { name, limits });
    }
    (plans, disconnects, caches)
}

/// The limits that stand in a list, each under its name; `usual` is the scope where none is said.
fn named(
    of: &Fields<'_>,
    usual: Scope,
    mentions: Mentions<'_>,
    zone: &TimeZone,
) -> Vec<Arc<Limit>> {
    let mut names = BTreeSet::new();
    let mut limits = Vec::new();
    for fields in of.sections("limits", &schema::LIMIT) {
        let Some(Name(name)) = fields.maybe("name") else {
            if !fields.has("name") {
                fields.fail(format!("`{}` needs `name`", fields.path), None);
            }
            continue;
        };
        if !names.insert(Arc::clone(&name)) {
            let message = format!("{} has two limits with the name `{name}`", of.title());
            fields.fail_at("name", message, None);
        }
        let scope = form::scope(&fields).unwrap_or_else(|| vec![usual]);
        limits.extend(read(name, scope, &fields, (mentions, zone)));
    }
    limits
}

/// Reads the limits outside plans, in the order of the file.
pub(super) fn limits(
    root: &Fields<'_>,
    mentions: Mentions<'_>,
    zone: &TimeZone,
) -> Vec<Arc<Limit>> {
    let mut limits = Vec::new();
    for (name, fields) in root.named("limits", &schema::LIMIT) {
        if fields.has("name") {
            let message =
                format!("`{}.name`: outside plans the table's name is the name", fields.path);
            fields.fail_at("name", message, Some("remove it".to_owned()));
        }
        let scope = form::scope(&fields);
        if scope.is_none() && !fields.has("scope") {
            let remedy = "say whose counter it is, such as scope = \"global\" or scope = \"ip\"";
            fields.fail(format!("{} needs `scope`", fields.title()), Some(remedy.to_owned()));
        }
        limits.extend(read(name.into(), scope.unwrap_or_default(), &fields, (mentions, zone)));
    }
    limits
}

fn read(
    name: Arc<str>,
    scope: Vec<Scope>,
    fields: &Fields<'_>,
    (mentions, zone): (Mentions<'_>, &TimeZone),
) -> Option<Arc<Limit>> {
    let metric = fields.item("metric").and_then(|item| item.scalar());
    if !fields.has("metric") {
        fields.fail(format!("`{}` needs `metric`", fields.path), None);
    }
    let on_limit = on_limit(fields, mentions.models);
    let rollover: Share = fields.get("rollover");
    let steps = warn_at(fields);
    let own_zone = fields.maybe("timezone");
    let (mode, feature, models) =
        (fields.get("mode"), fields.maybe("feature"), fields.list("models"));
    let providers = mentions.providers.mentions(fields, "providers");
    let metric: Metric = metric?;
    let window = window(fields, metric)?;
    let max = match maximum(fields, metric, window)? {
        Bound::At(max) => Some(max),
        Bound::Unlimited => None,
    };
    check_use(fields, metric, &on_limit);
    check_sense(fields, (window, max), (rollover, &steps));
    Some(Arc::new(Limit {
        name,
        scope,
        metric,
        window,
        max,
        on_limit,
        mode,
        warn_at: steps,
        rollover: rollover.per_mille().unwrap_or_default(),
        zone: own_zone.unwrap_or_else(|| zone.clone()),
        feature,
        models,
        providers,
    }))
}

/// Up to where a limit lets calls pass.
enum Bound {
    At(i64),
    Unlimited,
}

fn window(fields: &Fields<'_>, metric: Metric) -> Option<Window> {
    let window = fields.maybe("window");
    match (metric, fields.has("window")) {
        (Metric::Concurrency, false) => Some(Window::Now),
        (Metric::Concurrency, true) => {
            let message = format!(
                "`{}.window`: concurrency is what runs right now and has no window",
                fields.path
            );
            fields.fail_at("window", message, Some("remove it".to_owned()));
            None
        }
        (_, false) => {
            let remedy = "add one of \"sliding 60s\", \"day\", \"week\", \"month\", \"rolling 30d\", \
                          \"total\", \"balance\"";
            fields.fail(format!("`{}` needs `window`", fields.path), Some(remedy.to_owned()));
            None
        }
        (_, true) => window,
    }
}

/// The maximum in the metric's integer, if it is bounded; `None` was reported.
fn maximum(fields: &Fields<'_>, metric: Metric, window: Window) -> Option<Bound> {
    let Some(item) = fields.item("max") else {
        if window == Window::Balance {
            return Some(Bound::At(0));
        }
        let remedy = "write a number, or \"unlimited\"";
        fields.fail(format!("`{}` needs `max`", fields.path), Some(remedy.to_owned()));
        return None;
    };
    match item.scalar::<Maximum>()? {
        Maximum::Unlimited => Some(Bound::Unlimited),
        Maximum::Decimal(text) => match form::count(&text, metric) {
            Some(count) => Some(Bound::At(count)),
            None => {
                let metric = metric.as_str();
                let message = format!("`{}`: {text} is no maximum of {metric}", item.path);
                let remedy = "it is counted in whole numbers up to 9223372036854775807";
                item.fail(message, Some(remedy.to_owned()));
                None
            }
        },
    }
}

fn on_limit(fields: &Fields<'_>, models: &Names) -> OnLimit {
    let form::Response(response) = fields.get("on_limit");
    if let (OnLimit::Downgrade(model), Some(item)) = (&response, fields.item("on_limit")) {
        models.check(&item, model);
    }
    response
}

fn warn_at(fields: &Fields<'_>) -> Vec<u16> {
    let items = fields.item("warn_at").map(|item| item.items()).unwrap_or_default();
    let mut steps = Vec::new();
    for item in items {
        let Some(share) = item.scalar::<Share>() else {
            continue;
        };
        match share.per_mille() {
            Some(step) if step > 0 => steps.push(step),
            _ => {
                let message = format!("`{}`: {share} is no step of use", item.path);
                let remedy = "use shares above 0 with at most three decimals, such as 0.8";
                item.fail(message, Some(remedy.to_owned()));
            }
        }
    }
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// Refuses a response that cannot change what the metric counts.
fn check_use(fields: &Fields<'_>, metric: Metric, on_limit: &OnLimit) {
    let word = metric.as_str();
    let wrong = match (on_limit, metric) {
        (OnLimit::Clamp, Metric::OutputTokens | Metric::Tokens | Metric::CostUsd) => return,
        (OnLimit::Clamp, _) => {
            format!("a shorter answer does not lower {word}, so `clamp` cannot help")
        }
        (OnLimit::Downgrade(_), Metric::Units) => {
            "units are not model calls, so `downgrade` cannot help".to_owned()
        }
        _ => return,
    };
    let remedy = "use \"deny\" or \"alert\"";
    fields.fail_at(
        "on_limit",
        format!("`{}.on_limit`: {wrong}", fields.path),
        Some(remedy.to_owned()),
    );
}

/// Refuses steps and rollovers that could never do anything.
fn check_sense(
    fields: &Fields<'_>,
    (window, max): (Window, Option<i64>),
    (rollover, steps): (Share, &[u16]),
) {
    let path = &fields.path;
    if max.is_none() && !steps.is_empty() {
        let message = format!("`{path}.warn_at`: there is no share of an unlimited maximum");
        fields.fail_at("warn_at", message, Some("set `max`, or remove it".to_owned()));
    }
    if rollover == Share::default() {
        return;
    }
    if !matches!(window, Window::Day | Window::Week | Window::Month) {
        let message =
            format!("`{path}.rollover`: only `day`, `week` and `month` end and can carry over");
        fields.fail_at("rollover", message, Some("remove it".to_owned()));
    } else if max.is_none() {
        let message = format!("`{path}.rollover`: nothing of an unlimited maximum is left over");
        fields.fail_at("rollover", message, Some("set `max`, or remove it".to_owned()));
    } else if rollover.per_mille().is_none() {
        let message = format!("`{path}.rollover`: at most three decimals");
        fields.fail_at("rollover", message, None);
    }
}
