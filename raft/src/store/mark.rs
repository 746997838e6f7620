//! How far the store had come, kept beside it.
//!
//! A log of an earlier day is whole in itself: an older copy put back in its place, or an older
//! state that an engine fell back to, opens without a word. So every batch has a number, which is
//! in the batch, and is written here once the batch is durable. The mark is not synced and may lag
//! after a power cut, but it is never ahead: a log that is behind it has lost what was
//! acknowledged. A whole data directory put back brings its own mark, and is not noticed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frame;

const NAME: &str = "mark";

pub(super) struct Mark {
    file: File,
}

impl Mark {
    /// Opens the mark, and reads it if a crash left it whole.
    pub(super) fn open(root: &Path) -> io::Result<(Self, Option<u64>)> {
        let mut options = OpenOptions::new();
        let path = root.join(NAME);
        let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
        let number = frame::decode::<String>(&std::fs::read(&path)?).ok();
        Ok((Self { file }, number.and_then(|number| number.parse().ok())))
    }

    pub(super) fn advance(&self, number: u64) -> io::Result<()> {
        // Always as long, so that a shorter number leaves nothing of a longer one.
        let record = frame::encode(&format!("{number:020}")).map_err(io::Error::from)?;
        self.file.write_all_at(&record, 0)
    }
}
