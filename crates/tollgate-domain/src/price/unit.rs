//! The things that are paid for, and which of them are parts of which.
//!
//! A price for a part takes the part's count out of its whole: cached input that has a price is
//! not paid for as input again, and cached input without one is plain input. This file knows the
//! parts and the words; it knows no price.

use crate::money::{Rate, div_half_even, parse_scaled};
use crate::usage::Usage;

/// How the price of a unit is written.
#[derive(Clone, Copy)]
enum Scale {
    /// USD for a million.
    Million,
    /// USD for a thousand.
    Thousand,
    /// USD for an hour, counted in seconds.
    Hour,
}

macro_rules! units {
    ($($variant:ident, $key:literal, $scale:ident, $doc:literal;)*) => {
        /// Something that is counted and has a price. Parts come before their wholes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Unit {
            $(#[doc = $doc] $variant,)*
        }

        impl Unit {
            /// Every unit, parts before their wholes.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),*];
            /// How many units there are.
            pub const COUNT: usize = [$($key),*].len();

            /// The word that the price book and the configuration use. It says what the price is
            /// for; without a suffix that is a million tokens.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key),* }
            }

            /// The unit that `key` names.
            pub fn from_key(key: &str) -> Option<Self> {
                match key { $($key => Some(Self::$variant),)* _ => None }
            }

            const fn scale(self) -> Scale {
                match self { $(Self::$variant => Scale::$scale),* }
            }
        }
    };
}

units! {
    CachedText, "cached_input_text", Million, "Text tokens read from a cache.";
    CachedAudio, "cached_input_audio", Million, "Audio tokens read from a cache.";
    CachedImage, "cached_input_image", Million, "Image tokens read from a cache.";
    CachedVideo, "cached_input_video", Million, "Video tokens read from a cache.";
    CacheWrite5m, "cache_write_5m", Million, "Tokens written to a cache for minutes.";
    CacheWrite1h, "cache_write_1h", Million, "Tokens written to a cache for an hour or longer.";
    Cached, "cached_input", Million, "Tokens read from a cache.";
    CacheWrite, "cache_write", Million, "Tokens written to a cache.";
    InputText, "input_text", Million, "Text tokens in.";
    InputAudio, "input_audio", Million, "Audio tokens in.";
    InputImage, "input_image", Million, "Image tokens in.";
    InputVideo, "input_video", Million, "Video tokens in.";
    Input, "input", Million, "All tokens in.";
    Reasoning, "reasoning", Million, "Reasoning tokens out.";
    Citation, "citation", Million, "Tokens out that cite sources.";
    OutputText, "output_text", Million, "Text tokens out.";
    OutputAudio, "output_audio", Million, "Audio tokens out.";
    OutputImage, "output_image", Million, "Image tokens out.";
    OutputVideo, "output_video", Million, "Video tokens out.";
    Output, "output", Million, "All tokens out.";
    Characters, "characters_per_1m", Million, "Characters to be spoken.";
    InputAudioTime, "input_audio_per_hour", Hour, "Time of audio in.";
    AudioTime, "audio_per_hour", Hour, "Time of audio.";
    AnnotatedPages, "annotated_pages_per_1k", Thousand, "Pages read and annotated.";
    Pages, "pages_per_1k", Thousand, "Pages read.";
    Messages, "messages_per_1k", Thousand, "Text messages into a voice session.";
    WebSearches, "web_search_per_1k", Thousand, "Searches of the web.";
    FileSearches, "file_search_per_1k", Thousand, "Searches of files.";
    Requests, "requests_per_1k", Thousand, "The call itself, always one.";
}

/// Which side of a call a unit is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
    Other,
}

/// A set of units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Units(u32);

impl Units {
    const INPUT_PARTS: Self = Self(Unit::Input.bit() - 1);
    const OUTPUT_PARTS: Self = Self(
        Unit::Reasoning.bit()
            | Unit::Citation.bit()
            | Unit::OutputText.bit()
            | Unit::OutputAudio.bit()
            | Unit::OutputImage.bit()
            | Unit::OutputVideo.bit(),
    );

    const fn of(units: [Unit; 2]) -> Self {
        let [a, b] = units;
        Self(a.bit() | b.bit())
    }

    const fn one(unit: Unit) -> Self {
        Self(unit.bit())
    }

    pub(super) const fn contains(self, unit: Unit) -> bool {
        self.0 & unit.bit() != 0
    }

    pub(super) fn insert(&mut self, unit: Unit) {
        self.0 |= unit.bit();
    }

    pub(super) fn remove(&mut self, unit: Unit) {
        self.0 &= !unit.bit();
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Unit {
    const fn bit(self) -> u32 {
        1 << (self as u32)
    }

    /// The units whose counts are parts of this one's.
    pub(super) const fn parts(self) -> Units {
        match self {
            Self::Input => Units::INPUT_PARTS,
            Self::Output => Units::OUTPUT_PARTS,
            Self::Cached => Units(Self::CachedVideo.bit() * 2 - 1),
            Self::CacheWrite => Units::of([Self::CacheWrite5m, Self::CacheWrite1h]),
            Self::InputText => Units::one(Self::CachedText),
            Self::InputAudio => Units::one(Self::CachedAudio),
            Self::InputImage => Units::one(Self::CachedImage),
            Self::InputVideo => Units::one(Self::CachedVideo),
            Self::AudioTime => Units::one(Self::InputAudioTime),
            Self::Pages => Units::one(Self::AnnotatedPages),
            _ => Units(0),
        }
    }

    pub(super) const fn side(self) -> Side {
        match self {
            Self::AudioTime | Self::WebSearches | Self::FileSearches | Self::Requests => {
                Side::Other
            }
            Self::Output => Side::Output,
            _ if Units::OUTPUT_PARTS.contains(self) => Side::Output,
            _ => Side::Input,
        }
    }

    /// Whether it counts tokens, so that a context tier may apply.
    pub(super) const fn is_token(self) -> bool {
        self.bit() <= Self::Output.bit()
    }

    /// How many of it a call consumed.
    pub(super) fn count(self, usage: &Usage) -> u64 {
        match self {
            Self::CachedText => usage.cache_read_text,
            Self::CachedAudio => usage.cache_read_audio,
            Self::CachedImage => usage.cache_read_image,
            Self::CachedVideo => usage.cache_read_video,
            Self::CacheWrite5m => usage.cache_write_5m,
            Self::CacheWrite1h => usage.cache_write_1h,
            Self::Cached => usage.cache_read,
            Self::CacheWrite => usage.cache_write,
            Self::InputText => usage.input_text,
            Self::InputAudio => usage.input_audio,
            Self::InputImage => usage.input_image,
            Self::InputVideo => usage.input_video,
            Self::Input => usage.input,
            Self::Reasoning => usage.reasoning,
            Self::Citation => usage.output_citation,
            Self::OutputText => usage.output_text,
            Self::OutputAudio => usage.output_audio,
            Self::OutputImage => usage.output_image,
            Self::OutputVideo => usage.output_video,
            Self::Output => usage.output,
            Self::Characters => usage.characters,
            Self::InputAudioTime | Self::AudioTime => usage.audio_seconds,
            Self::AnnotatedPages => usage.annotated_pages,
            Self::Pages => usage.pages,
            Self::Messages => usage.messages,
            Self::WebSearches => usage.web_searches,
            Self::FileSearches => usage.file_searches,
            Self::Requests => 1,
        }
    }

    /// Reads a price as this unit's key states it. `None` where it is no decimal, is negative, or
    /// is so small that it would turn into zero.
    pub(super) fn parse_rate(self, text: &str) -> Option<Rate> {
        let nanos = match self.scale() {
            Scale::Million => parse_scaled(text, 9)?,
            Scale::Thousand => parse_scaled(text, 12)?,
            Scale::Hour => div_half_even(parse_scaled(text, 15)?, 3_600),
        };
        checked_rate(nanos, text)
    }
}

/// A rate of `nanos` for a million, unless rounding `text` has turned something into nothing.
pub(super) fn checked_rate(nanos: i128, text: &str) -> Option<Rate> {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let says_zero = !mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    let nanos = i64::try_from(nanos).ok().filter(|n| *n > 0 || (*n == 0 && says_zero))?;
    Some(Rate::from_nanos_per_million(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_found_by_its_key_and_parts_come_before_their_whole() {
        for unit in Unit::ALL {
            assert_eq!(Unit::from_key(unit.key()), Some(unit));
            for part in Unit::ALL.into_iter().filter(|part| unit.parts().contains(*part)) {
                assert!((part as u32) < unit as u32, "{part:?} of {unit:?}");
                assert_eq!(part.is_token(), unit.is_token());
            }
        }
        assert!(Unit::Output.is_token() && !Unit::Characters.is_token());
    }

    #[test]
    fn rates_are_read_in_the_measure_of_their_key() {
        for (unit, text, nanos_per_million) in [
            (Unit::Input, "0.02", 20_000_000),
            (Unit::Input, "0.0000000005", -1),
            (Unit::Input, "0.0000000015", 2),
            (Unit::Input, "0", 0),
            (Unit::Input, "0e9", 0),
            (Unit::Input, "-1", -1),
            (Unit::Input, "1,5", -1),
            (Unit::WebSearches, "10", 10_000_000_000_000),
            (Unit::AudioTime, "0.36", 100_000_000_000),
            (Unit::AudioTime, "0.04", 11_111_111_111),
        ] {
            let rate = unit.parse_rate(text).map_or(-1, Rate::nanos_per_million);
            assert_eq!(rate, nanos_per_million, "{} = {text}", unit.key());
        }
    }
}
