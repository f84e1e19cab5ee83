//! Members of a JSON value by name: what is not there is `null`, as it is to most providers.

use serde_json::Value;

static NULL: Value = Value::Null;

/// A JSON value that is looked into.
pub(crate) trait Tree {
    /// A member of an object.
    fn of(&self, name: &str) -> &Value;

    /// An item of an array.
    fn item(&self, at: usize) -> &Value;

    /// Sets a member of an object; what is no object stays as it is.
    fn put(&mut self, name: &str, value: Value);
}

impl Tree for Value {
    fn of(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&NULL)
    }

    fn item(&self, at: usize) -> &Value {
        self.get(at).unwrap_or(&NULL)
    }

    fn put(&mut self, name: &str, value: Value) {
        if let Some(members) = self.as_object_mut() {
            members.insert(name.to_owned(), value);
        }
    }
}
