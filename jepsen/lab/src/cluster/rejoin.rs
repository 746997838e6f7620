//! A member that comes back as a new one: removed, its data gone, joined by a new token.

use std::fs;

use super::{Cluster, SOON};
use crate::{LabError, PinDir, Result, until};

impl Cluster {
    /// Ends the daemon and its data, and lets the member join by way of another.
    pub fn rejoin(&mut self, index: usize, through: usize, role: &str) -> Result<()> {
        if let Some(daemon) = &self.nodes[index].daemon {
            daemon.thaw_tree();
            daemon.kill_tree()?;
        }
        self.mark_down(index);
        self.wait_for_lifetimes(index)?;
        let address = self.nodes[index].port.v4;
        let address = address.ok_or_else(|| LabError::Argument("no IPv4 address".into()))?;
        let listen = format!("{address}:7400");
        let peer = self.peer_address(through)?;
        let token = self.cli(through, &["token", "create", "--role", role])?;
        let (name, data_dir) = (self.nodes[index].name.clone(), &self.nodes[index].data_dir);
        if data_dir.exists() {
            fs::remove_dir_all(data_dir)
                .map_err(LabError::system(format!("removing {}", data_dir.display())))?;
        }
        let token = token.trim();
        let words = ["join", "--name", &name, "--listen", &listen, "--token", token, &peer];
        self.cli(index, &words)?;
        // Those of the old one go, and its fence with them, as nothing is bound behind it.
        self.nodes[index]._pins = Some(PinDir::new(self.pin_dir(index)?)?);
        self.launch_again(index)
    }

    /// An address that a killed daemon and guard left ends by itself; before that, the fence alone
    /// keeps it silent.
    fn wait_for_lifetimes(&self, index: usize) -> Result<()> {
        let host = &self.nodes[index].host;
        until("addresses that were left to end", SOON, || {
            // "valid_lft 3sec", not "valid_lft forever".
            let text = host.ip("-4 addr show").ok()?;
            (!text.contains("sec ")).then_some(())
        })
    }
}
