//! The keys of alerts: channels and rules.

use super::{Section, key, optional, required, table};

pub(in crate::config) static ALERTS: Section = Section {
    header: "[alerts]",
    about: "Alerts: channels and rules. docs/alerts.md has the language of rules and the shipped ones.",
    keys: &[
        key("language", "`ko` \\| `en`", "\"ko\"", "The language of alert texts."),
        key("shipped", "true or false", "true", "Whether the shipped rules are in force."),
        key(
            "pause",
            "duration",
            "\"1m\"",
            "How long a second message about the same rule or group waits at least; what happens meanwhile is told together.",
        ),
        key("throttle", "number", "6", "Calls a minute that a throttled user may make."),
        table("channels", "[alerts.channels.NAME]", "Where alerts go."),
        table("rules", "[[alerts.rules]]", "What is alerted."),
    ],
};

pub(in crate::config) static CHANNEL: Section = Section {
    header: "[alerts.channels.NAME]",
    about: "Where alerts go.",
    keys: &[
        required(
            "kind",
            "`slack` \\| `pagerduty` \\| `email` \\| `webhook` \\| `alertmanager`",
            "What it is.",
        ),
        optional(
            "url",
            "secret",
            "Its address; empty means that the channel is not used. Slack: the webhook. E-mail: `smtps://USER:PASSWORD@HOST`, `smtp://…` (STARTTLS), or `smtp+plain://HOST` without TLS and password. Alertmanager: every member, separated by commas. PagerDuty: may be left out.",
        ),
        key("enabled", "true or false", "true", "Whether it is used."),
        optional(
            "language",
            "`ko` \\| `en`",
            "Its language, where it is another than that of `[alerts]`.",
        ),
        key(
            "severity",
            "`info` \\| `warning` \\| `critical`",
            "\"info\"",
            "What is less than this it is not told.",
        ),
        optional(
            "routing_key",
            "secret",
            "PagerDuty: the key of the service that is paged. Empty means that the channel is not used.",
        ),
        optional(
            "secret",
            "secret",
            "Webhook: what it is signed with (Standard Webhooks, `whsec_…`).",
        ),
        optional(
            "previous_secret",
            "secret",
            "Webhook: the secret before, which signs as well while receivers change.",
        ),
        key(
            "allow_private",
            "true or false",
            "false",
            "Webhook: whether it may be `http` and reach addresses that are not on the public internet.",
        ),
        optional(
            "token",
            "secret",
            "Alertmanager: the bearer token that a proxy in front of it asks for.",
        ),
        optional("from", "e-mail address", "E-mail: who it is from."),
        optional("to", "list of e-mail addresses", "E-mail: who gets it."),
        optional(
            "ca_file",
            "path",
            "The authority that is trusted instead of the machine's, as PEM.",
        ),
    ],
};

pub(in crate::config) static RULE: Section = Section {
    header: "[[alerts.rules]]",
    about: "What is alerted. A rule with the name of a shipped one changes what it says and leaves the rest.",
    keys: &[
        required("name", "text", "Its name."),
        key("enabled", "true or false", "true", "Whether it is in force."),
        optional(
            "when",
            "condition",
            "When, such as `cost_usd{by=user,window=1h} > 15 * baseline for 2m`; required unless the rule is a shipped one.",
        ),
        optional(
            "floor",
            "decimal",
            "What counts as usual at least, in the unit of the metric, so that small users do not alarm.",
        ),
        optional(
            "severity",
            "`info` \\| `warning` \\| `critical`",
            "How bad it is; `warning` where nothing else is said.",
        ),
        optional(
            "channels",
            "list of channels",
            "Who is told; every channel where it is left out.",
        ),
        optional(
            "action",
            "text",
            "What it does besides: `throttle`, `quota_zero`, `block` or `kill_switch`, with `for DURATION` where wanted.",
        ),
        optional("repeat", "duration", "How often it is told again while it lasts; `0s` is never."),
        optional("language", "`ko` \\| `en`", "The language of its texts."),
        optional("group", "text", "What is told in one message; its name where it is left out."),
        optional("tell_end", "true or false", "Whether its end is told as well."),
    ],
};
