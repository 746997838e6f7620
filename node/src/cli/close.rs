//! `close`: what the guard would have done, for a service manager that saw both killed.

use std::path::Path;

use leasehold_raft::identity::Directory;

use super::out;
use crate::daemon::{pin_dir, remainders, services_journal};
use crate::guard;

pub(super) fn close(data_dir: &Path) -> anyhow::Result<()> {
    // With the locks of both, nobody is left who could open the fence again.
    let directory = Directory::open(data_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        guard::wait_for_predecessor(data_dir).await?;
        let pins = pin_dir(&directory.identity());
        // The program may know VIPs that have left the log, and the log some that the program
        // never knew: both are tried, whatever becomes of the other.
        let stripped = remainders::strip_program(&pins, out::note).await;
        let unbound = remainders::unbind(&directory).await;
        let cleared = leasehold_dataplane::clear(&services_journal(&directory.identity())?);
        stripped?;
        unbound?;
        cleared?;
        out::data(&format!("{} answers for nothing", directory.settings().name))
    })
}
