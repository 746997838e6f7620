//! `vrrp_instance`, as one director has it: its priority, its interface and its own address.

use std::net::IpAddr;

use leasehold_model::{
    Adverts, Auth, AuthType, Family, ForeignMaster, Instance, Network, Notify, Route, RouteKind,
    Rule, Scope, Vip, Vmac, VrrpVersion,
};

use super::{UNSPEAKABLE, Writer, global, words};
use crate::placement::OWNER;

/// The lowest that keepalived knows.
const SPARE: u8 = 1;
/// What `use_vmac` reads as an option, not as a name.
const VMAC_WORDS: [&str; 3] = ["name", "netlink_notify_msg", "group"];

impl Writer<'_> {
    pub(super) fn instances(&mut self) {
        for (name, instance) in &self.config.instances {
            let head = format!("vrrp_instance {}", self.name(name));
            self.at_named("instance", name, |writer| {
                writer.block(&head, |writer| writer.instance(name, instance));
            });
        }
    }

    fn instance(&mut self, name: &str, instance: &Instance) {
        self.line("state BACKUP");
        let interface = self.name(instance.interface_at(self.director));
        self.line(&format!("interface {interface}"));
        self.flag("dont_track_primary", instance.dont_track_primary);
        if let Some(vmac) = &instance.use_vmac {
            self.vmac(vmac);
        }
        self.number("virtual_router_id", Some(instance.virtual_router_id));
        self.priority(instance);
        self.line(&format!("advert_int {}", words::seconds(instance.advert_int_ms)));
        self.preemption(instance);
        self.adverts(instance);
        if let Some(auth) = &instance.authentication {
            self.authentication(instance, auth);
        }
        self.garp("garp", &instance.garp);
        let own = |written: &str| own(instance, self.director, written);
        self.tracking(&instance.tracking, own);
        self.vips(instance, "virtual_ipaddress", &instance.virtual_ipaddress);
        let excluded = &instance.virtual_ipaddress_excluded;
        self.vips(instance, "virtual_ipaddress_excluded", excluded);
        self.routes(instance);
        self.rules(instance);
        self.told(name, instance);
    }

    fn priority(&mut self, instance: &Instance) {
        let priority = match instance.priority_of(self.director) {
            0 => {
                let (director, why) = (self.director, "keepalived has no spare: 1 is written");
                self.at_named("director", director, |writer| writer.leave_out("priority", why));
                SPARE
            }
            given => given,
        };
        self.number("priority", Some(priority));
    }

    fn preemption(&mut self, instance: &Instance) {
        let owned = instance.directors.values().any(|one| one.priority == Some(OWNER));
        if !instance.preempt && owned {
            let why = "keepalived's owner of the addresses, priority 255, always takes them back";
            self.leave_out("preempt", why);
        } else if !instance.preempt {
            self.line("nopreempt");
        }
        if instance.preempt_delay_ms == 0 {
            return;
        }
        match instance.preempt {
            true => {
                self.line(&format!("preempt_delay {}", words::seconds(instance.preempt_delay_ms)));
            }
            false => self.leave_out("preempt_delay_ms", "it has no effect: preempt is false"),
        }
    }

    fn adverts(&mut self, instance: &Instance) {
        let Adverts {
            version,
            mcast_dst_ip,
            unicast_peer,
            unicast_ttl,
            v3_checksum_as_v2,
            foreign_master,
        } = &instance.adverts;
        let fraction =
            instance.family() == Family::Inet && !instance.advert_int_ms.is_multiple_of(1000);
        let is_v3 = self.config.global.vrrp_version == Some(VrrpVersion::V3);
        match version {
            Some(VrrpVersion::V2) => self.line("version 2"),
            Some(VrrpVersion::V3) => self.line("version 3"),
            // keepalived would round the interval.
            None if fraction && !is_v3 => self.line("version 3"),
            None => {}
        }
        let source = instance.directors.get(self.director).and_then(|one| one.src_ip);
        let word = if unicast_peer.is_empty() { "mcast_src_ip" } else { "unicast_src_ip" };
        self.number(word, source);
        match mcast_dst_ip {
            Some(_) if !unicast_peer.is_empty() => {
                self.leave_out("mcast_dst_ip", "it has no effect beside unicast_peer");
            }
            Some(IpAddr::V6(group)) if !global::is_link_local(*group) => {
                self.leave_out("mcast_dst_ip", "keepalived takes link-local multicast alone");
            }
            group => self.number("mcast_dst_ip", *group),
        }
        self.peers(instance, source);
        match unicast_ttl {
            Some(_) if unicast_peer.is_empty() => {
                self.leave_out("unicast_ttl", "it has no effect without unicast_peer");
            }
            ttl => self.number("unicast_ttl", *ttl),
        }
        self.flag("v3_checksum_as_v2", *v3_checksum_as_v2);
        match foreign_master {
            ForeignMaster::Warn => {}
            ForeignMaster::Yield => {
                self.leave_out(
                    "foreign_master",
                    "keepalived always yields, and has no word for it",
                );
            }
        }
    }

    /// All but this director; nobody sends to itself.
    fn peers(&mut self, instance: &Instance, source: Option<IpAddr>) {
        let all = &instance.adverts.unicast_peer;
        if all.is_empty() {
            return;
        }
        let mut others: Vec<&IpAddr> = all.iter().filter(|peer| Some(**peer) != source).collect();
        if others.is_empty() {
            // Without any peer keepalived would multicast.
            others.extend(all);
        }
        if let Some(source) = source.filter(|source| !all.contains(source)) {
            let why = format!("{source}, which is src_ip, is not among it: here it is not sent to");
            self.leave_out("unicast_peer", why);
        }
        if instance.family() == Family::Inet6 && source.is_none() {
            let director = self.director;
            let why = "adverts over IPv6 come from the interface's link-local address without it";
            self.at_named("director", director, |writer| writer.leave_out("src_ip", why));
        }
        self.block("unicast_peer", |writer| {
            others.iter().for_each(|peer| writer.line(&peer.to_string()));
        });
    }

    fn vmac(&mut self, vmac: &Vmac) {
        let Vmac { name, xmit_base } = vmac;
        let known = |name: &&String| !VMAC_WORDS.contains(&name.as_str()) && !name.contains(':');
        match name {
            None => self.line("use_vmac"),
            Some(own) => match name.as_ref().filter(known).and_then(|own| words::word(own)) {
                Some(own) => self.line(&format!("use_vmac {own}")),
                None => {
                    self.line("use_vmac");
                    let why = format!("keepalived can't read {own:?} as a name");
                    self.at("use_vmac", |writer| writer.leave_out("name", why));
                }
            },
        }
        self.flag("vmac_xmit_base", *xmit_base);
    }

    fn authentication(&mut self, instance: &Instance, auth: &Auth) {
        let Auth { auth_type, auth_pass } = auth;
        if instance.version(&self.config.global) == VrrpVersion::V3 {
            return self.leave_out("authentication", "VRRPv3 has none");
        }
        let Some(auth_pass) = words::word(auth_pass).filter(|pass| self.fits(pass)) else {
            return self.leave_out("authentication", UNSPEAKABLE);
        };
        let auth_type = match auth_type {
            AuthType::Pass => "PASS",
            AuthType::Ah => "AH",
        };
        self.block("authentication", |writer| {
            writer.line(&format!("auth_type {auth_type}"));
            writer.line(&format!("auth_pass {auth_pass}"));
        });
    }

    fn vips(&mut self, instance: &Instance, word: &str, vips: &[Vip]) {
        if vips.is_empty() {
            return;
        }
        let lines: Vec<String> = vips.iter().map(|vip| self.vip(instance, vip)).collect();
        for (index, vip) in vips.iter().enumerate() {
            if vip.address.is_ipv6() && vip.scope != Scope::Global {
                let why = "keepalived takes none for IPv6: the kernel knows it by the address";
                self.at_named(word, &index.to_string(), |writer| writer.leave_out("scope", why));
            }
        }
        self.block(word, |writer| lines.iter().for_each(|line| writer.line(line)));
    }

    fn vip(&mut self, instance: &Instance, vip: &Vip) -> String {
        let Vip { address, prefix, dev, label: _, broadcast, scope } = vip;
        let mut line = format!("{address}/{prefix}");
        if let Some(broadcast) = broadcast {
            line.push_str(&format!(" brd {broadcast}"));
        }
        // The instance's interface needs no word.
        if let Some(dev) = dev.as_ref().filter(|dev| **dev != instance.interface) {
            line.push_str(&format!(" dev {}", self.name(dev)));
        }
        if *scope != Scope::Global && address.is_ipv4() {
            line.push_str(&format!(" scope {}", scope_word(*scope)));
        }
        if let Some(label) = instance.label_of(vip, self.director) {
            line.push_str(&format!(" label {}", self.name(&label)));
        }
        line
    }

    fn routes(&mut self, instance: &Instance) {
        let lines: Vec<String> =
            instance.virtual_routes.iter().map(|route| self.route(instance, route)).collect();
        if !lines.is_empty() {
            self.block("virtual_routes", |writer| {
                lines.iter().for_each(|line| writer.line(line));
            });
        }
    }

    fn route(&mut self, instance: &Instance, route: &Route) -> String {
        let Route { to, kind, via, dev, src, table, metric, scope, mtu, onlink } = route;
        let mut line = match kind {
            RouteKind::Unicast => "",
            RouteKind::Blackhole => "blackhole ",
            RouteKind::Unreachable => "unreachable ",
            RouteKind::Prohibit => "prohibit ",
        }
        .to_owned();
        line.push_str(&to.as_ref().map_or("default".to_owned(), network));
        push(&mut line, "via", *via);
        let dev = dev.as_ref().map(|dev| own(instance, self.director, dev));
        push(&mut line, "dev", dev.map(|dev| self.name(&dev)));
        push(&mut line, "src", *src);
        push(&mut line, "table", *table);
        push(&mut line, "metric", *metric);
        push(&mut line, "scope", scope.map(scope_word));
        push(&mut line, "mtu", *mtu);
        line.push_str(if *onlink { " onlink" } else { "" });
        line
    }

    fn rules(&mut self, instance: &Instance) {
        let lines: Vec<String> =
            instance.virtual_rules.iter().map(|rule| self.rule(instance, rule)).collect();
        if !lines.is_empty() {
            self.block("virtual_rules", |writer| {
                lines.iter().for_each(|line| writer.line(line));
            });
        }
    }

    fn rule(&mut self, instance: &Instance, rule: &Rule) -> String {
        let Rule { from, to, iif, oif, fwmark, priority, table } = rule;
        let mut line = String::new();
        push(&mut line, "from", from.as_ref().map(network));
        push(&mut line, "to", to.as_ref().map(network));
        for (word, interface) in [("iif", iif), ("oif", oif)] {
            let interface = interface.as_ref().map(|one| own(instance, self.director, one));
            push(&mut line, word, interface.map(|one| self.name(&one)));
        }
        push(&mut line, "fwmark", *fwmark);
        push(&mut line, "priority", *priority);
        push(&mut line, "table", Some(*table));
        line.trim_start().to_owned()
    }

    /// This director's scripts, its own before the instance's.
    fn told(&mut self, name: &str, instance: &Instance) {
        let mut notify = instance.notify_at(self.director);
        let groups = self.config.sync_groups.values();
        let mut of_groups = groups.filter(|group| group.members.iter().any(|one| one == name));
        if of_groups.any(|group| group.notify.notify_priority_changes == Some(true)) {
            // keepalived would take it over from the group.
            notify.notify_priority_changes.get_or_insert(false);
        }
        let own = instance.directors.get(self.director).map(|one| &one.notify);
        let is_own = |word: &str| {
            let mut scripts = own.map(Notify::scripts).into_iter().flatten();
            scripts.any(|(name, script)| name == word && script.is_some())
        };
        let director = self.director;
        self.notify(&notify, |word, _| is_own(word).then(|| director.to_owned()));
    }
}

/// An interface as this director calls it.
fn own(instance: &Instance, director: &str, written: &str) -> String {
    let is_own = written == instance.interface;
    if is_own { instance.interface_at(director).to_owned() } else { written.to_owned() }
}

fn push(line: &mut String, word: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        line.push_str(&format!(" {word} {value}"));
    }
}

fn network(network: &Network) -> String {
    format!("{}/{}", network.address, network.prefix)
}

fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Global => "global",
        Scope::Site => "site",
        Scope::Link => "link",
        Scope::Host => "host",
    }
}
