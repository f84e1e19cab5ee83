//! Appends a batch, whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use jiff::Timestamp;
use jiff::civil::Date;

use super::Lines;
use super::rotate::{folder_of, remove_old, set_aside};
use crate::event::Call;
use crate::worker::{Delivery, Sink};

/// The file that is written to.
pub(super) struct Open {
    file: File,
    length: u64,
    /// The day of its first line.
    day: Date,
    inode: u64,
}

impl Sink for Lines {
    type Event = Call;

    /// A file is written at once.
    fn send(&mut self, batch: &[Call]) -> impl Future<Output = Delivery> + Send {
        let delivery = self.append(batch).map_or_else(
            |error| Delivery::later(format!("{}: {error}", self.config.path.display())),
            |()| Delivery::taken(),
        );
        std::future::ready(delivery)
    }
}

impl Lines {
    fn append(&mut self, batch: &[Call]) -> io::Result<()> {
        let mut text = Vec::with_capacity(batch.len() * 1_024);
        let mut at = Timestamp::UNIX_EPOCH;
        for call in batch {
            (self.line)(call, &mut text);
            at = at.max(call.time);
        }
        let day = at.to_zoned(self.config.zone.clone()).date();
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let mut open = self.ready(day, length)?;
        if let Err(error) = open.file.write_all_at(&text, open.length) {
            // Half a batch would be there twice when it is written again.
            open.file.set_len(open.length)?;
            return Err(error);
        }
        open.length += length;
        self.open = Some(open);
        Ok(())
    }

    /// The file that the next bytes belong to.
    fn ready(&mut self, day: Date, more: u64) -> io::Result<Open> {
        let path = &self.config.path;
        let is_ours = |open: &Open| fs::metadata(path).is_ok_and(|it| it.ino() == open.inode);
        let open = match self.open.take().filter(is_ours) {
            Some(open) => open,
            None => self.begin(day)?,
        };
        let too_large =
            self.config.size.is_some_and(|size| open.length.saturating_add(more) > size);
        let too_old = self.config.daily && open.day < day;
        if open.length == 0 || !(too_large || too_old) {
            return Ok(open);
        }
        set_aside(path, open.day)?;
        if let Some(keep) = self.config.keep {
            remove_old(path, keep)?;
        }
        self.begin(day)
    }

    /// Opens the file, and makes it and its folder where they are not there.
    fn begin(&self, day: Date) -> io::Result<Open> {
        let path = &self.config.path;
        fs::create_dir_all(folder_of(path))?;
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let found = file.metadata()?;
        let mut length = found.len();
        // A program that was killed may have left half a line.
        let mut last = [0];
        if length > 0 && file.read_exact_at(&mut last, length - 1).is_ok() && last != *b"\n" {
            file.write_all_at(b"\n", length)?;
            length += 1;
        }
        // What was written before lies on the day it was last written to.
        let written = found.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
        let written = written.map(|at| at.to_zoned(self.config.zone.clone()).date());
        let day = if length == 0 { day } else { written.unwrap_or(day).min(day) };
        Ok(Open { file, length, day, inode: found.ino() })
    }
}
