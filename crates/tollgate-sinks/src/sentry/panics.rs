//! Panics of the program on their way to Sentry.
//!
//! Whoever panics may hold any lock, so the report is pushed only where the queue is free at once.

use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_domain::clock::Clock;

use super::report::{Frame, Panic, Report};
use crate::feed::Feed;

/// Most functions that are named.
const MOST_FRAMES: usize = 100;

/// Where panics are reported.
#[derive(Clone)]
pub(crate) struct Panics {
    pub(crate) feed: Arc<Feed<Report>>,
    pub(crate) clock: Clock,
    /// Makes ids differ; every panic takes the next.
    pub(crate) next: Arc<AtomicU64>,
}

impl Panics {
    /// Reports a panic, from its hook.
    pub(crate) fn report(&self, info: &PanicHookInfo<'_>) {
        let now = self.clock.now();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let moment = u64::from_le_bytes(now.as_microsecond().to_le_bytes());
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let panic = Panic {
            id: format!("{moment:016x}{number:016x}"),
            time: now,
            message: info.payload().downcast_ref::<&'static str>().map(|text| (*text).to_owned()),
            place,
            thread: std::thread::current().name().unwrap_or("unnamed").to_owned(),
            frames: frames(&Backtrace::force_capture().to_string()),
        };
        self.feed.push_at_once(Report::Panicked(Arc::new(panic)));
    }
}

/// The functions of a backtrace as it prints itself, outermost first: a line with number and name,
/// and below it, where it is known, `at FILE:LINE:COLUMN`.
fn frames(backtrace: &str) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for line in backtrace.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("at ") {
            let Some(frame) = frames.last_mut() else { continue };
            let mut parts = place.rsplitn(3, ':');
            let (_column, line, file) = (parts.next(), parts.next(), parts.next());
            frame.filename = file.map(str::to_owned);
            frame.lineno = line.and_then(|line| line.parse().ok());
        } else if let Some((number, function)) = line.split_once(": ")
            && number.bytes().all(|b| b.is_ascii_digit())
        {
            frames.push(Frame { function: function.to_owned(), ..Frame::default() });
        }
    }
    // What runs because of the panic is not what panicked.
    let own = |frame: &Frame| {
        frame.function.contains("panicking::") || frame.function.contains("rust_begin_unwind")
    };
    let inner = frames.iter().rposition(own).map_or(0, |at| at + 1);
    let mut frames = frames.split_off(inner);
    frames.truncate(MOST_FRAMES);
    frames.reverse();
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_outermost_first_without_those_of_the_panic_itself() {
        let text = "   0: std::backtrace::Backtrace::create\n   1: std::panicking::begin_panic\n             at ./std/panicking.rs:5:9\n   2: tollgate::work\n             at ./src/work.rs:17:3\n   3: main\n";
        let work = Frame {
            function: "tollgate::work".to_owned(),
            filename: Some("./src/work.rs".to_owned()),
            lineno: Some(17),
        };
        let main = Frame { function: "main".to_owned(), ..Frame::default() };
        assert_eq!(frames(text), [main, work]);
    }
}
