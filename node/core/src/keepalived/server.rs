//! `virtual_server`: a service, how it is scheduled and its real servers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use leasehold_model::{Family, Fwmark, GroupEntry, Protocol, Scheduler, Service, VirtualServer};

use super::draft::{DEFAULT_PERSISTENCE_S, Draft};
use super::group::Group;
use super::keywords::Block;
use super::lex::Pos;
use super::lower::{At, File, Lower};
use super::parse::Statement;
use super::real::Real;
use super::statement::number;
use crate::document::MAX_LVS_TIMEOUT_S;
use crate::document::canonical;

/// The ports of groups, by their names.
type Ports = BTreeMap<String, Option<u16>>;

/// A virtual server as one node has it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) at: Pos,
    pub(super) value: VirtualServer,
    /// Where its settings were written, by the way to them in the document.
    pub(super) places: Vec<(Vec<String>, Pos)>,
    /// Something in it was reported as an error.
    pub(super) broken: bool,
}

impl Lower<'_> {
    pub(super) fn servers(&mut self, statements: &[Statement], file: &mut File) {
        let servers = statements.iter().filter(|one| one.keyword.text == "virtual_server");
        let servers: Vec<&Statement> = servers.collect();
        let inside: Vec<&Statement> =
            servers.iter().flat_map(|one| one.block.iter().flatten()).collect();
        let reals = inside.iter().filter(|one| one.keyword.text == "real_server");
        let reals: Vec<&Statement> = reals.flat_map(|one| one.block.iter().flatten()).collect();
        self.unserved(Block::VirtualServer, inside);
        self.unserved(Block::RealServer, reals.iter().copied());
        self.unserved_checks(&reals);
        let ports: Ports = file.groups.iter().map(|one| (one.name.clone(), one.port())).collect();
        let mut firsts = BTreeMap::new();
        for one in servers {
            let Some(server) = self.server(one, file, &ports) else { continue };
            let key = server.value.key();
            match firsts.get(&key) {
                Some(first) => {
                    let first = self.report.place(*first);
                    let service = &server.value.service;
                    let message = format!("virtual_server {service} is defined at {first} already");
                    self.report.error(server.at, message, "remove one, or put them together");
                }
                None => {
                    firsts.insert(key, server.at);
                    file.servers.push(server);
                }
            }
        }
    }

    fn server(&mut self, one: &Statement, file: &File, ports: &Ports) -> Option<Server> {
        let errors = self.report.errors;
        let service = self.service(one)?;
        let block = self.block(one)?;
        self.repeated(block, &["real_server"]);
        let mut server = Server {
            at: one.keyword.at,
            value: VirtualServer::new(service, Protocol::Udp),
            places: Vec::new(),
            broken: false,
        };
        let mut draft = Draft { log_all_failures: file.log_all_failures, ..Draft::default() };
        for line in block.iter().filter(|line| line.keyword.text != "real_server") {
            if !self.is_placeholder(line) {
                self.setting_of_server(line, &mut draft, &mut server);
            }
        }
        let port = port_of(&server.value.service, ports);
        self.put_together(&draft, &mut server, port.unwrap_or(0));
        let mut reals = Vec::new();
        for line in block.iter().filter(|line| line.keyword.text == "real_server") {
            if let Some(mut real) = self.real_server(line, &draft, port.unwrap_or(0)) {
                self.port(line, &mut real, &server.value, port);
                reals.push(real);
            }
        }
        self.family(&draft, &reals, &mut server.value);
        put_reals(reals, &mut server);
        canonical::virtual_server(&mut server.value);
        server.broken = self.report.errors > errors;
        Some(server)
    }

    fn service(&mut self, one: &Statement) -> Option<Service> {
        let words = &one.arguments;
        match words.first().map(|word| word.text.as_str()) {
            Some("fwmark") => {
                let read = number(1, u32::MAX);
                let mark = self.after(&words[0], words.get(1), "1 or more", read)?;
                Some(Service::Fwmark(Fwmark { mark, family: Family::Inet }))
            }
            Some("group") => {
                let read = |text: &str| Some(text.to_owned());
                self.after(&words[0], words.get(1), "a name", read).map(Service::Group)
            }
            Some(_) | None => {
                let (address, port) = self.socket(&one.keyword, words)?;
                Some(Service::Address(SocketAddr::new(address, port.unwrap_or(0))))
            }
        }
    }

    fn setting_of_server(&mut self, one: &Statement, draft: &mut Draft, server: &mut Server) {
        if self.time(one, 1, &mut draft.times) || self.scheduling(one, draft) {
            return self.note_setting(one, server);
        }
        let value = &mut server.value;
        match one.keyword.text.as_str() {
            "alpha" => value.alpha = self.flag(one).is_some_and(|flag| flag.value),
            "omega" => value.omega = self.flag(one).is_some_and(|flag| flag.value),
            "inhibit_on_failure" => {
                value.inhibit_on_failure = self.flag(one).is_some_and(|flag| flag.value);
            }
            "ha_suspend" => {
                self.no_block(one);
                value.ha_suspend = true;
            }
            "smtp_alert" => value.smtp_alert = self.flag(one).map(|flag| flag.value),
            "ops" => value.ops = self.flag(one).is_some_and(|flag| flag.value),
            "virtualhost" => value.virtualhost = self.argument(one).map(|word| word.text.clone()),
            "quorum" => {
                if let Some(read) = self.value(one, "1 or more", number(1, u32::MAX)) {
                    self.set(one, &mut draft.quorum, read);
                }
            }
            "hysteresis" => {
                if let Some(read) = self.value(one, "a number", number(0, u32::MAX)) {
                    self.set(one, &mut draft.hysteresis, read);
                }
            }
            "quorum_up" => value.quorum_up = self.script(one),
            "quorum_down" => value.quorum_down = self.script(one),
            "sorry_server" => {
                self.no_block(one);
                if let Some(address) = self.socket(&one.keyword, &one.arguments) {
                    let address = At { value: address, at: one.keyword.at };
                    self.set(one, &mut draft.sorry, address);
                }
            }
            "sorry_server_inhibit" => {
                draft.sorry_inhibit = self.flag(one);
            }
            "sorry_server_lvs_method" => draft.sorry_kind = self.forward(one),
            _ => return,
        }
        self.note_setting(one, server);
    }

    fn note_setting(&mut self, one: &Statement, server: &mut Server) {
        let name = match one.keyword.text.as_str() {
            "lvs_sched" => "lb_algo",
            "lvs_method" => "lb_kind",
            "sh-port" | "sh-fallback" | "mh-port" | "mh-fallback" | "flag-1" | "flag-2"
            | "flag-3" => "flags",
            name => name,
        };
        server.places.push((vec![name.to_owned()], one.keyword.at));
    }

    fn scheduling(&mut self, one: &Statement, draft: &mut Draft) -> bool {
        match one.keyword.text.as_str() {
            "ip_family" => {
                let read = |text: &str| match text {
                    "inet" => Some(Family::Inet),
                    "inet6" => Some(Family::Inet6),
                    _ => None,
                };
                if let Some(value) = self.value(one, "inet or inet6", read) {
                    self.set(one, &mut draft.family, value);
                }
            }
            "protocol" => {
                let read = |text: &str| {
                    Protocol::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(text))
                };
                if let Some(value) = self.value(one, "TCP, UDP or SCTP", read) {
                    self.set(one, &mut draft.protocol, value);
                }
            }
            "lb_algo" | "lvs_sched" => {
                let read = |text: &str| Scheduler::ALL.into_iter().find(|one| one.name() == text);
                let names = Scheduler::ALL.map(Scheduler::name).join(", ");
                if let Some(value) = self.value(one, &format!("one of {names}"), read) {
                    self.set(one, &mut draft.lb_algo, value);
                }
            }
            "lb_kind" | "lvs_method" => {
                if let Some(value) = self.forward(one) {
                    self.set(one, &mut draft.lb_kind, value);
                }
            }
            "weight" => {
                if let Some(value) = self.value(one, "0 to 65535", number(0, 65535)) {
                    self.set(one, &mut draft.weight, value);
                }
            }
            "sh-port" | "sh-fallback" | "mh-port" | "mh-fallback" | "flag-1" | "flag-2"
            | "flag-3" => {
                self.no_block(one);
                draft.flags.push(one.keyword.clone());
            }
            "persistence_timeout" => self.persistence_timeout(one, draft),
            "persistence_granularity" => {
                let read =
                    |text: &str| canonical::prefix_of_mask(text).or_else(|| number(1, 128)(text));
                if let Some(value) = self.value(one, "a netmask or prefix length", read) {
                    self.set(one, &mut draft.granularity, value);
                }
            }
            "persistence_engine" => {
                let read = |text: &str| Some(text.to_owned());
                if let Some(value) = self.value(one, "a name", read) {
                    self.set(one, &mut draft.engine, value);
                }
            }
            _ => return false,
        }
        true
    }

    fn persistence_timeout(&mut self, one: &Statement, draft: &mut Draft) {
        let wanted = format!("0 to {MAX_LVS_TIMEOUT_S} seconds");
        let value = match one.arguments.is_empty() {
            true => Some(At { value: DEFAULT_PERSISTENCE_S, at: one.keyword.at }),
            false => self.value(one, &wanted, number(0, MAX_LVS_TIMEOUT_S)),
        };
        if let Some(value) = value {
            self.set(one, &mut draft.persistence_timeout, value);
        }
    }
}

/// The port that packets have when they come; none where they may have several.
fn port_of(service: &Service, ports: &Ports) -> Option<u16> {
    match service {
        Service::Address(address) => Some(address.port()),
        Service::Fwmark(_) => None,
        Service::Group(name) => ports.get(name).copied().flatten(),
    }
}

impl Group {
    /// The port of all its entries, where they have one and the same.
    fn port(&self) -> Option<u16> {
        let mut ports = self.entries.iter().map(|entry| match entry.value {
            GroupEntry::Range { port, .. } => Some(port),
            GroupEntry::Fwmark(_) => None,
        });
        let first = ports.next()??;
        ports.all(|port| port == Some(first)).then_some(first)
    }
}

fn put_reals(reals: Vec<Real>, server: &mut Server) {
    let value = &mut server.value;
    let (alpha, inhibit) = (value.alpha, value.inhibit_on_failure);
    // What the virtual server says counts for all; one that says otherwise takes it back to each.
    value.alpha = alpha && reals.iter().all(|real| real.is_alpha(alpha));
    value.inhibit_on_failure =
        inhibit && reals.iter().all(|real| real.inhibit_on_failure != Some(false));
    for (index, mut real) in reals.into_iter().enumerate() {
        let own = real.alpha.unwrap_or(alpha);
        real.value.alpha = real.is_alpha(alpha);
        for (check, said) in real.value.checks.iter_mut().zip(&real.check_alphas) {
            check.alpha = said.unwrap_or(own);
        }
        real.value.inhibit_on_failure = real.inhibit_on_failure.unwrap_or(inhibit);
        for (path, at) in real.places {
            let steps = ["real_server".to_owned(), index.to_string()].into_iter();
            server.places.push((steps.chain(path).collect(), at));
        }
        value.real_servers.push(real.value);
    }
}
