//! Where a stream must end: the edge of its reservation, so that even a wrong maximum of the provider
//! cannot overspend.

/// The edge of a reservation, in output tokens. A token is at least one byte, so a stream is
/// counted only when its bytes could have reached the edge, and then again only when they could
/// have reached it since.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    tokens: u64,
    look_at_bytes: u64,
}

impl Edge {
    /// An edge after so many tokens.
    pub const fn at(tokens: u64) -> Self {
        Self { tokens, look_at_bytes: tokens }
    }

    /// Whether so many bytes of text have passed it; `count` counts their tokens.
    pub fn is_passed(&mut self, bytes: u64, count: impl FnOnce() -> u64) -> bool {
        if bytes <= self.look_at_bytes {
            return false;
        }
        let counted = count();
        self.look_at_bytes = bytes.saturating_add(self.tokens.saturating_sub(counted));
        counted > self.tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_counted_only_when_its_bytes_could_have_reached_the_edge() {
        let mut edge = Edge::at(100);
        let never = || -> u64 { panic!("counted without need") };
        assert!(!edge.is_passed(100, never));
        // 101 bytes might be 101 tokens; they are 25.
        assert!(!edge.is_passed(101, || 25));
        // 75 tokens are left, so 75 more bytes cannot reach the edge.
        assert!(!edge.is_passed(176, never));
        assert!(!edge.is_passed(177, || 44));
        assert!(edge.is_passed(400, || 101));
    }
}
