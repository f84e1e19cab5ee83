//! Whether the arguments of a call are complete, so far as they have come.

/// Follows the brackets of a JSON document that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

impl Scan {
    pub(super) fn push(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.depth += 1;
                    self.begun = true;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Whether the document is an object or a list that has ended.
    pub(super) const fn is_complete(self) -> bool {
        self.begun && self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_complete_where_its_last_bracket_closes() {
        for document in ["{}", r#"{"a":"}","b":[1,{"c":"\"}"}]}"#, r#"{"a":"\\"}"#] {
            for cut in 0..document.len() {
                let (mut scan, (one, two)) = (Scan::default(), document.split_at(cut));
                scan.push(one);
                assert!(!scan.is_complete(), "{one}");
                scan.push(two);
                assert!(scan.is_complete(), "{document}");
            }
        }
        assert!(!Scan::default().is_complete());
    }
}
