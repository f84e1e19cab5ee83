//! The shipped plans and limits (SPEC §5), usable as `preset = "diary"`.
//!
//! A preset is an ordinary configuration of plans, limits and a default plan; it is read by the
//! same code as the file that names it, and what the file says of the same name replaces it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tollgate_domain::limit::{Limit, Plan};
use toml::de::DeTable;

use super::limit::{Mentions, limits, plans};
use super::names::Names;
use super::problem::{ConfigErrors, suggest};
use super::reader::{Fields, Item, Reading};
use super::scalar::{Name, Scalar, Wrong};
use super::schema;

/// The shipped presets: name and text.
pub const PRESETS: &[(&str, &str)] = &[
    ("diary", include_str!("../../../../presets/diary.toml")),
    ("saas", include_str!("../../../../presets/saas.toml")),
    ("starter", include_str!("../../../../presets/starter.toml")),
    ("monitor", include_str!("../../../../presets/monitor.toml")),
];

/// What a preset brings.
#[derive(Debug, Default)]
pub(super) struct Preset {
    pub(super) name: Option<&'static str>,
    pub(super) default_plan: Option<Arc<str>>,
    pub(super) plans: BTreeMap<Arc<str>, Plan>,
    pub(super) limits: Vec<Arc<Limit>>,
}

/// The name and text of a shipped preset.
struct Shipped(&'static str, &'static str);

impl Scalar for Shipped {
    fn read(text: &str) -> Result<Self, Wrong> {
        let found = PRESETS.iter().find(|(name, _)| *name == text);
        found.map(|(name, text)| Self(name, text)).ok_or_else(|| Wrong {
            expected: "the name of a preset".to_owned(),
            remedy: suggest(text, PRESETS.iter().map(|(name, _)| *name)),
        })
    }
}

impl Preset {
    /// Reads the preset that the file names; calendar windows are in `zone`.
    pub(super) fn named_by(item: Option<&Item<'_>>, zone: &TimeZone) -> Self {
        let Some(Shipped(name, text)) = item.and_then(Item::scalar) else {
            return Self::default();
        };
        match Self::read(name, text, zone) {
            Ok(preset) => preset,
            Err(errors) => {
                if let Some(item) = item {
                    item.fail(format!("the preset `{name}` is broken: {errors}"), None);
                }
                Self::default()
            }
        }
    }

    /// Reads a preset's text.
    fn read(name: &'static str, text: &str, zone: &TimeZone) -> Result<Self, ConfigErrors> {
        let file = format!("preset {name}");
        let table = DeTable::parse(text)
            .map_err(|error| ConfigErrors::whole(&file, error.message().to_owned(), None))?;
        let no_variables = |_: &str| None;
        let reading = Reading::new(&file, text, &no_variables);
        let root = Fields::new(&reading, &schema::ROOT, String::new(), (0, Some(table.get_ref())));
        let nothing = Names::default();
        let mentions = Mentions { models: &nothing, providers: &nothing };
        let auth = root.section("auth", &schema::AUTH);
        let preset = Self {
            name: Some(name),
            default_plan: auth.maybe::<Name>("default_plan").map(|Name(name)| name),
            plans: plans(&root, mentions, zone).0,
            limits: limits(&root, mentions, zone),
        };
        let (problems, _) = reading.finish();
        if problems.is_empty() { Ok(preset) } else { Err(ConfigErrors::new(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(preset: &Preset) -> Vec<String> {
        let plans = preset.plans.iter().flat_map(|(name, plan)| {
            plan.limits.iter().map(move |limit| (name.to_string(), limit))
        });
        plans
            .chain(preset.limits.iter().map(|limit| ("-".to_owned(), limit)))
            .map(|(plan, limit)| {
                let scope: Vec<_> = limit.scope.iter().map(|scope| scope.as_str()).collect();
                let metric = limit.metric.as_str();
                let max = limit.max.map_or_else(|| "unlimited".to_owned(), |max| max.to_string());
                format!("{plan} {} {metric} {} {max}", scope.join("+"), limit.window)
            })
            .collect()
    }

    #[test]
    fn every_preset_holds_what_the_specification_says() {
        let read = |name: &str| {
            let (name, text) = PRESETS.iter().find(|(known, _)| *known == name).unwrap();
            Preset::read(name, text, &TimeZone::UTC).unwrap()
        };
        let minute = "sliding 60s";
        let diary = read("diary");
        assert_eq!(diary.default_plan.as_deref(), Some("free"));
        let expected: Vec<String> = [
            format!("free user requests {minute} 10"),
            "free user concurrency now 3".to_owned(),
            "free user successes day 10".to_owned(),
            "free user successes month 300".to_owned(),
            format!("premium user requests {minute} 10"),
            "premium user concurrency now 3".to_owned(),
            "premium user successes day 100".to_owned(),
            "premium user successes month 3000".to_owned(),
            format!("- ip requests {minute} 100"),
        ]
        .into();
        assert_eq!(lines(&diary), expected);
        assert!(diary.plans.contains_key("admin"));
        let saas = read("saas");
        assert_eq!(saas.default_plan.as_deref(), Some("FREE"));
        assert_eq!(lines(&saas), ["FREE user successes day 5", "PRO user successes day 200"]);
        let starter = read("starter");
        let month = "rolling 30d";
        assert_eq!(
            lines(&starter),
            [
                format!("free user requests {minute} 10"),
                format!("free user successes {month} 5"),
                format!("pro user requests {minute} 10"),
                format!("pro user successes {month} 1000"),
                format!("team user requests {minute} 10"),
                format!("team user successes {month} 10000"),
            ]
        );
        let monitor = read("monitor");
        assert_eq!(monitor.plans.len(), 1);
        assert!(monitor.plans.values().all(|plan| plan.limits.is_empty()));
        assert!(
            monitor
                .limits
                .iter()
                .all(|limit| { limit.on_limit == tollgate_domain::limit::OnLimit::Alert })
        );
    }
}
