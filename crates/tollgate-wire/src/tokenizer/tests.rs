//! The counts of a tokenizer that was made by others, for the same encodings, are ours as well.

use proptest::prelude::*;

use super::*;

fn check(text: &str) {
    let shown: String = text.chars().take(200).collect();
    for (name, ours, theirs) in [
        ("cl100k_base", cl100k_base(), bpe_openai::cl100k_base()),
        ("o200k_base", o200k_base(), bpe_openai::o200k_base()),
    ] {
        let theirs = u64::try_from(theirs.count(text)).unwrap();
        assert_eq!(ours.count(text), theirs, "{name}: {} bytes: {shown:?}", text.len());
    }
}

#[test]
fn both_encodings_count_as_their_oracle_does() {
    let long = "x".repeat(1 << 20);
    let blanks = " ".repeat(10_000);
    let runs: Vec<String> = (1..200).map(|n| " ".repeat(n) + &"a\t\n".repeat(n)).collect();
    for text in [
        "",
        " ",
        "\n",
        "Hello, world!",
        "The quick brown fox jumps over the lazy dog, doesn't it? IT'S 1,234,567.89 \u{20ac}.",
        "Antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
        "\u{ad6d}\u{bbfc}\u{c758} \u{ad8c}\u{b9ac}\u{b294} \u{d5cc}\u{bc95}\u{c5d0} \u{c5f4}\u{ac70}\u{b418}\u{c9c0} \u{c544}\u{b2c8}\u{d55c} \u{c774}\u{c720}\u{b85c}",
        "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af} e\u{301}\u{302} \u{17f}'\u{17f}",
        "\u{4eca}\u{65e5}\u{306f}\u{3001}\u{4e16}\u{754c}\u{3002}\u{3000}\u{3000}x",
        "\u{1f600}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f1f0}\u{1f1f7}\u{2764}\u{fe0f}\u{1f9ff}",
        "fn main() {\n    let x: Vec<u8> = vec![0xff; 1_000];\n\t// a'Re/b//\n/\r\n}\n\n\n  ",
        "{\"a\":[1,2,3,{\"b\":null}],\"c\":\"\\u0000\"}\r\n\r\n   \t\t x",
        "<|endoftext|><|im_start|>system",
        "\u{0}\u{1}\u{7f}\u{85}\u{a0}\u{ffff}\u{10ffff}",
        include_str!("../tokenizer.rs"),
        include_str!("../../../../README.ko.md"),
        include_str!("../../../../Cargo.lock"),
        &blanks,
        &runs.concat(),
        &long,
    ] {
        check(text);
    }
}

/// What the patterns tell apart, in any order.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \t\r\n\u{a0}\u{3000}]{1,6}",
        "[a-zA-Z]{1,12}",
        "'([sS]|[tT]|re|VE|m|ll|D|\u{17f})",
        "[0-9\u{664}\u{2167}]{1,7}",
        "[\u{ac00}-\u{d7a3}\u{1100}-\u{1112}]{1,8}",
        "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}\\p{Ll}]{1,6}",
        "[!-/:-@/\u{2014}\u{20ac}]{1,8}",
        "[\u{1f300}-\u{1faff}\u{200d}\u{fe0f}]{1,5}",
        "(a|ab|aa| a){1,60}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn any_text_counts_as_its_oracle_does(parts in prop::collection::vec(fragment(), 0..24)) {
        check(&parts.concat());
    }
}
