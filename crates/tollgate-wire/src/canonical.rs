//! The canonical form of a request: one text for all bodies that mean the same, so that a repeated
//! prompt is recognised however its client writes it.
//!
//! The order of an object's members, white space and escapes in texts do not matter; everything else
//! does. Numbers are compared as they are written and never as floats: `1` and `1.0` are two
//! requests, which costs a cached answer at worst and never gives a wrong one. A body that can be
//! read in two ways (a member twice, half a character) has no canonical form.

use crate::json::push_string;
use crate::json::strict::{Invalid, Kind, Strict};

/// What makes a document unfit to be compared.
struct Unfit;

impl From<Invalid> for Unfit {
    fn from(_: Invalid) -> Self {
        Self
    }
}

/// The canonical form of a JSON document; `None` where it is none, or can be read in two ways.
pub fn canonical(document: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Strict::new(document).ok()?;
    let mut form = Form { out: Vec::with_capacity(document.len()), spare: Vec::new() };
    cursor.space();
    form.value(&mut cursor).ok()?;
    cursor.end().ok()?;
    Some(form.out)
}

struct Form {
    out: Vec<u8>,
    /// Where members are put in order.
    spare: Vec<u8>,
}

/// Where a member of an object stands in the canonical form.
struct Member {
    start: usize,
    /// Behind its key.
    key_end: usize,
    end: usize,
}

impl Form {
    fn value(&mut self, cursor: &mut Strict<'_>) -> Result<(), Unfit> {
        match cursor.next_byte() {
            Some(b'{') => self.object(cursor),
            Some(b'[') => self.array(cursor),
            _ => self.plain(cursor),
        }
    }

    fn plain(&mut self, cursor: &mut Strict<'_>) -> Result<(), Unfit> {
        let item = cursor.value(&mut ())?;
        match item.kind {
            Kind::String(text) => push_string(&mut self.out, &text.decode().ok_or(Unfit)?),
            _ => self.out.extend_from_slice(item.raw),
        }
        Ok(())
    }

    fn array(&mut self, cursor: &mut Strict<'_>) -> Result<(), Unfit> {
        self.out.push(b'[');
        cursor.array(|inner| {
            self.value(inner)?;
            self.out.push(b',');
            Ok::<(), Unfit>(())
        })?;
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, cursor: &mut Strict<'_>) -> Result<(), Unfit> {
        self.out.push(b'{');
        let mut members: Vec<Member> = Vec::new();
        cursor.object(|inner, key| {
            let start = self.out.len();
            push_string(&mut self.out, &key.decode().ok_or(Unfit)?);
            let key_end = self.out.len();
            self.out.push(b':');
            self.value(inner)?;
            self.out.push(b',');
            members.push(Member { start, key_end, end: self.out.len() });
            Ok::<(), Unfit>(())
        })?;
        self.order(&mut members)?;
        self.out.push(b'}');
        Ok(())
    }

    /// Puts the members of an object, the last thing written, in the order of their keys.
    fn order(&mut self, members: &mut [Member]) -> Result<(), Unfit> {
        let key = |member: &Member| self.out.get(member.start..member.key_end).unwrap_or_default();
        let first = members.first().map(|member| member.start);
        if !members.is_sorted_by(|one, other| key(one) < key(other)) {
            members.sort_by(|one, other| key(one).cmp(key(other)));
            if !members.is_sorted_by(|one, other| key(one) < key(other)) {
                return Err(Unfit);
            }
            self.spare.clear();
            for member in members.iter() {
                let bytes = self.out.get(member.start..member.end).unwrap_or_default();
                self.spare.extend_from_slice(bytes);
            }
            self.out.truncate(first.unwrap_or(self.out.len()));
            self.out.extend_from_slice(&self.spare);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn form(text: &str) -> Option<String> {
        canonical(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn order_white_space_and_escapes_do_not_matter() {
        let plain = form(r#"{"a":1,"b":[true,null,"/é"],"c":{"x":1,"y":2}}"#).unwrap();
        for same in [
            r#" { "b" : [ true , null , "\/\u00e9" ] , "a" : 1 , "c":{"y":2,"x":1} } "#,
            "{\"c\":{\"x\":1,\n\"y\":2},\t\"\\u0061\":1,\"b\":[true,null,\"/\\u00E9\"]}\r\n",
        ] {
            assert_eq!(form(same).as_deref(), Some(&*plain), "{same}");
        }
    }

    #[test]
    fn what_is_written_otherwise_is_another_request() {
        let one = form(r#"{"t":1,"s":"1","l":[1,2],"o":{}}"#);
        for other in [
            r#"{"t":1.0,"s":"1","l":[1,2],"o":{}}"#,
            r#"{"t":1e0,"s":"1","l":[1,2],"o":{}}"#,
            r#"{"t":"1","s":"1","l":[1,2],"o":{}}"#,
            r#"{"t":1,"s":1,"l":[1,2],"o":{}}"#,
            r#"{"t":1,"s":"1","l":[2,1],"o":{}}"#,
            r#"{"t":1,"s":"1","l":[12],"o":{}}"#,
            r#"{"t":1,"s":"1","l":[1,2],"o":[]}"#,
            r#"{"t":1,"s":"1","l":[1,2],"o":null}"#,
            r#"{"t":1,"s":"1","l":[1,2]}"#,
            r#"{"t":1,"s":"1 ","l":[1,2],"o":{}}"#,
        ] {
            assert!(form(other).is_some() && form(other) != one, "{other}");
        }
        // Numbers that one float stands for are two numbers.
        assert_ne!(form("9007199254740992"), form("9007199254740993"));
    }

    #[test]
    fn what_can_be_read_in_two_ways_has_no_form() {
        for unfit in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"x":{"a":1,"b":2,"a":1}}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"\ud800":1}"#,
            r#"{"a":1}{"#,
            "",
            "{",
            "\u{feff}{}",
        ] {
            assert_eq!(form(unfit), None, "{unfit}");
        }
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6).prop_map(|number: f64| json!(number)),
            ".{0,8}".prop_map(Value::from),
        ];
        let tree = leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((".{0,5}", inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::vec((".{0,5}", tree), 1..6)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    /// The same document with the members of each object turned round.
    fn turned(value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let text = |(key, value): (&String, &Value)| {
                    format!("{}: {}", Value::from(key.as_str()), turned(value))
                };
                let members: Vec<_> = members.iter().rev().map(text).collect();
                format!("{{ {} }}", members.join(" , "))
            }
            Value::Array(items) => {
                format!("[{}]", items.iter().map(turned).collect::<Vec<_>>().join(" ,\n"))
            }
            plain => plain.to_string(),
        }
    }

    /// How many leaves a document has.
    fn leaves(value: &Value) -> usize {
        match value {
            Value::Object(members) if !members.is_empty() => members.values().map(leaves).sum(),
            Value::Array(items) if !items.is_empty() => items.iter().map(leaves).sum(),
            _ => 1,
        }
    }

    /// Changes the leaf of this number.
    fn change(value: &mut Value, at: &mut usize) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                members.values_mut().for_each(|member| change(member, at));
            }
            Value::Array(items) if !items.is_empty() => {
                for item in items {
                    change(item, at);
                }
            }
            leaf => {
                if *at == 0 {
                    *leaf = match &*leaf {
                        Value::Null => Value::from(false),
                        Value::Bool(it) => Value::from(!it),
                        Value::Number(it) => Value::from(format!("{it}")),
                        Value::String(it) => Value::from(format!("{it}.")),
                        _ => Value::Null,
                    };
                }
                *at = at.wrapping_sub(1);
            }
        }
    }

    proptest! {
        #[test]
        fn reordering_keeps_the_form_and_changing_any_leaf_changes_it(
            document in document(),
            which in any::<prop::sample::Index>(),
        ) {
            let before = form(&document.to_string()).unwrap();
            prop_assert_eq!(form(&turned(&document)).unwrap(), before.clone());
            let mut changed = document.clone();
            change(&mut changed, &mut which.index(leaves(&document)));
            prop_assert_ne!(form(&changed.to_string()).unwrap(), before);
        }

        #[test]
        fn renaming_leaving_out_or_adding_a_member_changes_the_form(document in document()) {
            let before = form(&document.to_string()).unwrap();
            let members = document.as_object().unwrap();
            let (name, value) = members.iter().next().unwrap();
            let mut less: Map<String, Value> = members.clone();
            less.remove(name);
            let mut renamed = less.clone();
            renamed.insert(format!("{name}-renamed"), value.clone());
            let mut more = members.clone();
            more.insert("another-member".to_owned(), Value::Null);
            for other in [less, renamed, more] {
                prop_assert_ne!(form(&Value::Object(other).to_string()).unwrap(), before.clone());
            }
        }
    }
}
