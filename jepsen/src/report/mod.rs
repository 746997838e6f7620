//! A run for people: one page with verdicts, figures and a timeline, without scripts.

mod page;
mod svg;
#[cfg(test)]
mod tests;
mod timeline;

use crate::check::{Checker, Judged, Run};
use crate::history::{Folder, FolderError};

pub use page::page;
pub use timeline::timeline;

/// Leaves `report.html` and `timeline.svg` in the folder of a run.
///
/// # Errors
/// Where one can't be written.
pub fn write(folder: &Folder, run: &Run, judged: &[(Checker, Judged)]) -> Result<(), FolderError> {
    folder.write("timeline.svg", &timeline(run, judged))?;
    folder.write("report.html", &page(run, judged))
}
