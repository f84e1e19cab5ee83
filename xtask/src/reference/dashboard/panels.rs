//! What the dashboard shows, as `deploy/grafana/panels.toml` says it: rows, panels and the queries
//! behind each.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Language;

const FILE: &str = include_str!("../../../../deploy/grafana/panels.toml");

/// What a panel looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Look {
    /// Lines over time.
    Lines,
    /// Lines over time, one on the other.
    Stacked,
    /// One number.
    Stat,
    /// One number against its thresholds.
    Gauge,
    /// A bar each.
    Bars,
    /// A line each.
    Table,
}

impl Look {
    /// The panel type of Grafana.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Lines | Self::Stacked => "timeseries",
            Self::Stat => "stat",
            Self::Gauge => "gauge",
            Self::Bars => "barchart",
            Self::Table => "table",
        }
    }

    /// Whether it shows what is now, not what was.
    pub(super) const fn is_instant(self) -> bool {
        !matches!(self, Self::Lines | Self::Stacked)
    }

    /// Whether it shows the rows of a table.
    pub(super) const fn is_tabular(self) -> bool {
        matches!(self, Self::Table | Self::Bars)
    }

    /// Whether each series has a colour of its own.
    pub(super) const fn has_series(self) -> bool {
        matches!(self, Self::Lines | Self::Stacked | Self::Bars)
    }

    /// Width and height where the panel states none, in Grafana's units.
    const fn size(self) -> (u32, u32) {
        match self {
            Self::Stat | Self::Gauge => (4, 5),
            Self::Lines | Self::Stacked | Self::Bars | Self::Table => (12, 8),
        }
    }
}

/// A text, in both languages where they differ.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Text {
    /// The same in both.
    Same(String),
    /// One each.
    Each {
        /// English.
        en: String,
        /// Korean.
        ko: String,
    },
}

impl Default for Text {
    fn default() -> Self {
        Self::Same(String::new())
    }
}

impl Text {
    /// The text in a language.
    pub(super) fn of(&self, language: Language) -> &str {
        match (self, language) {
            (Self::Same(text), _)
            | (Self::Each { en: text, .. }, Language::English)
            | (Self::Each { ko: text, .. }, Language::Korean) => text,
        }
    }
}

/// A query and what its result is called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    pub(super) expr: String,
    #[serde(default)]
    pub(super) legend: Text,
}

/// From which value on a colour holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) from: Option<f64>,
    pub(super) color: String,
}

/// A value that is a state.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) value: String,
    pub(super) text: String,
    pub(super) color: String,
}

/// A panel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Panel {
    pub(super) title: Text,
    pub(super) about: Text,
    pub(super) look: Look,
    pub(super) unit: String,
    width: Option<u32>,
    #[serde(default)]
    pub(super) steps: Vec<Step>,
    #[serde(default)]
    pub(super) states: Vec<State>,
    pub(super) queries: Vec<Query>,
}

impl Panel {
    /// Width and height, in Grafana's units.
    pub(super) fn size(&self) -> (u32, u32) {
        let (width, height) = self.look.size();
        (self.width.unwrap_or(width), height)
    }
}

/// Panels under a heading.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) title: Text,
    pub(super) panels: Vec<Panel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rows: Vec<Row>,
}

/// Everything.
pub(super) fn rows() -> Result<Vec<Row>> {
    let file: File = toml::from_str(FILE).context("deploy/grafana/panels.toml")?;
    Ok(file.rows)
}
