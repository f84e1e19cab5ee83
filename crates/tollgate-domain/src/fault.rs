//! Why a call did not succeed: one stable code each, whose fault it is and whether a retry helps.
//!
//! The codes are the contract with clients (SPEC §3); `tollgate-wire` clothes them in a dialect.

use serde::{Deserialize, Serialize};

/// Whose doing an error is (FAULT-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller: its request, its key, its limits.
    Caller,
    /// The provider that was asked.
    Provider,
    /// Tollgate itself, or what it runs on.
    Us,
}

macro_rules! codes {
    ($($variant:ident, $text:literal, $status:literal, $fault:ident, $retry:literal, $doc:literal;)*) => {
        /// The stable code of an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $(#[doc = $doc] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as clients read it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The HTTP status it is sent with, unless the provider's own status is passed on.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// Whose fault it is.
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault),* }
            }

            /// Whether the same request may succeed within seconds; `false` is sent to SDKs as
            /// `x-should-retry: false`.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => $retry),* }
            }

            /// What it means, for the reference.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc),* }
            }
        }
    };
}

codes! {
    Unauthenticated, "unauthenticated", 401, Caller, false, "No credentials, or ones that are unknown, expired or revoked.";
    Forbidden, "forbidden", 403, Caller, false, "The credentials are good, but not for this.";
    GuestForbidden, "guest_forbidden", 403, Caller, false, "The caller has no credentials and does not prove what guests must (CAPTCHA).";
    UserBlocked, "user_blocked", 403, Caller, false, "An operator has blocked this user.";
    ModelNotAllowed, "model_not_allowed", 403, Caller, false, "The key may not use this model.";
    UnknownModel, "unknown_model", 404, Caller, false, "No configured provider serves this model.";
    UnpricedModel, "unpriced_model", 400, Caller, false, "The model has no price, so it is not called.";
    RateLimited, "rate_limited", 429, Caller, true, "Too many requests in a window; waiting helps.";
    ConcurrencyLimited, "concurrency_limited", 429, Caller, true, "Too many calls at once; waiting helps.";
    QuotaExhausted, "quota_exhausted", 429, Caller, false, "A count (calls, tokens, units) is used up until its window turns.";
    BudgetExhausted, "budget_exhausted", 429, Caller, false, "A budget of money is used up until its window turns.";
    KillSwitch, "kill_switch", 503, Us, false, "An operator has stopped calls.";
    DuplicateStorm, "duplicate_storm", 429, Caller, false, "The same prompt was sent too often.";
    CircuitOpen, "circuit_open", 503, Provider, true, "The provider fails too often and is left alone for a while.";
    UpstreamTimeout, "upstream_timeout", 504, Provider, true, "The provider did not answer in time.";
    UpstreamError, "upstream_error", 502, Provider, true, "The provider could not be reached or answered with garbage.";
    BodyTooLarge, "body_too_large", 413, Caller, false, "The request body is larger than `server.max_body`.";
    InvalidRequest, "invalid_request", 400, Caller, false, "The request is not what the endpoint takes.";
    NotFound, "not_found", 404, Caller, false, "There is no such path.";
    MethodNotAllowed, "method_not_allowed", 405, Caller, false, "The path does not take this method.";
    RequestTimeout, "request_timeout", 408, Caller, true, "The request did not arrive in time.";
    Conflict, "conflict", 409, Caller, false, "What the request is about has ended or changed meanwhile.";
    IdempotencyConflict, "idempotency_conflict", 422, Caller, false, "The idempotency key was used with another body.";
    Overloaded, "overloaded", 503, Us, true, "Tollgate has no room for another call just now.";
    ClientClosed, "client_closed", 499, Caller, false, "The client went away before the answer was whole.";
    Degraded, "degraded", 503, Us, true, "What a call needs (the ledger, the keys of tokens, the CAPTCHA service) does not answer, so none is made.";
    Internal, "internal", 500, Us, true, "Tollgate failed; the log line with this request id says how.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_and_their_statuses_are_errors() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
        assert!(Code::ALL.iter().all(|code| {
            serde_json::to_string(code).unwrap() == format!("\"{}\"", code.as_str())
        }));
    }
}
