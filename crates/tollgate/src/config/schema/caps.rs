//! The keys of plans and limits.

use super::{Section, key, optional, required};

pub(in crate::config) static PLAN: Section = Section {
    header: "[plans.NAME]",
    about: "A named set of limits.",
    keys: &[
        required(
            "limits",
            "list of tables",
            "Its limits; see `[limits.NAME]`. `[]` is a plan without limits.",
        ),
        optional(
            "timezone",
            "time zone",
            "The zone of its calendar windows; else that of `[server]`.",
        ),
        optional(
            "on_disconnect",
            "`drain` \\| `abort`",
            "What becomes of its users' calls whose client goes away.",
        ),
        optional(
            "cache",
            "true or false",
            "Whether its users' calls may use the prompt cache; `true` where left out.",
        ),
    ],
};

pub(in crate::config) static LIMIT: Section = Section {
    header: "[limits.NAME]",
    about: "A limit: whose counter, of what, over which time, up to where. In a plan it stands as an inline table with a `name`.",
    keys: &[
        optional(
            "name",
            "text",
            "Its name, in a plan only; outside plans the table's name is its name.",
        ),
        optional(
            "scope",
            "word or list",
            "`user`, `key`, `team`, `ip`, `provider`, `model`, `feature`, `session`, `global`, or several. In a plan `user` where left out; outside plans required.",
        ),
        required(
            "metric",
            "word",
            "`requests`, `successes`, `input_tokens`, `output_tokens`, `tokens`, `cost_usd`, `concurrency` or `units`.",
        ),
        optional(
            "window",
            "text",
            "`sliding DURATION`, `day`, `week`, `month`, `rolling Nd`, `total` or `balance`; none for `concurrency`, else required.",
        ),
        optional(
            "max",
            "number or `unlimited`",
            "The maximum; 0 blocks. Whole but for `cost_usd`. Required but for `balance`, where it is what the balance starts with.",
        ),
        key(
            "on_limit",
            "`deny` \\| `clamp` \\| `downgrade:MODEL` \\| `alert`",
            "\"deny\"",
            "What happens to a call that it does not cover: refuse it, lower its output, serve it from another model, or let it pass and tell.",
        ),
        optional("warn_at", "list of shares", "Steps of use that fire an alert, once per window."),
        key(
            "mode",
            "`enforce` \\| `shadow`",
            "\"enforce\"",
            "`shadow` counts and reports what it would have refused.",
        ),
        key(
            "rollover",
            "share",
            "0.0",
            "How much of the maximum may be carried into the next `day`, `week` or `month` when unused.",
        ),
        optional(
            "timezone",
            "time zone",
            "The zone of its calendar window; else that of the plan.",
        ),
        optional("feature", "text", "Applies to calls of this feature only."),
        optional(
            "models",
            "list of text",
            "Applies to these models only; a `*` at the end matches a prefix.",
        ),
        optional(
            "providers",
            "list of providers",
            "Applies to calls served by these providers only.",
        ),
    ],
};
