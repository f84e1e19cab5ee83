//! Translation between dialects: any client on any provider.
//!
//! A hub with four spokes. Each form (chat completions, responses, messages, generateContent; the
//! Converse form of Bedrock as a target) is read into and written from the two documents of
//! [`prompt`] (what is asked) and [`reply`] (what is answered), so a form is known in one place and
//! a pair of forms needs no code of its own.
//!
//! What a form cannot express is refused by the field's name in the client's own dialect, never
//! dropped in silence. Metering does not see translated answers: it reads the provider's own bytes
//! before they come here.

pub mod prompt;
pub mod reply;
