//! Statements to what one file means. What is served is read; everything else is reported once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use leasehold_model::{
    Auth, AuthType, Global, LvsTimeouts, TrackFile, TrackProcess, TrackScript, VrrpVersion, Weight,
};

use super::group::Group;
use super::keywords::Block;
use super::lex::{Pos, Report};
use super::notify::Mailing;
use super::parse::Statement;
use super::server::Server;
use super::statement::{number, timer};
use super::sync::Sync;
use super::track::{Named, Together};
use super::vip::{self, Address};
use super::vrrp::{self, Rest};
use crate::document::canonical;
use crate::document::spelling::nearest;
use crate::document::tracks::Tracked;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: Pos,
}

/// One node's keepalived.conf.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Where it begins, for what it leaves out.
    pub(super) at: Pos,
    /// The settings of VRRP and alerts.
    pub(super) global: Global,
    /// By the name of the setting in TOML.
    pub(super) places: Vec<(String, Pos)>,
    /// Of every instance that says nothing.
    pub(super) checksum_as_v2: bool,
    /// Of every instance and group that says nothing.
    pub(super) priority_changes: Option<bool>,
    pub(super) mailing: Mailing,
    /// Of every check that says nothing.
    pub(super) log_all_failures: bool,
    pub(super) sync_groups: Vec<Named<Together>>,
    pub(super) scripts: Vec<Named<TrackScript>>,
    pub(super) processes: Vec<Named<TrackProcess>>,
    pub(super) files: Vec<Named<TrackFile>>,
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
    pub(super) version: Option<At<VrrpVersion>>,
    pub(super) authentication: Option<At<Auth>>,
    pub(super) nopreempt: Option<Pos>,
    pub(super) preempt_delay_ms: Option<At<u32>>,
    pub(super) addresses: Vec<At<Address>>,
    pub(super) excluded: Vec<At<Address>>,
    /// Where this node's adverts come from.
    pub(super) source: Option<At<IpAddr>>,
    pub(super) peers: Vec<At<IpAddr>>,
    pub(super) rest: Rest,
    /// Something in it was reported as an error: what is missing may only be unreadable.
    pub(super) broken: bool,
}

pub(super) fn lower(statements: &[Statement], report: &mut Report) -> File {
    let mut lower = Lower { report, reversed: BTreeSet::new() };
    let mut file = File {
        at: statements.first().map(|first| first.keyword.at).unwrap_or_default(),
        ..File::default()
    };
    lower.unserved(Block::Root, statements);
    for one in statements.iter().filter(|one| one.keyword.text == "global_defs") {
        if let Some(block) = lower.block(one) {
            file.at = one.keyword.at;
            lower.global(block, &mut file);
        }
    }
    lower.tracked(statements, &mut file);
    let mut firsts: BTreeMap<String, Pos> = BTreeMap::new();
    for one in statements.iter().filter(|one| one.keyword.text == "vrrp_instance") {
        if let Some(router) = lower.router(one, &file) {
            if let Some(first) = firsts.get(&router.name) {
                let first = lower.report.place(*first);
                let message =
                    format!("vrrp_instance {} is defined at {first} already", router.name);
                lower.report.error(router.at, message, "names are unique: rename one");
            } else {
                firsts.insert(router.name.clone(), router.at);
                file.routers.push(router);
            }
        }
    }
    file.sync_groups = lower.named(statements, &["vrrp_sync_group"], Lower::sync_group);
    lower.priority_changes(&mut file);
    lower.pipes_of_one_path(&mut file);
    lower.weights_in_groups(&file);
    canonical::global(&mut file.global);
    lower.groups(statements, &mut file);
    lower.servers(statements, &mut file);
    file
}

pub(super) struct Lower<'a> {
    pub(super) report: &'a mut Report,
    /// What is tracked the other way round, where it is defined.
    pub(super) reversed: BTreeSet<(Tracked, String)>,
}

impl Lower<'_> {
    fn tracked(&mut self, statements: &[Statement], file: &mut File) {
        file.scripts = self.named(statements, &["vrrp_script"], Self::track_script);
        file.processes = self.named(statements, &["vrrp_track_process"], Self::track_process);
        let names = ["track_file", "vrrp_track_file"];
        file.files = self.named(statements, &names, Self::track_file);
        let reversed = |kind: Tracked, name: &str, weight: &Weight| {
            weight.reverse.then(|| (kind, name.to_owned()))
        };
        let scripts = file.scripts.iter();
        let scripts =
            scripts.filter_map(|one| reversed(Tracked::Script, &one.name, &one.value.weight));
        let processes = file.processes.iter();
        let processes =
            processes.filter_map(|one| reversed(Tracked::Process, &one.name, &one.value.weight));
        let files = file.files.iter();
        let files = files.filter_map(|one| reversed(Tracked::File, &one.name, &one.value.weight));
        self.reversed = scripts.chain(processes).chain(files).collect();
    }

    fn global(&mut self, block: &[Statement], file: &mut File) {
        self.unserved(Block::GlobalDefs, block);
        for one in block {
            self.global_rest(one, file);
            self.mailing_line(one, file);
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
                "checker_log_all_failures" => {
                    file.log_all_failures = self.flag(one).is_some_and(|flag| flag.value);
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
                _ => {}
            }
        }
    }

    fn router(&mut self, statement: &Statement, file: &File) -> Option<Router> {
        let name = self.argument(statement)?;
        let block = self.block(statement)?;
        let mut router = Router { name: name.text.clone(), at: name.at, ..Router::default() };
        let errors = self.report.errors;
        self.unserved(Block::Instance, block);
        for one in block {
            self.setting(one, &mut router);
        }
        router.broken = self.report.errors > errors;
        self.required(&router);
        self.version(&mut router, file);
        self.complete(&mut router, file);
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
                if let Some(value) = self.value(one, "2 or 3", vrrp::version) {
                    self.set(one, &mut router.version, value);
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
                router.addresses.extend(vip::addresses(self, one));
            }
            _ => self.rest(one, router),
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
                    let near = nearest(&other.to_ascii_uppercase(), &["PASS", "AH"]);
                    let hint = match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "PASS or AH, in capitals".to_owned(),
                    };
                    return self.report.warn(word.at, message, &hint);
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
    /// VRRPv2 counts seconds and has no IPv6: keepalived rounds the one and corrects the other.
    fn version(&mut self, router: &mut Router, file: &File) {
        let v6 = router.is_v6();
        if let Some(version) = &router.version
            && version.value == VrrpVersion::V2
            && v6
        {
            let message = "VRRPv2 has no IPv6: VRRPv3 is meant, as in keepalived";
            self.report.warn(version.at, message, "version 3");
            router.version = None;
        }
        let version = router.version.as_ref().map(|version| version.value);
        let version = version.or(file.global.vrrp_version);
        let Some(every) = &mut router.advert_int_ms else { return };
        if v6 || every.value.is_multiple_of(1000) {
            return;
        }
        match version {
            Some(VrrpVersion::V2) => {
                let whole = (every.value.saturating_add(500) / 1000).max(1);
                let message = format!("VRRPv2 counts seconds: {whole} is used, as in keepalived");
                self.report.warn(every.at, message, "version 3 has fractions");
                every.value = whole * 1000;
            }
            Some(VrrpVersion::V3) => {}
            None => self.report.warn(
                every.at,
                "a fraction in advert_int makes adverts VRRPv3; keepalived, at version 2, rounds it",
                "write whole seconds to stay with VRRPv2",
            ),
        }
    }

    /// What other keywords, or the file, say about it.
    fn complete(&mut self, router: &mut Router, file: &File) {
        let fraction =
            router.advert_int_ms.as_ref().is_some_and(|every| !every.value.is_multiple_of(1000));
        let own = router.version.as_ref().map(|version| version.value);
        let version3 = fraction || own.or(file.global.vrrp_version) == Some(VrrpVersion::V3);
        let v6 = router.is_v6();
        let rest = &mut router.rest;
        if version3 && !v6 && rest.place("v3_checksum_as_v2").is_none() {
            rest.value.adverts.v3_checksum_as_v2 = file.checksum_as_v2;
        }
        match (rest.xmit_base, &mut rest.value.use_vmac) {
            (Some(_), Some(vmac)) => vmac.xmit_base = true,
            (Some(at), None) => {
                self.report.warn(at, "without use_vmac this has no effect", "remove it");
            }
            (None, _) => {}
        }
    }
}

impl Router {
    fn is_v6(&self) -> bool {
        self.addresses.iter().any(|one| one.value.address.is_ipv6())
    }
}
