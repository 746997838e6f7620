//! Statements to what one file means. What is served is read; everything else is reported once.

use std::net::Ipv4Addr;

use leasehold_model::{Auth, AuthType, LvsTimeouts};

use super::group::Group;
use super::keywords::Block;
use super::lex::{Pos, Report};
use super::parse::Statement;
use super::server::Server;
use super::statement::{is_value, milliseconds, number, timer};
use super::sync::Sync;
use super::vip::{self, Address};

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: Pos,
}

/// One node's keepalived.conf.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) router_id: Option<At<String>>,
    pub(super) mcast_group4: Option<At<Ipv4Addr>>,
    pub(super) sync: Option<At<Sync>>,
    pub(super) timeouts: Option<At<LvsTimeouts>>,
    pub(super) routers: Vec<Router>,
    pub(super) groups: Vec<Group>,
    pub(super) servers: Vec<Server>,
}

/// A `vrrp_instance` as one node has it.
#[derive(Debug, Default)]
pub(super) struct Router {
    pub(super) name: String,
    pub(super) at: Pos,
    pub(super) master: Option<At<bool>>,
    pub(super) interface: Option<At<String>>,
    pub(super) virtual_router_id: Option<At<u8>>,
    pub(super) priority: Option<At<u8>>,
    pub(super) advert_int_ms: Option<At<u32>>,
    pub(super) version: Option<At<u8>>,
    pub(super) authentication: Option<At<Auth>>,
    pub(super) nopreempt: Option<Pos>,
    pub(super) preempt_delay_ms: Option<At<u32>>,
    pub(super) addresses: Vec<At<Address>>,
    /// Something in it was reported as an error: what is missing may only be unreadable.
    pub(super) broken: bool,
}

pub(super) fn lower(statements: &[Statement], report: &mut Report) -> File {
    let mut lower = Lower { report };
    let mut file = File::default();
    lower.unserved(Block::Root, statements);
    let mut version = None;
    for one in statements.iter().filter(|one| one.keyword.text == "global_defs") {
        if let Some(block) = lower.block(one) {
            lower.global(block, &mut file, &mut version);
        }
    }
    for one in statements.iter().filter(|one| one.keyword.text == "vrrp_instance") {
        if let Some(router) = lower.router(one, version.as_ref()) {
            if let Some(first) = file.routers.iter().find(|first| first.name == router.name) {
                let first = lower.report.place(first.at);
                let message =
                    format!("vrrp_instance {} is defined at {first} already", router.name);
                lower.report.error(router.at, message, "names are unique: rename one");
            } else {
                file.routers.push(router);
            }
        }
    }
    lower.groups(statements, &mut file);
    lower.servers(statements, &mut file);
    file
}

pub(super) struct Lower<'a> {
    pub(super) report: &'a mut Report,
}

impl Lower<'_> {
    fn global(&mut self, block: &[Statement], file: &mut File, version: &mut Option<At<u8>>) {
        // The stock file sets both intervals to 0, which paces nothing there either.
        let quiet = |one: &Statement| {
            is_value(one, "vrrp_version", "2")
                || is_value(one, "vrrp_garp_interval", "0")
                || is_value(one, "vrrp_gna_interval", "0")
        };
        self.unserved_but(Block::GlobalDefs, block, quiet);
        for one in block {
            match one.keyword.text.as_str() {
                "router_id" => {
                    if let Some(word) = self.argument(one) {
                        let value = At { value: word.text.clone(), at: word.at };
                        self.set(one, &mut file.router_id, value);
                    }
                }
                "vrrp_mcast_group4" => {
                    let read = |text: &str| text.parse().ok();
                    if let Some(value) = self.value(one, "an IPv4 address", read) {
                        self.set(one, &mut file.mcast_group4, value);
                    }
                }
                "lvs_sync_daemon" => {
                    if let Some(value) = self.sync(one) {
                        self.set(one, &mut file.sync, value);
                    }
                }
                "lvs_timeouts" => {
                    if let Some(value) = self.timeouts(one) {
                        self.set(one, &mut file.timeouts, value);
                    }
                }
                "vrrp_version" => {
                    *version = self.value(one, "2 or 3", number(2, 3)).or(version.take());
                }
                _ => {}
            }
        }
    }

    fn router(&mut self, statement: &Statement, version: Option<&At<u8>>) -> Option<Router> {
        let name = self.argument(statement)?;
        let block = self.block(statement)?;
        let mut router = Router {
            name: name.text.clone(),
            at: name.at,
            version: version.cloned(),
            ..Router::default()
        };
        let errors = self.report.errors;
        let fraction = block.iter().any(|one| {
            one.keyword.text == "advert_int"
                && one
                    .arguments
                    .first()
                    .and_then(|word| milliseconds(&word.text))
                    .is_some_and(|ms| !ms.is_multiple_of(1000))
        });
        let served_version = if fraction { "3" } else { "2" };
        let quiet = |one: &Statement| is_value(one, "version", served_version);
        self.unserved_but(Block::Instance, block, quiet);
        for one in block {
            self.setting(one, &mut router);
        }
        router.broken = self.report.errors > errors;
        self.required(&router);
        self.rounding(&router);
        Some(router)
    }

    fn setting(&mut self, one: &Statement, router: &mut Router) {
        match one.keyword.text.as_str() {
            "state" => self.state(one, router),
            "interface" => {
                let read = |text: &str| Some(text.to_owned());
                if let Some(value) = self.value(one, "an interface", read) {
                    self.set(one, &mut router.interface, value);
                }
            }
            "virtual_router_id" => {
                if let Some(value) = self.value(one, "1 to 255", number(1, 255)) {
                    self.set(one, &mut router.virtual_router_id, value);
                }
            }
            "priority" => {
                if let Some(value) = self.value(one, "1 to 255", number(1, 255)) {
                    self.set(one, &mut router.priority, value);
                }
            }
            "advert_int" => {
                if let Some(value) = self.value(one, "0.01 to 255 seconds", timer(10, 255_000)) {
                    self.set(one, &mut router.advert_int_ms, value);
                }
            }
            "version" => {
                if let Some(value) = self.value(one, "2 or 3", number(2, 3)) {
                    router.version = Some(value);
                }
            }
            "preempt_delay" => {
                if let Some(value) = self.value(one, "0 to 1000 seconds", timer(0, 1_000_000)) {
                    self.set(one, &mut router.preempt_delay_ms, value);
                }
            }
            "nopreempt" => router.nopreempt = Some(one.keyword.at),
            "preempt" => router.nopreempt = None,
            "authentication" => self.authentication(one, router),
            "virtual_ipaddress" => {
                for line in self.block(one).unwrap_or_default() {
                    router.addresses.extend(vip::address(self, line));
                }
            }
            _ => {}
        }
    }

    fn state(&mut self, one: &Statement, router: &mut Router) {
        let Some(word) = self.argument(one) else { return };
        let master = match word.text.as_str() {
            "MASTER" => true,
            "BACKUP" => false,
            other => {
                let message = format!("{other:?} is no state: BACKUP is meant, as in keepalived");
                self.report.warn(word.at, message, "MASTER or BACKUP, in capitals");
                false
            }
        };
        self.set(one, &mut router.master, At { value: master, at: word.at });
    }

    fn authentication(&mut self, one: &Statement, router: &mut Router) {
        let Some(block) = self.block(one) else { return };
        self.unserved(Block::Authentication, block);
        let mut auth_type = None;
        let mut auth_pass = None;
        for one in block {
            match one.keyword.text.as_str() {
                "auth_type" => auth_type = self.argument(one),
                "auth_pass" => auth_pass = self.argument(one),
                _ => {}
            }
        }
        let auth_type = match auth_type {
            Some(word) => match word.text.as_str() {
                "PASS" => AuthType::Pass,
                "AH" => AuthType::Ah,
                other => {
                    let message = format!("{other:?} is no auth_type: adverts carry none");
                    return self.report.warn(word.at, message, "PASS or AH, in capitals");
                }
            },
            None => {
                let message = "authentication without auth_type: adverts carry none";
                return self.report.warn(one.keyword.at, message, "auth_type PASS");
            }
        };
        let Some(auth_pass) = auth_pass else {
            let message = "authentication without auth_pass: adverts carry none";
            return self.report.warn(one.keyword.at, message, "give auth_pass, or no block");
        };
        let auth = Auth { auth_type, auth_pass: auth_pass.text.clone() };
        self.set(one, &mut router.authentication, At { value: auth, at: auth_pass.at });
    }

    fn required(&mut self, router: &Router) {
        if router.broken {
            return;
        }
        let name = &router.name;
        if router.interface.is_none() {
            let message = format!("vrrp_instance {name} has no interface");
            self.report.error(router.at, message, "interface eth0");
        }
        if router.virtual_router_id.is_none() {
            let message = format!("vrrp_instance {name} has no virtual_router_id");
            self.report.error(router.at, message, "virtual_router_id 51");
        }
    }
}

impl Lower<'_> {
    /// VRRPv2 counts seconds: keepalived rounds what is finer.
    fn rounding(&mut self, router: &Router) {
        let version3 = router.version.as_ref().is_some_and(|version| version.value == 3)
            || router.addresses.iter().any(|one| one.value.address.is_ipv6());
        if let Some(every) = &router.advert_int_ms
            && !every.value.is_multiple_of(1000)
            && !version3
        {
            self.report.warn(
                every.at,
                "a fraction in advert_int makes adverts VRRPv3; keepalived, at version 2, rounds it",
                "write whole seconds to stay with VRRPv2",
            );
        }
    }
}
