//! `cargo xtask reference`: writes the references that are generated from code, so that they cannot
//! disagree with it. With `--check` nothing is written, and what is not current is an error.

pub(crate) mod dashboard;
pub(crate) mod errors;
pub(crate) mod metrics;

use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// A document that is made from code.
struct Document {
    /// From the root.
    path: &'static str,
    render: fn() -> Result<String>,
}

const DOCUMENTS: &[Document] = &[
    Document { path: errors::PATH, render: || Ok(errors::render()) },
    Document { path: metrics::PATH, render: || Ok(metrics::render()) },
    Document { path: dashboard::ENGLISH, render: dashboard::english },
    Document { path: dashboard::KOREAN, render: dashboard::korean },
];

/// Arguments of `reference`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail where a document is not current.
    #[arg(long)]
    check: bool,
}

/// Writes the documents under `root`, or checks them.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    let mut stale = Vec::new();
    for Document { path, render } in DOCUMENTS {
        let text = render()?;
        let file = root.join(path);
        if std::fs::read_to_string(&file).is_ok_and(|before| before == text) {
            continue;
        }
        if args.check {
            stale.push(*path);
        } else {
            write(&file, &text).with_context(|| format!("cannot write {path}"))?;
        }
    }
    if !stale.is_empty() {
        bail!("not current: {}; run `cargo xtask reference`", stale.join(", "));
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text)
}
