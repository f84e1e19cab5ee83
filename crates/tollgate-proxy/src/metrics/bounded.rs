//! Names that are labels, as far as there is room. Whoever makes up names beyond that adds to
//! `other` (BOUND-1): a scrape stays small whatever clients and operators call things.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;

/// What stands for the names that are no labels.
const OTHER: &str = "other";
/// A longer name is nobody's, in bytes.
const LONGEST: usize = 128;

/// A set of labels that grows up to a size.
#[derive(Debug)]
pub(super) struct Bounded {
    most: usize,
    known: RwLock<HashSet<Arc<str>>>,
}

impl Bounded {
    /// An empty set that takes so many names.
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: RwLock::default() }
    }

    /// The label for a name; for an empty one, and for one that finds no room, `other`.
    pub(super) fn label(&self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.read().get(name) {
            return Arc::clone(known);
        }
        let mut known = self.known.write();
        let fits = known.len() < self.most && !name.is_empty() && name.len() <= LONGEST;
        let label: Arc<str> = Arc::from(if fits { name } else { OTHER });
        if fits {
            known.insert(Arc::clone(&label));
        }
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_stay_labels_and_all_others_are_one() {
        let labels = Bounded::new(2);
        assert_eq!(&*labels.label("a"), "a");
        assert_eq!(&*labels.label("b"), "b");
        assert_eq!(&*labels.label("c"), "other");
        assert_eq!(&*labels.label("a"), "a");
        assert_eq!(&*labels.label(""), "other");
        assert_eq!(&*Bounded::new(2).label(&"x".repeat(129)), "other");
    }
}
