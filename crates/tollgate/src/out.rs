//! The one place that writes to the terminal. Results go to standard output, everything else to
//! standard error, so that output can be piped.

use std::fmt::Display;
use std::io::{self, Write};

/// A line of a result. A reader that has gone (`| head`) ends the program quietly.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
}

/// Text of a result, as it is.
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A remark for whoever sits at the terminal.
pub(crate) fn note(text: impl Display) {
    // Nobody can be told that standard error is gone.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Replaces the last line of standard error, for work that takes long.
pub(crate) fn progress(text: impl Display) {
    let mut err = io::stderr().lock();
    // Nobody can be told that standard error is gone.
    drop(write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush()));
}
