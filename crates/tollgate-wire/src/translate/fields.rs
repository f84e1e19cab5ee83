//! Takes the members out of a client's JSON, each of the kind that it must have.
//!
//! What is left over after a reader took what it knows is what the reader does not know: it must be
//! handed on or refused, and cannot be overlooked. A member that is `null` counts as absent.

use serde_json::{Map, Number, Value};

use crate::peek::BodyError;

/// The members of an object that have not been taken yet.
#[derive(Debug)]
pub(crate) struct Fields {
    members: Map<String, Value>,
    /// Where the object stands, such as `messages[2]`; empty for the body.
    path: String,
}

impl Fields {
    /// The members of a request's body.
    pub(crate) fn of_body(body: &[u8]) -> Result<Self, BodyError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self { members, path: String::new() }),
            Ok(_) => {
                Err(BodyError { message: "the body must be a JSON object".to_owned(), param: None })
            }
            Err(error) => Err(BodyError {
                message: format!("the body is not valid JSON: {error}"),
                param: None,
            }),
        }
    }

    /// The members of a value that must be an object.
    pub(crate) fn of(value: Value, path: impl Into<String>) -> Result<Self, BodyError> {
        let path = path.into();
        match value {
            Value::Object(members) => Ok(Self { members, path }),
            _ => Err(must(&path, "an object")),
        }
    }

    /// Where a member stands.
    pub(crate) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Where the object stands.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether a member is there and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.members.shift_remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, BodyError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(must(&self.at(name), "a string")),
        }
    }

    /// A string that must be there.
    pub(crate) fn required(&mut self, name: &str) -> Result<String, BodyError> {
        self.string(name)?.ok_or_else(|| must(&self.at(name), "a string"))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, BodyError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(on)),
            Some(_) => Err(must(&self.at(name), "true or false")),
        }
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<Number>, BodyError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(_) => Err(must(&self.at(name), "a number")),
        }
    }

    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, BodyError> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(count) => Ok(Some(count)),
                None => Err(must(&self.at(name), "a whole number, zero or more")),
            },
        }
    }

    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, BodyError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(must(&self.at(name), "a list")),
        }
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, BodyError> {
        let path = self.at(name);
        self.value(name).map(|value| Self::of(value, path)).transpose()
    }

    /// A text, or a list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Vec<String>, BodyError> {
        let strings = |items: Vec<Value>| {
            let text = |item| if let Value::String(text) = item { Some(text) } else { None };
            items.into_iter().map(text).collect::<Option<Vec<_>>>()
        };
        match self.value(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => {
                strings(items).ok_or_else(|| must(&self.at(name), "a list of strings"))
            }
            Some(_) => Err(must(&self.at(name), "a string or a list of strings")),
        }
    }

    /// Takes hints out, to be told of under their bare names.
    pub(crate) fn hints(&mut self, names: &[&str], extras: &mut Map<String, Value>) {
        for name in names {
            if let Some(value) = self.value(name) {
                extras.insert((*name).to_owned(), value);
            }
        }
    }

    /// The members that were not taken, under the names by which a refusal calls them.
    pub(crate) fn rest(self) -> impl Iterator<Item = (String, Value)> {
        let path = self.path;
        let named = move |name: String| {
            if path.is_empty() { name } else { format!("{path}.{name}") }
        };
        self.members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(move |(name, value)| (named(name), value))
    }

    /// Leaves the members that were not taken, where they say nothing that matters for the answer;
    /// `known` are those.
    pub(crate) fn end(self, known: &[&str]) -> Result<(), BodyError> {
        let known: Vec<String> = known.iter().map(|name| self.at(name)).collect();
        match self.rest().find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((name, _)) => Err(BodyError::of(&name, format!("`{name}` is not known here"))),
        }
    }
}

/// The refusal of a member that is of another kind.
pub(crate) fn must(path: &str, kind: &str) -> BodyError {
    BodyError::of(path, format!("`{path}` must be {kind}"))
}
