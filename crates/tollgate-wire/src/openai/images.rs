//! Pictures as answers: what they can cost at most, and the usage of one that is drawn by a model
//! of its own.
//!
//! Current models bill pictures as output tokens and state them. How many a picture takes at most
//! follows from its quality and size; older models bill by the picture, have no price in the book
//! and are refused as unpriced. Source: the API reference and the guide on generating images.

use tollgate_domain::usage::Usage;

use crate::count::{IMAGE, IMAGE_USUAL};
use crate::facts::{AnswerFacts, UsagePart};
use crate::figures;
use crate::json::lenient::Pull;
use crate::peek::Input;

use super::usage;
use super::vendor::UsageRules;

/// Tokens of a picture that is wider or higher than square, by quality; a square one takes fewer.
const LOW: u64 = 408;
const MEDIUM: u64 = 1_584;
const HIGH: u64 = 6_240;
/// Tokens of each picture that is shown before the last.
const PARTIAL: u64 = 100;
/// The area of those pictures; larger ones take more in proportion.
const AREA: u64 = 1_024 * 1_536;

/// The most output tokens that one picture takes which this body asks for.
pub fn most_tokens(body: &[u8]) -> u64 {
    let (mut quality, mut size, mut partial) = (None, None, 0);
    let mut pull = Pull::new(body);
    if pull.enter_object() {
        while let Some(key) = pull.next_key() {
            let value = pull.skip().unwrap_or_default();
            let text = || str::from_utf8(value).ok().map(|text| text.trim_matches('"'));
            match key {
                b"quality" => quality = text(),
                b"size" => size = text(),
                b"partial_images" => {
                    partial = figures::count(&mut Pull::new(value), &mut false).unwrap_or(0);
                }
                _ => {}
            }
        }
    }
    tokens(quality, size, partial)
}

/// The most output tokens of a picture of this quality and size, with so many shown before it.
pub(crate) fn tokens(quality: Option<&str>, size: Option<&str>, partial: u64) -> u64 {
    let each = match quality {
        Some("low") => LOW,
        Some("medium") => MEDIUM,
        _ => HIGH,
    };
    let area = size.and_then(pixels).unwrap_or(AREA).max(AREA);
    each.saturating_mul(area.div_ceil(AREA)).saturating_add(PARTIAL.saturating_mul(partial))
}

/// The input of a request for pictures, of which each picture that goes in takes `each` tokens.
fn input(input: &Input, each: u64) -> Usage {
    let text = input.bytes.saturating_sub(input.image_bytes);
    let input_image = input.images.saturating_mul(each);
    Usage { input_image, ..Usage::tokens(text.saturating_add(input_image), 0) }
}

/// The input tokens of a request for pictures at most.
pub fn most_input(of: &Input) -> Usage {
    input(of, IMAGE)
}

/// The input tokens of a request for pictures where nobody states them.
pub fn likely_input(of: &Input) -> Usage {
    input(of, IMAGE_USUAL)
}

/// The area of a size like `1536x1024`.
fn pixels(size: &str) -> Option<u64> {
    let (width, height) = size.split_once('x')?;
    width.parse::<u64>().ok()?.checked_mul(height.parse().ok()?)
}

/// Reads `svg_usage{model,…}`: what another model drew, at its own price, on top of the usage.
pub(super) fn read_svg(pull: &mut Pull<'_>, rules: UsageRules, parts: &mut Vec<UsagePart>) {
    let mut ahead = pull.clone();
    let mut drawn = AnswerFacts::default();
    if !usage::read(pull, rules, true, &mut drawn) || !ahead.enter_object() {
        return;
    }
    let mut model = None;
    while let Some(key) = ahead.next_key() {
        let value = ahead.string_or_skip();
        if key == b"model" {
            model = value.map(|value| value.decode_lossy().into());
        }
    }
    parts.extend(drawn.usage.map(|usage| UsagePart { model, usage }));
}

/// Adds what another model drew to the facts: the usage is the sum, each part has its own price.
pub(super) fn settle(drawn: Vec<UsagePart>, facts: &mut AnswerFacts) {
    let Some(own) = facts.usage.filter(|_| !drawn.is_empty()) else { return };
    let mut sum = own;
    for part in &drawn {
        sum.input = sum.input.saturating_add(part.usage.input);
        sum.cache_read = sum.cache_read.saturating_add(part.usage.cache_read);
        sum.input_text = sum.input_text.saturating_add(part.usage.input_text);
        sum.input_image = sum.input_image.saturating_add(part.usage.input_image);
        sum.output = sum.output.saturating_add(part.usage.output);
        sum.output_text = sum.output_text.saturating_add(part.usage.output_text);
        sum.output_image = sum.output_image.saturating_add(part.usage.output_image);
        sum.reasoning = sum.reasoning.saturating_add(part.usage.reasoning);
    }
    facts.usage = Some(sum);
    facts.parts.push(UsagePart { model: None, usage: own });
    facts.parts.extend(drawn);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_a_picture_takes_follows_from_quality_and_size() {
        for (body, tokens) in [
            (r#"{"prompt":"x"}"#, 6_240),
            (r#"{"quality":"auto","size":"auto"}"#, 6_240),
            (r#"{"quality":"low","size":"1024x1024"}"#, 408),
            (r#"{"quality":"medium","partial_images":3}"#, 1_884),
            (r#"{"quality":"high","size":"2048x2048"}"#, 18_720),
            (r#"{"size":"99999999999x99999999999"}"#, 6_240),
            ("", 6_240),
        ] {
            assert_eq!(most_tokens(body.as_bytes()), tokens, "{body}");
        }
    }
}
