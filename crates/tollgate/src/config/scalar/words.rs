//! Values that are one of a few words.

use super::Wrong;
use crate::config::problem::nearest;

/// What is told of a word that is none of those expected.
pub(in crate::config) fn wrong_word(text: &str, words: &'static [&'static str]) -> Wrong {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let remedy = nearest(text, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
    Wrong { expected: format!("one of {}", quoted.join(", ")), remedy }
}

/// Makes an enum of words that reads and prints itself.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$each])* $variant),+ }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($text),+];

            /// The word that the configuration uses.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl $crate::config::scalar::Scalar for $name {
            fn read(text: &str) -> Result<Self, $crate::config::scalar::Wrong> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::config::scalar::wrong_word(text, Self::WORDS)),
                }
            }
        }

        impl $crate::config::scalar::Blank for $name {
            fn blank() -> Self {
                [$(Self::$variant),+][0]
            }
        }
    };
}
pub(in crate::config) use words;
