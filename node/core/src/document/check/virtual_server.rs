//! What a virtual server must fulfil beyond being the only one at its place.

use leasehold_model::{
    Config, Damping, Entrance, Family, Protocol, Scheduler, Script, VirtualServer,
};

use super::Check;
use super::notify::can_mail;
use crate::document::MAX_LVS_TIMEOUT_S;
use crate::document::canonical::{flag_words, longest};
use crate::document::checks;

impl Check {
    pub(super) fn virtual_server(
        &mut self,
        config: &Config,
        server: &VirtualServer,
        entrances: &[Entrance],
    ) {
        self.flags(server);
        self.one_packet(server, entrances);
        self.persistence(server, entrances);
        self.quorum(server);
        if let Some(host) = &server.virtualhost {
            self.at("virtualhost", |check| check.host(host));
        }
        let scripts = [("quorum_up", &server.quorum_up), ("quorum_down", &server.quorum_down)];
        for (name, script) in scripts {
            self.at(name, |check| check.script(script.as_ref()));
        }
        self.alert(config, server.smtp_alert);
        if let Some(damping) = &server.damping {
            self.damping(damping);
        }
        self.sorry_server(config, server, entrances);
        self.real_servers(config, server, entrances);
    }

    fn flags(&mut self, server: &VirtualServer) {
        let known = match server.lb_algo {
            Scheduler::Sh | Scheduler::Mh => 2,
            Scheduler::Rr
            | Scheduler::Wrr
            | Scheduler::Lc
            | Scheduler::Wlc
            | Scheduler::Lblc
            | Scheduler::Lblcr
            | Scheduler::Dh
            | Scheduler::Fo
            | Scheduler::Ovf
            | Scheduler::Sed
            | Scheduler::Nq
            | Scheduler::Twos => 0,
        };
        let flags = [server.flags.flag_1, server.flags.flag_2, server.flags.flag_3];
        let words = flag_words(server.lb_algo).into_iter().zip(flags).skip(known);
        let unknown: Vec<&str> = words.filter(|(_, set)| *set).map(|(word, _)| word).collect();
        if !unknown.is_empty() {
            let message = format!("{} knows no {}", server.lb_algo.name(), unknown.join(", "));
            self.at("flags", |check| check.warn(message, "only sh and mh have flags"));
        }
    }

    fn one_packet(&mut self, server: &VirtualServer, entrances: &[Entrance]) {
        if server.ops && server.protocol != Protocol::Udp && has_address(entrances) {
            let message = format!("ops is for UDP, and the service is {}", server.protocol.name());
            self.at("ops", |check| check.error(message, "remove it, or protocol = \"udp\""));
        }
    }

    fn persistence(&mut self, server: &VirtualServer, entrances: &[Entrance]) {
        let Some(persistence) = &server.persistence else { return };
        if !(1..=MAX_LVS_TIMEOUT_S).contains(&persistence.timeout_s) {
            let message = format!("persistence_timeout {} is out of range", persistence.timeout_s);
            let hint = format!("1 to {MAX_LVS_TIMEOUT_S} seconds, 24 days");
            self.at("persistence_timeout", |check| check.error(message, &hint));
        }
        let families = entrances.iter().map(|one| match one {
            Entrance::Address { address, .. } => Family::of(*address),
            Entrance::Fwmark { family, .. } => *family,
        });
        let most = families.map(longest).min().unwrap_or(128);
        if let Some(prefix) = persistence.granularity
            && !(1..=most).contains(&prefix)
        {
            let message = format!("persistence_granularity {prefix} is out of range");
            let hint = format!("a prefix length of 1 to {most}");
            self.at("persistence_granularity", |check| check.error(message, &hint));
        }
        let Some(engine) = &persistence.engine else { return };
        self.at("persistence_engine", |check| {
            if engine != "sip" {
                check.error(format!("{engine:?} is no persistence_engine"), "sip is the only one");
            } else if server.protocol != Protocol::Udp && has_address(entrances) {
                let message =
                    format!("sip is for UDP, and the service is {}", server.protocol.name());
                check.error(message, "remove it, or protocol = \"udp\"");
            }
        });
    }

    fn quorum(&mut self, server: &VirtualServer) {
        let (quorum, hysteresis) = (server.quorum, server.hysteresis);
        if quorum == 0 {
            self.at("quorum", |check| check.error("quorum 0 is always there", "1 or more"));
        } else if hysteresis >= quorum {
            self.at("hysteresis", |check| {
                check.error(
                    format!("hysteresis {hysteresis} is not below the quorum, {quorum}"),
                    "the quorum would never be lost",
                );
            });
        }
        let weights: u64 = server.real_servers.iter().map(|real| u64::from(real.weight)).sum();
        let wanted = u64::from(quorum) + u64::from(hysteresis);
        if (quorum, hysteresis) != (1, 0) && !server.real_servers.is_empty() && weights < wanted {
            self.at("quorum", |check| {
                check.warn(
                    format!("the quorum is never gained: it takes weight {wanted} of {weights}"),
                    "a lower quorum, or higher weights",
                );
            });
        }
    }

    pub(super) fn script(&mut self, script: Option<&Script>) {
        if let Some(script) = script {
            self.program(script);
        }
    }

    pub(super) fn alert(&mut self, config: &Config, alert: Option<bool>) {
        if alert == Some(true) && !can_mail(&config.global.alerts) {
            self.at("smtp_alert", |check| check.no_mail("smtp_alert has no effect"));
        }
    }

    fn damping(&mut self, damping: &Damping) {
        let Damping { flaps, window_ms, hold_ms } = damping;
        self.at("damping", |check| {
            check.limit("flaps", *flaps, &checks::FLAPS);
            check.limit("window_ms", *window_ms, &checks::WINDOW_MS);
            check.limit("hold_ms", *hold_ms, &checks::HOLD_MS);
        });
    }

    /// What goes into a Host header must not end it.
    pub(super) fn host(&mut self, host: &str) {
        if host.is_empty() || host.contains(|c: char| c.is_control() || c.is_whitespace()) {
            self.error(format!("{host:?} is no host name"), "for example www.example.org");
        }
    }
}

pub(super) fn has_address(entrances: &[Entrance]) -> bool {
    entrances.iter().any(|one| matches!(one, Entrance::Address { .. }))
}
