//! Whether every director's kernel can serve what a configuration asks for.

use leasehold_model::{Config, Dataplane, Role};
use leasehold_node_core::document;
use leasehold_raft::state::State;

use crate::daemon::governor::Reports;

/// Whether it takes IPVS on every director.
pub(super) fn needs_ipvs(config: &Config) -> bool {
    match config.global.dataplane {
        Dataplane::Nftables => false,
        Dataplane::Ipvs => !config.virtual_servers.is_empty(),
        Dataplane::Auto => what_nftables_lacks(config).is_some(),
    }
}

/// Why a configuration that takes IPVS can't be served, as far as the directors told.
pub(super) fn refuse(config: &Config, state: &State, reports: &Reports) -> Option<String> {
    let without = state.members.iter().find(|(node, member)| {
        let report = reports.get(**node);
        member.role == Role::Director
            && report.is_some_and(|one| one.eligibility.ipvs == Some(false))
    });
    let (_, member) = without?;
    Some(match what_nftables_lacks(config) {
        Some(why) => format!("the kernel of {} has no IPVS, and {why}", member.name),
        None => format!(
            "the kernel of {} has no IPVS: install its module ip_vs, or set dataplane = \"auto\"",
            member.name
        ),
    })
}

fn what_nftables_lacks(config: &Config) -> Option<String> {
    let faults = document::check_backend(config, Dataplane::Nftables);
    faults.into_iter().find(|one| one.is_error()).map(|one| one.message)
}
