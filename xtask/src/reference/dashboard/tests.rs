//! The dashboards are whole: nothing overlaps, and both languages show the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn panels_of(text: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(text).unwrap();
    document["panels"].as_array().unwrap().clone()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn panels_do_not_overlap_and_their_ids_are_unique() {
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels_of(&english().unwrap()) {
        assert!(ids.insert(number(&panel["id"])));
        let at = &panel["gridPos"];
        assert!(number(&at["x"]) + number(&at["w"]) <= u64::from(WIDTH), "{panel:#}");
        for x in number(&at["x"])..number(&at["x"]) + number(&at["w"]) {
            for y in number(&at["y"])..number(&at["y"]) + number(&at["h"]) {
                assert!(taken.insert((x, y)), "{panel:#}");
            }
        }
    }
}

#[test]
fn both_languages_show_the_same_under_other_titles() {
    let (english, korean) = (panels_of(&english().unwrap()), panels_of(&korean().unwrap()));
    assert_eq!(english.len(), korean.len());
    for (one, other) in english.iter().zip(&korean) {
        let exprs = |panel: &Value| -> Vec<String> {
            let targets = panel["targets"].as_array().cloned().unwrap_or_default();
            targets.iter().map(|target| target["expr"].to_string()).collect()
        };
        assert_eq!(exprs(one), exprs(other));
        assert!(one["title"] != other["title"] || one["title"] == "CPU", "{}", one["title"]);
    }
}
