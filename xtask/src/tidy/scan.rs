//! Takes Rust source apart, line by line, into code, comments and string literals, and marks the
//! lines that are test code.
//!
//! A lexer of the few things that matter here, so that a word in a comment is not taken for code.
//! It must never fail: source that does not compile is the compiler's business.

/// One line of a Rust file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The code; the inside of literals is left out.
    pub(super) code: String,
    /// What stands in comments, without the marks that open them.
    pub(super) comment: String,
    /// What stands in string literals, with a space after each.
    pub(super) strings: String,
    /// Whether it belongs to an item that exists in tests only.
    pub(super) test: bool,
}

#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Text,
    RawText { hashes: usize },
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    state: State,
    done: Vec<Line>,
    line: Line,
}

/// Takes a file apart.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut scanner = Scanner {
        chars: text.chars().collect(),
        at: 0,
        state: State::Code,
        done: Vec::new(),
        line: Line::default(),
    };
    while scanner.peek(0).is_some() {
        scanner.step();
    }
    if scanner.line != Line::default() {
        scanner.end_line();
    }
    mark_tests(&mut scanner.done);
    scanner.done
}

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn before(&self, back: usize) -> Option<char> {
        self.at.checked_sub(back).and_then(|at| self.chars.get(at)).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, expected)| self.peek(ahead) == Some(expected))
    }

    fn end_line(&mut self) {
        self.done.push(std::mem::take(&mut self.line));
    }

    fn step(&mut self) {
        if self.peek(0) == Some('\n') {
            if matches!(self.state, State::LineComment) {
                self.state = State::Code;
            }
            self.end_line();
            self.at += 1;
            return;
        }
        match self.state {
            State::Code => self.step_code(),
            State::LineComment => self.keep_comment(),
            State::BlockComment { depth } => self.step_block(depth),
            State::Text => self.step_text(),
            State::RawText { hashes } => self.step_raw(hashes),
        }
    }

    fn step_code(&mut self) {
        if self.starts_with("//") {
            self.state = State::LineComment;
            self.at += 2;
        } else if self.starts_with("/*") {
            self.state = State::BlockComment { depth: 1 };
            self.at += 2;
        } else if let Some(hashes) = self.raw_opening() {
            self.state = State::RawText { hashes };
            self.at += 2 + hashes;
        } else if self.peek(0) == Some('"') {
            self.line.code.push('"');
            self.state = State::Text;
            self.at += 1;
        } else if self.peek(0) == Some('\'') {
            self.skip_char_literal();
        } else {
            self.line.code.extend(self.peek(0));
            self.at += 1;
        }
    }

    /// How many hashes follow an `r` that opens a raw string here.
    fn raw_opening(&self) -> Option<usize> {
        let follows_name = |back| self.before(back).is_some_and(is_name_char);
        let prefixed = matches!(self.before(1), Some('b' | 'c')) && !follows_name(2);
        if self.peek(0) != Some('r') || (follows_name(1) && !prefixed) {
            return None;
        }
        let rest = self.chars.get(self.at + 1..)?;
        let hashes = rest.iter().take_while(|char| **char == '#').count();
        (rest.get(hashes) == Some(&'"')).then_some(hashes)
    }

    /// A character literal is skipped; the quote of a lifetime stays.
    fn skip_char_literal(&mut self) {
        if self.peek(1) == Some('\\') {
            self.at += 3;
            while self.peek(0).is_some_and(|char| char != '\'' && char != '\n') {
                self.at += 1;
            }
            self.at += usize::from(self.peek(0) == Some('\''));
        } else if self.peek(2) == Some('\'') {
            self.at += 3;
        } else {
            self.line.code.push('\'');
            self.at += 1;
        }
    }

    fn keep_comment(&mut self) {
        self.line.comment.extend(self.peek(0));
        self.at += 1;
    }

    fn step_block(&mut self, depth: usize) {
        if self.starts_with("/*") {
            self.state = State::BlockComment { depth: depth + 1 };
            self.at += 2;
        } else if self.starts_with("*/") {
            let inner = depth > 1;
            self.state = if inner { State::BlockComment { depth: depth - 1 } } else { State::Code };
            self.at += 2;
        } else {
            self.keep_comment();
        }
    }

    fn step_text(&mut self) {
        match self.peek(0) {
            Some('\\') if self.peek(1) != Some('\n') => {
                self.line.strings.extend(self.peek(1));
                self.at += 2;
            }
            Some('"') => self.end_text(1),
            other => {
                self.line.strings.extend(other);
                self.at += 1;
            }
        }
    }

    fn step_raw(&mut self, hashes: usize) {
        if self.peek(0) == Some('"') && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#')) {
            self.end_text(1 + hashes);
        } else {
            self.line.strings.extend(self.peek(0));
            self.at += 1;
        }
    }

    fn end_text(&mut self, width: usize) {
        self.line.code.push('"');
        self.line.strings.push(' ');
        self.state = State::Code;
        self.at += width;
    }
}

fn is_name_char(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Marks the items under `#[cfg(test)]`, and everything after `#![cfg(test)]`.
fn mark_tests(lines: &mut [Line]) {
    let mut item: Option<Item> = None;
    let mut whole = false;
    for line in lines {
        whole |= line.code.contains("#![cfg(test)]");
        let opening = line.code.find("#[cfg(test)]");
        if item.is_none() && opening.is_some() {
            item = Some(Item::default());
        }
        line.test = whole || item.is_some();
        let code = match opening {
            Some(at) => line.code.get(at + "#[cfg(test)]".len()..).unwrap_or_default(),
            None => &line.code,
        };
        if item.as_mut().is_some_and(|item| item.ends_in(code)) {
            item = None;
        }
    }
}

/// An item that is being read: it ends with the brace that closes it, or with a semicolon.
#[derive(Default)]
struct Item {
    depth: usize,
}

impl Item {
    fn ends_in(&mut self, code: &str) -> bool {
        for char in code.chars() {
            match char {
                '{' => self.depth += 1,
                '}' if self.depth <= 1 => return true,
                '}' => self.depth -= 1,
                ';' if self.depth == 0 => return true,
                _ => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_comments_and_strings_are_told_apart() {
        let rows = [
            ("let a = 1; // note", "let a = 1; ", " note", ""),
            (r#"say("a // b \" c"); x"#, r#"say(""); x"#, "", "a // b \" c "),
            (r##"let a = r#"x "y" z"#;"##, "let a = \";", "", "x \"y\" z "),
            (r#"let a = br"x";"#, "let a = b\";", "", "x "),
            (
                r"let c = '\''; let d = '\u{7f}'; let e = '/';",
                "let c = ; let d = ; let e = ;",
                "",
                "",
            ),
            ("fn a<'b>(c: &'b str) {}", "fn a<'b>(c: &'b str) {}", "", ""),
            ("a /* b /* c */ d */ e", "a  e", " b  c  d ", ""),
            ("let r#type = 1;", "let r#type = 1;", "", ""),
        ];
        for (source, code, comment, strings) in rows {
            let [line] = &lines(source)[..] else { panic!("{source}") };
            let found = (line.code.as_str(), line.comment.as_str(), line.strings.as_str());
            assert_eq!(found, (code, comment, strings), "{source}");
        }
    }

    #[test]
    fn text_over_several_lines_stays_text() {
        let found = lines("let a = \"x\n// y\n\";\nb");
        assert_eq!(found[1].strings, "// y");
        assert_eq!(found[1].comment, "");
        assert_eq!(found[3].code, "b");
    }

    #[test]
    fn test_items_are_marked_to_their_end_and_no_further() {
        let source = "a\n#[cfg(test)]\nmod t {\n fn b() {}\n}\nc\n#[cfg(test)] use d;\ne\n";
        let marked: Vec<bool> = lines(source).iter().map(|line| line.test).collect();
        assert_eq!(marked, [false, true, true, true, true, false, true, false]);
        let whole = lines("//! x\n#![cfg(test)]\nmod a;\n");
        assert_eq!(whole.iter().filter(|line| line.test).count(), 2);
    }

    #[test]
    fn broken_source_is_scanned_to_its_end() {
        for source in ["\"", "r#\"", "/*", "'", "'\\", "#[cfg(test)]", "}}}", "b'"] {
            assert!(lines(source).len() <= 1, "{source}");
        }
    }
}
