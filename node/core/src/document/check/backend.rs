//! What the nftables dataplane can't do. It translates addresses and chooses by number or hash;
//! it counts no connections.

use leasehold_model::{Config, Dataplane, Forward, GroupEntry, Scheduler, Service, VirtualServer};

use super::Check;
use super::service::field;
use crate::diagnostic::Diagnostic;

const IPVS: &str = "dataplane = \"ipvs\" on directors whose kernel has IPVS";

/// What of the configuration `dataplane` can't serve, or serves otherwise, whatever the
/// configuration says which one to use. IPVS serves all that [`validate`](super::validate) lets
/// through.
#[must_use]
pub fn check_backend(config: &Config, dataplane: Dataplane) -> Vec<Diagnostic> {
    let mut check = Check::default();
    match dataplane {
        Dataplane::Auto | Dataplane::Ipvs => {}
        Dataplane::Nftables => check.nftables(config),
    }
    check.faults.into_iter().map(|fault| fault.of(config)).collect()
}

impl Check {
    pub(super) fn nftables(&mut self, config: &Config) {
        self.at("global", |check| {
            if config.global.lvs_sync_daemon.is_some() {
                check.refuse("lvs_sync_daemon", "connections can't be synchronised".to_owned());
            }
            if config.global.lvs_timeouts.is_some() {
                let message = "lvs_timeouts has no effect with nftables";
                let hint = "net.netfilter.nf_conntrack_tcp_timeout_established and its like";
                check.at("lvs_timeouts", |check| check.warn(message, hint));
            }
        });
        for (index, server) in config.virtual_servers.iter().enumerate() {
            self.at_path(&["virtual_server", &index.to_string()], |check| {
                check.nftables_server(config, server);
            });
        }
    }

    fn refuse(&mut self, setting: &str, what: String) {
        let message = format!("nftables can't serve it: {what}");
        self.at(setting, |check| check.error(message, IPVS));
    }

    fn nftables_server(&mut self, config: &Config, server: &VirtualServer) {
        let marked = match &server.service {
            Service::Address(_) => false,
            Service::Fwmark(_) => true,
            Service::Group(name) => config.groups.get(name).is_some_and(|group| {
                group.entries.iter().any(|entry| matches!(entry, GroupEntry::Fwmark(_)))
            }),
        };
        if marked {
            self.refuse(field(server), "a firewall mark tells no address to translate".to_owned());
        }
        let scheduler = server.lb_algo.name();
        match server.lb_algo {
            Scheduler::Rr | Scheduler::Wrr | Scheduler::Sh => {}
            Scheduler::Lc | Scheduler::Wlc | Scheduler::Sed | Scheduler::Nq => self.refuse(
                "lb_algo",
                format!("{scheduler} counts connections; it has rr, wrr and sh"),
            ),
            Scheduler::Lblc
            | Scheduler::Lblcr
            | Scheduler::Mh
            | Scheduler::Dh
            | Scheduler::Fo
            | Scheduler::Ovf
            | Scheduler::Twos => {
                self.refuse("lb_algo", format!("{scheduler} is unknown; it has rr, wrr and sh"));
            }
        }
        if !server.flags.is_none() {
            self.refuse("flags", "sh hashes the client's address, and has no flags".to_owned());
        }
        if server.ops {
            self.refuse("ops", "connections are always tracked".to_owned());
        }
        self.nftables_persistence(server);
        self.nftables_kind("lb_kind", server.lb_kind);
        if let Some(kind) = server.sorry_server.as_ref().and_then(|sorry| sorry.lb_kind) {
            self.nftables_kind("sorry_server", kind);
        }
        for (index, real) in server.real_servers.iter().enumerate() {
            self.at_path(&["real_server", &index.to_string()], |check| {
                if let Some(kind) = real.lb_kind {
                    check.nftables_kind("lb_kind", kind);
                }
                for (name, limit) in
                    [("uthreshold", real.uthreshold), ("lthreshold", real.lthreshold)]
                {
                    if limit != 0 {
                        check.refuse(name, "it counts no connections".to_owned());
                    }
                }
            });
        }
    }

    fn nftables_kind(&mut self, setting: &str, kind: Forward) {
        let name = match kind {
            Forward::Nat => return,
            Forward::Dr => "DR",
            Forward::Tun(_) => "TUN",
        };
        self.refuse(setting, format!("{name} leaves addresses as they are; it has NAT only"));
    }

    fn nftables_persistence(&mut self, server: &VirtualServer) {
        let Some(persistence) = &server.persistence else { return };
        if persistence.engine.is_some() {
            let what = "it reads no call identifiers".to_owned();
            self.refuse("persistence_engine", what);
        }
        if persistence.granularity.is_some() {
            let what = "the whole address of a client is hashed".to_owned();
            self.refuse("persistence_granularity", what);
        }
        self.at("persistence_timeout", |check| {
            check.warn(
                "with nftables a client keeps its real server by a hash of its address: while the \
                 real servers stay the same, whatever the timeout",
                "lb_algo is then as good as sh",
            );
        });
    }
}
