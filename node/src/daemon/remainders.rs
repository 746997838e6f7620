//! What an earlier start of this node left in the kernel, and how it goes.
//!
//! The log is about to hear that this node answers for nothing, or an operator's service manager
//! is. Until a lease says otherwise that must be so, whatever the earlier start was: one with the
//! program for a fence, or one without.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use leasehold_dataplane::fence::{Fence, Gate};
use leasehold_model::{Instance, NodeId};
use leasehold_raft::identity::Directory;
use leasehold_raft::state::State;
use leasehold_raft::store;

/// Unbinds what an earlier start bound, as far as this node's log tells.
pub(crate) async fn unbind(directory: &Directory) -> anyhow::Result<()> {
    if !store::exists(&directory.store())? || directory.settings().incarnation == 0 {
        return Ok(());
    }
    let state = store::last_state(&directory.store()).await?;
    let vips = bindable(&state, directory.settings().node);
    let stripped = leasehold_dataplane::strip(None, &vips).await;
    stripped.map(drop).context("unbinding what an earlier start left")
}

/// Every address that `node` may have bound: those of the configuration, and those that left it
/// while `node` held them.
fn bindable(state: &State, node: NodeId) -> BTreeSet<IpAddr> {
    let configured = state.config.instances.values().flat_map(Instance::vips);
    let leaving = state.retiring.iter().filter(|one| one.holder == node);
    configured.map(|vip| vip.address).chain(leaving.map(|one| one.address)).collect()
}

/// Closes the program that is pinned here, if there is one, and unbinds the VIPs that it knows.
///
/// A process that was killed while it pinned left half of it: nothing was ever opened by that,
/// and no VIP is known to it. `complain` hears of it.
pub(crate) async fn strip_program(
    pin_dir: &Path,
    complain: impl FnOnce(&str),
) -> anyhow::Result<()> {
    if !pin_dir.exists() {
        return Ok(());
    }
    match Gate::adopt(pin_dir) {
        Ok(mut gate) => leasehold_dataplane::strip(Some(&mut gate), &BTreeSet::new())
            .await
            .map(drop)
            .context("unbinding what is behind the fence"),
        Err(error) => {
            complain(&format!("the fence of an earlier start is not whole: {error}"));
            Ok(())
        }
    }
}

/// Takes this node's program down, for a start that is fenced otherwise: nobody would open it any
/// more, and it would drop all traffic of the VIPs that it knows.
pub(crate) fn take_program_down(pin_dir: &Path) -> anyhow::Result<()> {
    Fence::remove(pin_dir).with_context(|| {
        format!(
            "{}: the BPF fence of an earlier start would go on dropping the VIPs, and can't be \
             taken down; reboot, or run with --fence bpf",
            pin_dir.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use leasehold_model::{Epoch, GroupId};
    use leasehold_raft::state::Retiring;

    use super::*;

    #[test]
    fn what_left_the_configuration_while_held_here_may_be_bound_still() {
        let [mine, theirs] = ["10.0.0.1", "10.0.0.2"].map(|one| one.parse().unwrap());
        let retiring = |address, holder| Retiring {
            address,
            group: GroupId(1),
            epoch: Epoch(7),
            holder: NodeId(holder),
            index: 9,
        };
        let state =
            State { retiring: vec![retiring(mine, 1), retiring(theirs, 2)], ..State::default() };
        assert_eq!(bindable(&state, NodeId(1)), BTreeSet::from([mine]));
        assert_eq!(bindable(&state, NodeId(2)), BTreeSet::from([theirs]));
    }
}
