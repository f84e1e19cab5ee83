//! Prices as a whole: the recorded cases, another implementation of the same arithmetic as the
//! oracle, the book that is shipped, and what overrides it.
#![cfg(test)]

mod book;
mod cases;
mod oracle;
mod table;
