//! `close`: what the guard would have done, for a service manager that saw both killed.

use std::collections::BTreeSet;
use std::path::Path;

use leasehold_dataplane::fence::Gate;
use leasehold_raft::identity::Directory;

use super::out;
use crate::daemon::{pin_dir, unbind_remainders};
use crate::guard;

pub(super) fn close(data_dir: &Path) -> anyhow::Result<()> {
    // With the locks of both, nobody is left who could open the fence again.
    let directory = Directory::open(data_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        guard::wait_for_predecessor(data_dir).await?;
        let pins = pin_dir(&directory.identity());
        if pins.exists() {
            let mut gate = Gate::adopt(&pins)?;
            leasehold_dataplane::strip(Some(&mut gate), &BTreeSet::new()).await?;
        } else {
            unbind_remainders(&directory).await?;
        }
        leasehold_dataplane::clear(&directory.services())?;
        out::data(&format!("{} answers for nothing", directory.settings().name))
    })
}
