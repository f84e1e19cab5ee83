//! `tollgate init`: writes a commented configuration that works as it stands.
//!
//! It holds keys made for it alone, so nobody's sample secret ends up in production, and the file
//! can be read by its owner only. It never writes over a file unless told to.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use tollgate_admission::identity::new_key;

use crate::config::PRESETS;
use crate::out;

/// The configuration that is written; `@…@` is filled in.
const STARTER: &str = include_str!("init/tollgate.toml");

/// Arguments of `tollgate init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The plans and limits to begin with
    #[arg(long, default_value = "starter", value_parser = preset_names())]
    preset: String,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

fn preset_names() -> PossibleValuesParser {
    PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().into()
}

/// Writes the configuration to the file that `--config` names, else `tollgate.toml`.
pub(crate) fn run(config: Option<&Path>, args: &InitArgs) -> anyhow::Result<()> {
    let path = config.map_or_else(|| PathBuf::from(super::DEFAULT_CONFIG), Path::to_path_buf);
    let (admin, client) = (new_key()?, new_key()?);
    write(&path, &starter(&args.preset, &admin, &client), args.force)?;
    let shown = path.display();
    out::note(format_args!(
        "{shown} is written. It holds an admin key and a key for your application.\n\n\
         Set OPENAI_API_KEY, or try it without one: the model `sim-large` is simulated.\n\n    \
         tollgate check --config {shown}\n    \
         tollgate serve --config {shown}\n    \
         curl http://127.0.0.1:8080/v1/chat/completions \\\n      \
         -H 'authorization: Bearer {client}' -H 'content-type: application/json' \\\n      \
         -d '{{\"model\":\"sim-large\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'"
    ));
    Ok(())
}

/// The text of a first configuration.
fn starter(preset: &str, admin: &str, client: &str) -> String {
    STARTER
        .replace("@PRESET@", preset)
        .replace("@ADMIN_KEY@", admin)
        .replace("@CLIENT_KEY@", client)
}

fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let shown = path.display();
    let mut file = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{shown} is there already; --force writes over it")
        }
        file => file.with_context(|| format!("{shown} cannot be written"))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("{shown} cannot be written"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Severity};

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn what_is_written_passes_with_every_preset_and_switches_on_nothing_unserved() {
        for (preset, _) in PRESETS {
            let text = starter(preset, &new_key().unwrap(), &new_key().unwrap());
            let config = Config::parse("t", &text, &nothing).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(config.preset, Some(*preset));
            let refused = config.unserved().into_iter().any(|it| it.severity == Severity::Refuse);
            assert!(!refused && !text.contains('@'), "{preset}");
            assert_eq!(config.auth.keys.len(), 1);
            assert!(config.models.contains_key("sim-large"));
        }
    }

    #[test]
    fn what_is_commented_out_is_right_as_well() {
        let text = starter("diary", &new_key().unwrap(), &new_key().unwrap());
        // `#key = …` and `#[section]` are configuration; `# words` are words.
        let open = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => rest.to_owned(),
            _ => line.to_owned(),
        };
        let opened: Vec<String> = text.lines().map(open).collect();
        assert_ne!(opened.join("\n"), text);
        Config::parse("t", &opened.join("\n"), &nothing).unwrap_or_else(|e| panic!("{e}"));
    }

    #[test]
    fn a_file_that_is_there_is_kept_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tollgate.toml");
        write(&path, "one", false).unwrap();
        let refused = write(&path, "two", false).unwrap_err().to_string();
        assert!(refused.ends_with("is there already; --force writes over it"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        write(&path, "two", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_what_is_written() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tollgate.toml");
        write(&path, "", false).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
