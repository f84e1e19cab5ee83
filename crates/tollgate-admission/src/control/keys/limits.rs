//! Limits of a key as somebody wrote them: objects in the words of the configuration. What they mean
//! is decided where the configuration is read.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A limit as it was written, with its decimals as they were written.
#[derive(Clone, Debug)]
pub struct WrittenLimit(Box<RawValue>);

impl WrittenLimit {
    /// It as JSON.
    pub fn json(&self) -> &str {
        self.0.get()
    }

    /// Several as a list in JSON.
    pub fn list(limits: &[Self]) -> String {
        let texts: Vec<&str> = limits.iter().map(Self::json).collect();
        format!("[{}]", texts.join(","))
    }

    /// What [`WrittenLimit::list`] made; `None` where it is no such list.
    pub fn read_list(json: &str) -> Option<Vec<Self>> {
        serde_json::from_str(json).ok()
    }

    /// It as an inline table of TOML; null is a key that is left out. `None` where it holds what
    /// no limit does.
    pub fn toml(&self) -> Option<String> {
        let keys: BTreeMap<String, Box<RawValue>> = serde_json::from_str(self.json()).ok()?;
        let mut pairs = Vec::new();
        for (name, value) in &keys {
            let value = value.get();
            if value != "null" {
                // A name in JSON is one in TOML, and so are texts, numbers and lists of them.
                let name = serde_json::Value::from(name.as_str());
                (!value.starts_with('{')).then(|| pairs.push(format!("{name} = {value}")))?;
            }
        }
        Some(format!("{{ {} }}", pairs.join(", ")))
    }
}

impl<'de> Deserialize<'de> for WrittenLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('{') {
            return Ok(Self(raw));
        }
        Err(serde::de::Error::custom("a limit must be an object"))
    }
}

/// A limit at a command line: JSON, or `name=daily,metric=cost_usd,window=day,max=5`.
impl std::str::FromStr for WrittenLimit {
    type Err = WrongLimit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || WrongLimit(text.to_owned());
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text.trim()).map_err(|_| wrong());
        }
        let mut keys = serde_json::Map::new();
        for pair in text.split(',') {
            let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
            keys.insert(name.trim().to_owned(), value.trim().into());
        }
        serde_json::value::to_raw_value(&keys).map(Self).map_err(|_| wrong())
    }
}

/// A text that is no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no limit: write `name=daily,metric=cost_usd,window=day,max=5`, or a JSON object")]
pub struct WrongLimit(String);

impl fmt::Display for WrittenLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_written_in_json_or_in_pairs_and_decimals_stay_as_written() {
        for (text, toml) in [
            (
                r#"{"name":"daily","max":5.10,"scope":["key","model"],"feature":null}"#,
                Some(r#"{ "max" = 5.10, "name" = "daily", "scope" = ["key","model"] }"#),
            ),
            ("name=daily, max=5.10", Some(r#"{ "max" = "5.10", "name" = "daily" }"#)),
            (r#"{"name":{"a":1}}"#, None),
        ] {
            let limit: WrittenLimit = text.parse().unwrap();
            assert_eq!(limit.toml().as_deref(), toml, "{text}");
            let list = WrittenLimit::list(&[limit.clone(), limit]);
            assert_eq!(WrittenLimit::read_list(&list).unwrap().len(), 2);
        }
        for text in ["", "daily", "{", "[]", r#"{"a"}"#] {
            assert!(text.parse::<WrittenLimit>().is_err(), "{text}");
        }
    }
}
