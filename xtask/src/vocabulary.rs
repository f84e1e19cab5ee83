//! `cargo xtask vocabulary`: fetches the vocabularies of the tokenizers that the program carries.
//!
//! They are OpenAI's, and published with tiktoken. The copies come from the data of the
//! `bpe-openai` crate in cargo's registry. What makes them the right ones is not where they come
//! from but the digest of what is in them, which tiktoken states.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

const FOLDER: &str = "crates/tollgate-wire/data";
const SOURCE: &str = "bpe-openai";
/// Names of encodings, and the SHA-256 of their unpacked files (tiktoken, `openai_public.py`).
const VOCABULARIES: [(&str, &str); 2] = [
    ("cl100k_base", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"),
    ("o200k_base", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
];

/// Arguments of `vocabulary`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail where a file is not what tiktoken published.
    #[arg(long)]
    check: bool,
}

/// Copies the files, or checks those that are there.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    let folder = root.join(FOLDER);
    let source = if args.check { folder.clone() } else { source()? };
    for (name, digest) in VOCABULARIES {
        let file = format!("{name}.tiktoken.gz");
        let path = source.join(&file);
        let packed = std::fs::read(&path).with_context(|| path.display().to_string())?;
        verify(&packed, digest).with_context(|| path.display().to_string())?;
        if !args.check {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join(&file), packed)?;
        }
    }
    Ok(())
}

fn verify(packed: &[u8], digest: &str) -> Result<()> {
    let mut unpacked = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut unpacked).context("it is not a gzip file")?;
    let bytes = Sha256::digest(&unpacked);
    let found = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    ensure!(found == digest, "its content has the SHA-256 {found}, and {digest} is the right one");
    Ok(())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

/// The folder of the data in cargo's registry.
fn source() -> Result<PathBuf> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo).args(["metadata", "--format-version", "1"]).output()?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let package = metadata.packages.iter().find(|package| package.name == SOURCE);
    let package = package.with_context(|| format!("{SOURCE} is not in the workspace's graph"))?;
    Ok(package.manifest_path.with_file_name("data"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_is_known_by_the_digest_of_what_is_in_it() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"abc").unwrap();
        let packed = packer.finish().unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(verify(&packed, abc).is_ok());
        let wrong = verify(&packed, &abc.replace("ba78", "ba79")).unwrap_err();
        assert!(wrong.to_string().contains(abc), "{wrong}");
        assert!(verify(b"abc", abc).is_err());
    }

    #[test]
    fn the_files_that_the_program_carries_are_the_published_ones() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        run(here.parent().unwrap(), &Args { check: true }).unwrap();
    }
}
