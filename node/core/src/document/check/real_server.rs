//! What real servers and sorry servers must fulfil.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use leasehold_model::{Config, Entrance, Family, Forward, RealServer, Service, VirtualServer};

use super::Check;
use super::service::unusable;
use super::virtual_server::has_address;

impl Check {
    pub(super) fn real_servers(
        &mut self,
        config: &Config,
        server: &VirtualServer,
        entrances: &[Entrance],
    ) {
        if server.real_servers.is_empty() && server.sorry_server.is_none() {
            let message = "no real server and no sorry_server: clients are refused";
            self.at("real_server", |check| check.warn(message, "give at least one real_server"));
        }
        let mut seen: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for (index, real) in server.real_servers.iter().enumerate() {
            self.at_path(&["real_server", &index.to_string()], |check| {
                let kind = real.lb_kind.unwrap_or(server.lb_kind);
                check.at("address", |check| {
                    if let Some(first) = seen.insert(real.address, index) {
                        let number = first + 1;
                        check.error(
                            format!("{} is real server {number} already", real.address),
                            "one entry for each address and port; weight says how much it takes",
                        );
                    }
                    check.target(config, server, entrances, real.address, kind);
                });
                check.thresholds(real);
                if let Some(host) = &real.virtualhost {
                    check.at("virtualhost", |check| check.host(host));
                }
                let scripts = [("notify_up", &real.notify_up), ("notify_down", &real.notify_down)];
                for (name, script) in scripts {
                    check.at(name, |check| check.script(script.as_ref()));
                }
                check.alert(config, real.smtp_alert);
                check.checks(config, server, real);
            });
        }
    }

    pub(super) fn sorry_server(
        &mut self,
        config: &Config,
        server: &VirtualServer,
        entrances: &[Entrance],
    ) {
        let Some(sorry) = &server.sorry_server else { return };
        let kind = sorry.lb_kind.unwrap_or(server.lb_kind);
        self.at("sorry_server", |check| {
            check.target(config, server, entrances, sorry.address, kind);
            if server.real_servers.iter().any(|real| real.address == sorry.address) {
                let message = format!("{} is a real server too", sorry.address);
                check.error(message, "a sorry_server serves when no real server can");
            }
        });
    }

    /// Where packets are sent to.
    fn target(
        &mut self,
        config: &Config,
        server: &VirtualServer,
        entrances: &[Entrance],
        address: SocketAddr,
        kind: Forward,
    ) {
        let ip = address.ip();
        if let Some((ip, why)) = unusable(ip) {
            self.error(format!("{ip} {why}"), "a real server has a unicast address");
        }
        let own =
            |one: &Entrance| matches!(one, Entrance::Address { address, .. } if *address == ip);
        if entrances.iter().any(own) {
            self.error(
                format!("{ip} is the virtual server's own address: packets would come back"),
                "give the real server's own address",
            );
        }
        if matches!(kind, Forward::Nat | Forward::Dr) {
            let family = |one: &Entrance| match one {
                Entrance::Address { address, .. } => Family::of(*address),
                Entrance::Fwmark { family, .. } => *family,
            };
            if entrances.iter().any(|one| family(one) != Family::of(ip)) {
                self.error(
                    format!("{ip} is not of the service's address family"),
                    "only lb_kind = \"TUN\" goes from one family to the other",
                );
            }
        } else if config.global.lvs_sync_daemon.is_some()
            && entrances.iter().any(|one| {
                matches!(one, Entrance::Address { address, .. }
                    if address.is_ipv4() != ip.is_ipv4())
            })
        {
            self.error(
                format!(
                    "{ip} is not of the service's address family, and connections are synchronised"
                ),
                "the kernel has no lvs_sync_daemon with mixed families",
            );
        }
        self.port(server, entrances, address, kind);
    }

    /// Packets that are not translated keep their port.
    fn port(
        &mut self,
        server: &VirtualServer,
        entrances: &[Entrance],
        address: SocketAddr,
        kind: Forward,
    ) {
        let name = match kind {
            Forward::Nat => return,
            Forward::Dr => "DR",
            Forward::Tun(_) => "TUN",
        };
        // 0 is the port of each packet: the only one that suits a group with several.
        let marks = !entrances.is_empty() && !has_address(entrances);
        if address.port() == 0 && (marks || matches!(server.service, Service::Group(_))) {
            return;
        }
        if marks {
            return self.error(
                format!(
                    "port {} has no effect: {name} keeps the port of each packet",
                    address.port()
                ),
                "port 0 with a firewall mark; a check has its port in `connect`",
            );
        }
        let other = entrances.iter().find_map(|one| match one {
            Entrance::Address { port, .. } => Some(*port).filter(|port| *port != address.port()),
            Entrance::Fwmark { .. } => None,
        });
        if let Some(port) = other {
            self.error(
                format!("port {} is not the service's port {port}", address.port()),
                &format!("{name} can't change the port; only NAT can"),
            );
        }
    }

    fn thresholds(&mut self, real: &RealServer) {
        if real.lthreshold > real.uthreshold {
            let (lower, upper) = (real.lthreshold, real.uthreshold);
            self.at("lthreshold", |check| {
                check.error(
                    format!("lthreshold {lower} is above uthreshold, {upper}"),
                    "the kernel refuses it: lthreshold is where new connections begin again",
                );
            });
        }
    }
}
