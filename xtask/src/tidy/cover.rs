//! What is public has a line in the reference: every error code in `docs/reference/errors.md`.

use tollgate_domain::fault::Code;

use super::Finding;
use super::file::File;
use crate::reference::errors::PATH;

/// Looks for each code in the reference.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let text = files.iter().find(|file| file.path == PATH).map_or("", |file| file.text.as_str());
    missing(text)
        .map(|code| {
            let wrong = format!("the error code `{code}` is not in the reference");
            Finding::new(PATH, 0, wrong, "run `cargo xtask reference`")
        })
        .collect()
}

fn missing(text: &str) -> impl Iterator<Item = &'static str> {
    let named = |code: &str| text.lines().any(|line| line.starts_with(&format!("| `{code}` |")));
    Code::ALL.iter().map(|code| code.as_str()).filter(move |code| !named(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::errors::render;

    #[test]
    fn a_code_without_a_line_is_found() {
        let whole = render();
        assert_eq!(missing(&whole).count(), 0);
        let without: String = whole
            .lines()
            .filter(|line| !line.contains("`forbidden`"))
            .map(|l| l.to_owned() + "\n")
            .collect();
        assert_eq!(missing(&without).collect::<Vec<_>>(), ["forbidden"]);
        assert_eq!(missing("").count(), Code::ALL.len());
    }
}
