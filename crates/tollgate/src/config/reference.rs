//! Prints the reference of the configuration (`docs/reference/configuration.md`) from the schema.

use super::environment::{KnownProvider, PROVIDERS};
use super::preset::PRESETS;
use super::schema::{ALL, Given, Key, Section};

const INTRODUCTION: &str = "\
# Configuration

<!-- Printed from crates/tollgate/src/config/schema.rs; change it there. -->

One TOML file. `tollgate init` writes a first one, `tollgate check` says what is wrong with a file and
what it puts in force. An unknown key is an error. `${NAME}` in a text stands for the environment
variable, `${NAME:-default}` for its value or, where it is unset or empty, the default; `$${` is a plain `${`.

How values are written:

| form | examples |
|---|---|
| duration | `\"250ms\"`, `\"30s\"`, `\"10m\"`, `\"1h30m\"`, `\"2d\"` |
| size | `\"64KiB\"`, `\"20MiB\"`, `\"1GB\"`, or a number of bytes |
| decimal | `5.00` or `\"5.00\"`; read as written, never as a binary float |
| share | a decimal from 0 to 1 |
| address | `\"127.0.0.1:8080\"`, `\"[::]:8080\"` |
| address range | `\"10.0.0.0/8\"`, `\"2001:db8::/32\"`, `\"127.0.0.1\"` |
| time zone | `\"Asia/Seoul\"`, `\"UTC\"` |
| instant | `\"2027-01-01T00:00:00Z\"` |
| cron | `\"0 3 * * *\"`: minute, hour, day of month, month, day of week |
| secret | a text, best as `\"${NAME}\"`; never printed |
";

const VARIABLES: &str = "\
`TOLLGATE_ADMIN_KEY` is the first admin credential. `TOLLGATE_KILL_SWITCH` and
`FORCE_ANALYSIS_DISABLED`, with a file or without, turn every call off unless they are empty, `0`,
`false`, `off` or `no`. Prices can be set as `OPENAI_GPT4O_INPUT_PER_1K_USD`; see the price book.
";

/// The reference of the configuration, as Markdown.
pub fn reference() -> String {
    let sections: Vec<String> = ALL.iter().map(|section| describe(section)).collect();
    [INTRODUCTION, &sections.concat(), &without_a_file()].concat()
}

fn describe(section: &Section) -> String {
    let title = match section.header {
        "" => "Top level".to_owned(),
        header => format!("`{header}`"),
    };
    let rows: Vec<String> = section.keys.iter().map(row).collect();
    format!(
        "\n## {title}\n\n{}\n\n| key | form | default | meaning |\n|---|---|---|---|\n{}",
        section.about,
        rows.concat()
    )
}

fn row(key: &Key) -> String {
    let default = match key.given {
        Given::Required => "required".to_owned(),
        Given::Optional => "none".to_owned(),
        Given::Default(default) => format!("`{default}`"),
        Given::Table(header) => format!("see `{header}`"),
    };
    format!("| `{}` | {} | {default} | {} |\n", key.name, key.form, key.about)
}

fn without_a_file() -> String {
    let presets: Vec<String> = PRESETS.iter().map(|(name, _)| format!("`{name}`")).collect();
    let row = |it: &KnownProvider| {
        format!("| `{}` | `{}` | `{}` | `{}` |\n", it.key, it.name, it.base_url, it.base)
    };
    let providers: Vec<String> = PROVIDERS.iter().map(row).collect();
    format!(
        "\n## Presets\n\nShipped in `presets/`: {}.\n\n## Without a file\n\n\
         Each of these variables enables its provider; the plans are those of the preset `monitor`.\n\n\
         | variable | provider | address | moved by |\n|---|---|---|---|\n{}\n{VARIABLES}",
        presets.join(", "),
        providers.concat()
    )
}
