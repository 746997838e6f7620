//! A file with a file system in it, mounted by a loop device.

use std::fs::{self, File};
use std::path::PathBuf;

use crate::netns::run;
use crate::{LabError, Result};

/// Dropping it unmounts and removes it.
#[derive(Debug)]
pub(super) struct Ext4 {
    directory: PathBuf,
    image: PathBuf,
}

impl Ext4 {
    pub(super) fn make(directory: PathBuf, mib: u64) -> Result<Ext4> {
        let image = directory.with_extension("image");
        let sized = File::create(&image).and_then(|file| file.set_len(mib << 20));
        sized.map_err(LabError::system(image.display().to_string()))?;
        let disk = Ext4 { directory, image };
        let (image, at) = (disk.image.display().to_string(), disk.directory.display().to_string());
        run("mkfs.ext4", &["-q", "-m", "0", "-E", "lazy_itable_init=0", &image])?;
        run("mount", &["-o", "loop", &image, &at])?;
        Ok(disk)
    }

    /// Takes all the room that is left. Undone by [`free`](Self::free).
    pub(super) fn fill(&self) -> Result<()> {
        let at = self.ballast();
        // Whole blocks first, then bytes: it is full when the last one is refused.
        for block in ["1M", "4k"] {
            let (from, to) = ("if=/dev/zero".to_owned(), format!("of={}", at.display()));
            let size = format!("bs={block}");
            let words = [&from, &to, &size, "oflag=append", "conv=notrunc", "status=none"];
            match run("dd", &words) {
                Ok(_) => {}
                Err(LabError::Command { stderr, .. }) if stderr.contains("No space left") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub(super) fn free(&self) -> Result<()> {
        match fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(LabError::system(self.ballast().display().to_string())(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whatever writes or syncs waits until [`thaw`](Self::thaw).
    pub(super) fn stall(&self) -> Result<()> {
        run("fsfreeze", &["-f", &self.directory.display().to_string()]).map(drop)
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) -> Result<()> {
        run("fsfreeze", &["-u", &self.directory.display().to_string()]).map(drop)
    }

    fn ballast(&self) -> PathBuf {
        self.directory.join("ballast")
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        super::remove(&self.directory);
        let _ = fs::remove_file(&self.image);
    }
}
