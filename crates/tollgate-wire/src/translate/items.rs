//! Lists of objects among the members of a request.

use serde_json::{Map, Value};

use crate::peek::BodyError;

use super::fields::{Fields, must};

impl Fields {
    /// The objects of a list, with their places; none where there is no list.
    pub(crate) fn items(&mut self, name: &str) -> Result<Vec<Self>, BodyError> {
        let path = self.at(name);
        let items = self.list(name)?.unwrap_or_default().into_iter().enumerate();
        items.map(|(at, item)| Self::of(item, format!("{path}[{at}]"))).collect()
    }

    /// A text, or the objects of a list.
    pub(crate) fn texts_or_items(
        &mut self,
        name: &str,
    ) -> Result<Vec<Result<String, Self>>, BodyError> {
        let path = self.at(name);
        match self.value(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![Ok(text)]),
            Some(Value::Array(items)) => {
                let items = items.into_iter().enumerate();
                items.map(|(at, item)| Self::of(item, format!("{path}[{at}]")).map(Err)).collect()
            }
            Some(_) => Err(must(&path, "a string or a list of objects")),
        }
    }
}

/// An object with its names in camel case: Gemini takes `max_output_tokens` for `maxOutputTokens`.
/// What the members hold stays as it is.
pub(crate) fn in_camel_case(members: Map<String, Value>) -> Map<String, Value> {
    if !members.keys().any(|name| name.contains('_')) {
        return members;
    }
    members.into_iter().map(|(name, value)| (camel(&name), value)).collect()
}

fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' if !out.is_empty() => upper = true,
            c if upper => {
                out.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_camel_case_and_a_leading_line_stays() {
        for (name, expected) in
            [("max_output_tokens", "maxOutputTokens"), ("topK", "topK"), ("_x_y", "_xY")]
        {
            assert_eq!(camel(name), expected);
        }
    }
}
