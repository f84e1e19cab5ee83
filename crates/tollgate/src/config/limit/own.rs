//! The limits that a key brings along: in `[[auth.keys]]`, or as somebody sent them who made the key
//! through the admin API or at the command line.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tollgate_admission::control::WrittenLimit;
use tollgate_domain::limit::{Limit, Scope, Window};
use toml::de::DeTable;

use super::{Mentions, named};
use crate::config::Config;
use crate::config::names::Names;
use crate::config::reader::{Fields, Reading};
use crate::config::schema;

/// Reads the limits of a key.
pub(in crate::config) fn own_limits(
    key: &Fields<'_>,
    mentions: Mentions<'_>,
    zone: &TimeZone,
) -> Vec<Arc<Limit>> {
    let limits = named(key, Scope::Key, mentions, zone);
    let items = key.item("limits").map(|item| item.items()).unwrap_or_default();
    for item in items {
        let Some(fields) = item.fields(&schema::LIMIT) else { continue };
        let scope = super::form::scope(&fields);
        if scope.is_some_and(|scope| !scope.contains(&Scope::Key)) {
            let message = format!("`{}.scope`: a limit of a key counts by `key`", fields.path);
            let remedy = "add `key`, or put it among `[limits]`";
            fields.fail_at("scope", message, Some(remedy.to_owned()));
        }
        if fields.maybe::<Window>("window") == Some(Window::Balance) {
            let message = format!("`{}.window`: nobody pays in on a key", fields.path);
            let remedy = "use \"total\", or put the balance into a plan";
            fields.fail_at("window", message, Some(remedy.to_owned()));
        }
    }
    limits
}

/// The limits that were written for a key. `config` names the models and providers that they may
/// mention; where they were checked before, any may be.
pub(crate) fn read_key_limits(
    written: &[WrittenLimit],
    config: Option<&Config>,
    zone: &TimeZone,
) -> Result<Vec<Arc<Limit>>, String> {
    if written.is_empty() {
        return Ok(Vec::new());
    }
    let tables: Option<Vec<String>> = written.iter().map(WrittenLimit::toml).collect();
    let tables = tables.ok_or("a limit holds texts, numbers and lists, and no objects")?;
    let text = format!("limits = [{}]", tables.join(", "));
    // What an admin sends is not expanded with the server's variables.
    let nothing = |_: &str| None;
    let reading = Reading::new("limits", &text, &nothing);
    let table = DeTable::parse(&text).map_err(|error| error.message().to_owned())?;
    let key = Fields::new(&reading, &schema::KEY, String::new(), (0, Some(table.get_ref())));
    let (models, providers) = match config {
        Some(config) => (
            Names::known("model", "[models.\"NAME\"]", config.models.keys()),
            Names::known("provider", "[providers.NAME]", config.providers.keys()),
        ),
        None => (Names::any(), Names::any()),
    };
    let mentions = Mentions { models: &models, providers: &providers };
    let limits = own_limits(&key, mentions, zone);
    let (problems, _) = reading.finish();
    let told: BTreeSet<String> = problems
        .into_iter()
        .map(|problem| match problem.remedy {
            Some(remedy) => format!("{}; {remedy}", problem.message),
            None => problem.message,
        })
        .collect();
    if told.is_empty() {
        return Ok(limits);
    }
    Err(told.into_iter().collect::<Vec<_>>().join(". "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Arc<Limit>>, String> {
        read_key_limits(&[text.parse().unwrap()], None, &TimeZone::UTC)
    }

    #[test]
    fn limits_of_a_key_count_by_key_and_are_read_as_in_the_configuration() {
        let limits =
            read(r#"{"name":"d","metric":"cost_usd","window":"day","max":0.1,"warn_at":[0.8]}"#);
        let limit = Arc::clone(limits.unwrap().first().unwrap());
        assert_eq!((limit.max, &*limit.scope), (Some(100_000_000), &[Scope::Key][..]));
        let pairs = "name=d,metric=requests,window=sliding 60s,max=10";
        assert_eq!(read(pairs).unwrap().first().unwrap().max, Some(10));
    }

    #[test]
    fn what_a_limit_of_a_key_cannot_be_is_refused_with_a_sentence() {
        for (text, said) in [
            ("name=d,metric=tokens,window=day", "needs `max`"),
            ("name=d,metric=tokens,window=day,max=1,scope=user", "counts by `key`"),
            ("name=d,metric=tokens,window=balance,max=1", "nobody pays in"),
            ("name=d,metric=tokns,window=day,max=1", "did you mean `tokens`"),
            ("name=d,metric=tokens,window=day,max=${HOME}", "HOME"),
            ("label=d,metric=tokens,window=day,max=1", "unknown key `label`"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(said), "{text}: {told}");
        }
    }
}
