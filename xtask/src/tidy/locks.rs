//! Lock files: present for everything that is installed, and free of download hosts.

use super::Finding;
use super::file::File;

/// Looks for the lock beside each list of dependencies.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    files.iter().filter_map(|file| fault(file, files)).collect()
}

fn fault(file: &File, files: &[File]) -> Option<Finding> {
    let lock = match file.name() {
        "Cargo.toml" if file.path == "Cargo.toml" => "Cargo.lock",
        "package.json" => "package-lock.json",
        "requirements.in" => "requirements.txt",
        "package-lock.json" if file.text.contains("\"resolved\"") => {
            let wrong = "the lock names where packages come from";
            return Some(Finding::new(&file.path, 0, wrong, "remove the `resolved` fields"));
        }
        "requirements.txt" => return unpinned(file),
        _ => return None,
    };
    let beside = format!("{}{lock}", file.path.trim_end_matches(file.name()));
    let missing = !files.iter().any(|other| other.path == beside);
    missing.then(|| {
        let remedy = "make it with the package tool and commit it";
        Finding::new(&file.path, 0, format!("there is no {beside}"), remedy)
    })
}

fn unpinned(file: &File) -> Option<Finding> {
    let names = |line: &str| line.starts_with(|char: char| char.is_ascii_alphanumeric());
    let (at, line) = file.lines().find(|(_, line)| names(line) && !line.contains("=="))?;
    let name = line.split([' ', '<', '>', '~', ';', '=']).next().unwrap_or(line);
    Some(Finding::new(&file.path, at, format!("`{name}` is not pinned"), "pin it with `==`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_its_lock_is_found() {
        let rows: &[(&[(&str, &str)], &str)] = &[
            (&[("Cargo.toml", ""), ("Cargo.lock", "")], ""),
            (&[("Cargo.toml", "")], "no Cargo.lock"),
            (&[("crates/a/Cargo.toml", "")], ""),
            (&[("a/package.json", ""), ("package-lock.json", "")], "no a/package-lock.json"),
            (&[("a/package-lock.json", "{\"resolved\": 1}")], "come from"),
            (&[("a/requirements.in", "")], "no a/requirements.txt"),
            (&[("requirements.txt", "# a\nopenai==1.0 \\\n    --hash=x\n")], ""),
            (&[("requirements.txt", "a==1\nb>=2\n")], ":2: `b` is not pinned"),
        ];
        for (listed, expected) in rows {
            let files: Vec<File> = listed
                .iter()
                .map(|(path, text)| File::new((*path).to_owned(), (*text).to_owned()))
                .collect();
            let found = check(&files);
            assert_eq!(found.len(), usize::from(!expected.is_empty()), "{listed:?}: {found:?}");
            assert!(found.iter().all(|one| one.to_string().contains(expected)), "{found:?}");
        }
    }
}
