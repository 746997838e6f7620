//! The power of one member's machine: what its kernel and its disk have forgotten when it is back.

use std::fs;

use super::Cluster;
use crate::disk::Unsynced;
use crate::{End, LabError, Result, Signal};

impl Cluster {
    /// Ends all processes of a member at one instant, in the midst of a sync if there is one
    /// soon, and takes from its disk what was not synced. Says how many written bytes that put
    /// at stake. Its addresses and its fence outlive this: a kernel that went on.
    pub fn crash_disk(&self, index: usize, unsynced: Unsynced) -> Result<usize> {
        let node = &self.nodes[index];
        let none = || LabError::Argument("data directories have no disk of their own".to_owned());
        let disk = node.disk().ok_or_else(none)?;
        // Without one it is a cut at any other instant.
        let caught = disk.catch_a_sync();
        let daemon = self.daemon(index)?;
        daemon.signal_tree(Signal::SIGKILL);
        let at_stake = disk.cut(unsynced)?;
        drop(caught);
        daemon.kill_tree()?;
        Ok(at_stake)
    }

    /// The same, and the kernel ends too: nobody hears of the member any more.
    pub fn power_off(&self, index: usize, unsynced: Unsynced) -> Result<usize> {
        let at_stake = self.crash_disk(index, unsynced)?;
        let host = &self.nodes[index].host;
        self.lan.link_down(host, End::Host)?;
        // Addresses with a lifetime are the product's; the lab's have none.
        host.ip("addr flush dynamic")?;
        // While nothing is bound that they guard, and the link is down.
        let pins = self.pin_dir(index)?;
        if pins.exists() {
            fs::remove_dir_all(&pins).map_err(LabError::system(pins.display().to_string()))?;
        }
        Ok(at_stake)
    }

    /// Its kernel is up again; no daemon runs yet.
    pub fn power_on(&self, index: usize) -> Result<()> {
        self.lan.link_up(&self.nodes[index].host, End::Host)
    }
}
