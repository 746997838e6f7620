//! The part of a document that keepalived.conf has words for: a pure projection, and a fixed list.
//!
//! A document says some things once for all directors; a file of each node says them for each.
//! [`spelled_out`] is the document said that way, and means the same. [`forget`] removes what the
//! writer said it left out, and knows no other path: what the writer may leave out is this list.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_model::{
    Candidate, Check, CheckKind, Config, Dataplane, Family, ForeignMaster, Forward, GroupEntry,
    HttpVersion, Instance, Notify, ParamMatch, RealServer, Scope, Service, Sni, TrackProcess,
    Tracking, Trust, TunnelChecksum, Url, Vip, VirtualServer, VirtualServerGroup, VrrpVersion,
};
use leasehold_node_core::words;

/// What directors have of their own is said of each of `nodes`, and of no other.
pub(super) fn spelled_out(config: &Config, nodes: &[String]) -> Config {
    let mut config = config.clone();
    config.global.router_id.retain(|director, _| nodes.contains(director));
    let groups = config.sync_groups.clone();
    for (name, instance) in &mut config.instances {
        let of_group = groups.values().find(|group| group.members.contains(name));
        let told = of_group.and_then(|group| group.notify.notify_priority_changes);
        version(instance, config.global.vrrp_version);
        *instance = each(instance, nodes, told);
    }
    for process in config.processes.values_mut() {
        self::process(process);
    }
    let groups = config.groups.clone();
    config.virtual_servers.iter_mut().for_each(|server| port_of_each_packet(server, &groups));
    let reversed = reversed(&config);
    let of_instances = config.instances.values_mut().map(|one| &mut one.tracking);
    let all = of_instances.chain(config.sync_groups.values_mut().map(|one| &mut one.tracking));
    for tracking in all {
        let kinds = [&mut tracking.scripts, &mut tracking.processes, &mut tracking.files];
        for (kind, reversed) in kinds.into_iter().zip(&reversed) {
            for (_, weight) in kind.iter_mut().filter(|(name, _)| reversed.contains(name)) {
                // What is reversed once is reversed.
                weight.reverse = weight.weight.is_some();
            }
        }
    }
    config
}

/// Where packets keep their port, and the group has one, 0 is that.
fn port_of_each_packet(server: &mut VirtualServer, groups: &BTreeMap<String, VirtualServerGroup>) {
    let Service::Group(name) = &server.service else { return };
    let ports = groups[name].entries.iter().map(|entry| match entry {
        GroupEntry::Range { port, .. } => Some(*port),
        GroupEntry::Fwmark(_) => None,
    });
    let ports: BTreeSet<Option<u16>> = ports.collect();
    let (1, Some(Some(port))) = (ports.len(), ports.first()) else { return };
    let kind = server.lb_kind;
    for real in &mut server.real_servers {
        if real.lb_kind.unwrap_or(kind) != Forward::Nat {
            real.address.set_port(*port);
        }
        for check in &mut real.checks {
            check.connect = check.connect.filter(|connect| *connect != real.address);
        }
    }
    if let Some(sorry) = &mut server.sorry_server
        && sorry.lb_kind.unwrap_or(kind) != Forward::Nat
    {
        sorry.address.set_port(*port);
    }
}

fn reversed(config: &Config) -> [Vec<String>; 3] {
    let scripts = config.scripts.iter().filter(|(_, one)| one.weight.reverse);
    let processes = config.processes.iter().filter(|(_, one)| one.weight.reverse);
    let files = config.files.iter().filter(|(_, one)| one.weight.reverse);
    [
        scripts.map(|(name, _)| name.clone()).collect(),
        processes.map(|(name, _)| name.clone()).collect(),
        files.map(|(name, _)| name.clone()).collect(),
    ]
}

/// A fraction means VRRPv3 here, and has to be said there.
fn version(instance: &mut Instance, of_cluster: Option<VrrpVersion>) {
    let fraction = !instance.advert_int_ms.is_multiple_of(1000);
    let v4 = instance.family() == Family::Inet;
    if v4 && fraction && of_cluster != Some(VrrpVersion::V3) {
        instance.adverts.version.get_or_insert(VrrpVersion::V3);
    }
}

fn each(one: &Instance, nodes: &[String], told: Option<bool>) -> Instance {
    let first = nodes[0].as_str();
    let base = one.interface_at(first).to_owned();
    let named = |name: &str| if name == one.interface { base.clone() } else { name.to_owned() };
    let mut each = one.clone();
    each.interface.clone_from(&base);
    each.priority = None;
    let lists = [
        (&one.virtual_ipaddress, &mut each.virtual_ipaddress),
        (&one.virtual_ipaddress_excluded, &mut each.virtual_ipaddress_excluded),
    ];
    for (before, after) in lists {
        for (before, after) in before.iter().zip(after.iter_mut()) {
            after.label = one.label_of(before, first);
            after.dev = before.dev.clone().filter(|dev| *dev != one.interface);
        }
    }
    let tracked = std::mem::take(&mut each.tracking.interfaces);
    each.tracking.interfaces =
        tracked.into_iter().map(|(name, weight)| (named(&name), weight)).collect();
    for route in &mut each.virtual_routes {
        route.dev = route.dev.as_deref().map(named);
    }
    for rule in &mut each.virtual_rules {
        rule.iif = rule.iif.as_deref().map(named);
        rule.oif = rule.oif.as_deref().map(named);
    }
    let mut all: Vec<Notify> = nodes.iter().map(|node| one.notify_at(node)).collect();
    if told.is_some() {
        // keepalived would take over the group's: what is not said has to be said.
        let own = all.iter_mut().map(|notify| &mut notify.notify_priority_changes);
        own.for_each(|own| *own = own.or(Some(false)));
    }
    each.notify = Notify::default();
    common(&mut each.notify, &mut all);
    each.directors = nodes
        .iter()
        .zip(all)
        .map(|(node, notify)| {
            let candidate = Candidate {
                priority: Some(one.priority_of(node)).filter(|priority| *priority != 0),
                interface: Some(one.interface_at(node).to_owned()).filter(|own| *own != base),
                src_ip: one.directors.get(node).and_then(|own| own.src_ip),
                notify,
            };
            (node.clone(), candidate)
        })
        .collect();
    each
}

/// What all of them run is the instance's.
fn common(instance: &mut Notify, all: &mut [Notify]) {
    for index in 0..instance.scripts().len() {
        let first = all[0].scripts()[index].1.clone();
        if all.iter().all(|one| *one.scripts()[index].1 == first) {
            all.iter_mut().for_each(|one| *one.scripts_mut()[index] = None);
            *instance.scripts_mut()[index] = first;
        }
    }
    let (changes, alert) = (all[0].notify_priority_changes, all[0].smtp_alert);
    if all.iter().all(|one| one.notify_priority_changes == changes) {
        all.iter_mut().for_each(|one| one.notify_priority_changes = None);
        instance.notify_priority_changes = changes;
    }
    if all.iter().all(|one| one.smtp_alert == alert) {
        all.iter_mut().for_each(|one| one.smtp_alert = None);
        instance.smtp_alert = alert;
    }
}

/// A process's name and parameters, each quoted where it must be.
fn process(process: &mut TrackProcess) {
    let parts = words::split(&process.process).unwrap();
    let quoted = parts.iter().map(|word| {
        let plain = |c: char| !c.is_whitespace() && !"\"'\\".contains(c);
        match !word.is_empty() && word.chars().all(plain) {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', "'\\''")),
        }
    });
    process.process = quoted.collect::<Vec<_>>().join(" ");
    process.full_command |= parts.len() > 1;
    process.full_command |= process.param_match != ParamMatch::Exact;
}

/// Removes what stands at `path`.
///
/// # Panics
/// Where the writer may not leave that out.
pub(super) fn forget(config: &mut Config, path: &[String]) {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["global", "alerts", rest @ ..] => alerts(config, rest),
        ["global", rest @ ..] => global(config, rest),
        ["instance", name, rest @ ..] => {
            instance(config.instances.get_mut(*name).unwrap(), rest);
        }
        ["sync_group", name, rest @ ..] => {
            let group = config.sync_groups.get_mut(*name).unwrap();
            match rest {
                [kind, tracked] => forget_weight(&mut group.tracking, kind, tracked),
                [script] => forget_script(&mut group.notify, script),
                _ => unknown(rest),
            }
        }
        ["script", name, "interval_ms"] => config.scripts.get_mut(*name).unwrap().interval_ms = 1,
        ["script", name, "timeout_ms"] => config.scripts.get_mut(*name).unwrap().timeout_ms = None,
        ["process", name, key] => {
            let process = config.processes.get_mut(*name).unwrap();
            match *key {
                "quorum" => process.quorum = 1,
                "fork_delay_ms" => process.fork_delay_ms = 0,
                "terminate_delay_ms" => process.terminate_delay_ms = 0,
                _ => unknown(&[key]),
            }
        }
        ["file", name, "overwrite"] => config.files.get_mut(*name).unwrap().overwrite = false,
        ["virtual_server", index, rest @ ..] => {
            let index: usize = index.parse().unwrap();
            server(&mut config.virtual_servers[index], rest);
        }
        path => unknown(path),
    }
}

fn unknown(path: &[&str]) {
    panic!("the writer may not leave out {}", path.join("."));
}

fn global(config: &mut Config, path: &[&str]) {
    let global = &mut config.global;
    match path {
        ["dataplane"] => global.dataplane = Dataplane::Auto,
        ["drain_timeout_ms"] => global.drain_timeout_ms = None,
        ["vrrp_mcast_group6"] => global.vrrp_mcast_group6 = None,
        ["garp", "master_delay_s"] => global.garp.master_delay_s = None,
        ["garp", "lower_prio_delay_s"] => global.garp.lower_prio_delay_s = None,
        ["router_id", director] => drop(global.router_id.remove(*director)),
        _ => unknown(path),
    }
}

fn alerts(config: &mut Config, path: &[&str]) {
    let alerts = &mut config.global.alerts;
    match path {
        ["webhook"] => alerts.webhook.clear(),
        ["script_group"] => alerts.script_group = None,
        ["smtp_helo_name"] => alerts.smtp_helo_name = None,
        ["notify_fifo"] => alerts.notify_fifo = None,
        ["notify_fifo_script"] => alerts.notify_fifo_script = None,
        ["notification_email"] => alerts.notification_email.clear(),
        ["notification_email_from"] => alerts.notification_email_from = None,
        _ => unknown(path),
    }
}

fn instance(one: &mut Instance, path: &[&str]) {
    match path {
        ["authentication"] => one.authentication = None,
        ["preempt"] => one.preempt = true,
        ["preempt_delay_ms"] => one.preempt_delay_ms = 0,
        ["foreign_master"] => one.adverts.foreign_master = ForeignMaster::Warn,
        ["mcast_dst_ip"] => one.adverts.mcast_dst_ip = None,
        ["unicast_ttl"] => one.adverts.unicast_ttl = None,
        ["unicast_peer"] => {
            let sources: Vec<_> = one.directors.values().filter_map(|own| own.src_ip).collect();
            one.adverts.unicast_peer.retain(|peer| !sources.contains(peer));
        }
        ["use_vmac", "name"] => one.use_vmac.as_mut().unwrap().name = None,
        ["garp", "master_delay_s"] => one.garp.master_delay_s = None,
        ["garp", "lower_prio_delay_s"] => one.garp.lower_prio_delay_s = None,
        ["director", node, "priority"] => {
            one.directors.get_mut(*node).unwrap().priority = None;
        }
        ["virtual_ipaddress", index, "scope"] => scope(&mut one.virtual_ipaddress, index),
        ["virtual_ipaddress_excluded", index, "scope"] => {
            scope(&mut one.virtual_ipaddress_excluded, index);
        }
        ["director", _, script] | [script] => {
            let own = one.directors.values_mut().map(|own| &mut own.notify);
            own.chain([&mut one.notify]).for_each(|notify| forget_script(notify, script));
        }
        [kind, tracked] => forget_weight(&mut one.tracking, kind, tracked),
        _ => unknown(path),
    }
}

fn scope(vips: &mut [Vip], index: &str) {
    vips[index.parse::<usize>().unwrap()].scope = Scope::Global;
}

fn forget_script(notify: &mut Notify, word: &str) {
    let index = notify.scripts().iter().position(|(name, _)| *name == word);
    let Some(index) = index else { return unknown(&[word]) };
    *notify.scripts_mut()[index] = None;
}

fn forget_weight(tracking: &mut Tracking, kind: &str, name: &str) {
    let all = match kind {
        "track_script" => &mut tracking.scripts,
        "track_process" => &mut tracking.processes,
        "track_file" => &mut tracking.files,
        _ => return unknown(&[kind, name]),
    };
    all.get_mut(name).unwrap().weight = None;
}

fn server(server: &mut VirtualServer, path: &[&str]) {
    match path {
        ["instance"] => server.instance = None,
        ["damping"] => server.damping = None,
        ["virtualhost"] => server.virtualhost = None,
        ["quorum_up"] => server.quorum_up = None,
        ["quorum_down"] => server.quorum_down = None,
        ["lb_kind", "checksum"] => checksum(&mut server.lb_kind),
        ["sorry_server", "lb_kind", "checksum"] => {
            let kind = server.sorry_server.as_mut().unwrap().lb_kind.as_mut();
            kind.into_iter().for_each(checksum);
        }
        ["real_server", index, rest @ ..] => {
            let index: usize = index.parse().unwrap();
            real_server(&mut server.real_servers[index], rest);
        }
        _ => unknown(path),
    }
    let kind = server.lb_kind;
    let of_reals = server.real_servers.iter_mut().map(|real| &mut real.lb_kind);
    let of_sorry = server.sorry_server.iter_mut().map(|sorry| &mut sorry.lb_kind);
    of_reals.chain(of_sorry).for_each(|own| *own = own.filter(|own| *own != kind));
}

fn checksum(kind: &mut Forward) {
    if let Forward::Tun(tunnel) = kind {
        tunnel.checksum = TunnelChecksum::Nocsum;
    }
}

fn real_server(real: &mut RealServer, path: &[&str]) {
    match path {
        ["virtualhost"] => real.virtualhost = None,
        ["notify_up"] => real.notify_up = None,
        ["notify_down"] => real.notify_down = None,
        ["lb_kind", "checksum"] => real.lb_kind.iter_mut().for_each(checksum),
        ["check", index, rest @ ..] => {
            let index: usize = index.parse().unwrap();
            check(&mut real.checks[index], rest);
        }
        _ => unknown(path),
    }
}

fn check(check: &mut Check, path: &[&str]) {
    let is_file = matches!(check.kind, CheckKind::File(_));
    match (&mut check.kind, path) {
        (_, ["rise"]) => check.rise = 1,
        (_, ["delay_loop_ms"]) if is_file => check.delay_loop_ms = 0,
        (_, ["retry"]) if is_file => check.retry = 0,
        (_, ["delay_before_retry_ms"]) if is_file => check.delay_before_retry_ms = 0,
        (_, ["warmup_ms"]) if is_file => check.warmup_ms = None,
        (_, ["alpha"]) if is_file => check.alpha = false,
        (_, ["log_all_failures"]) if is_file => check.log_all_failures = false,
        (CheckKind::File(file), ["reverse"]) => file.weight.reverse = false,
        (CheckKind::Misc(misc), ["timeout_ms"]) => misc.timeout_ms = None,
        (CheckKind::Misc(misc), ["script", "user"]) => {
            (misc.script.user, misc.script.group) = (None, None);
        }
        (CheckKind::Udp(udp), ["payload"]) => udp.payload.clear(),
        (CheckKind::Udp(udp), ["reply", "begins"]) => udp.reply.as_mut().unwrap().begins.clear(),
        (CheckKind::Dns(dns), ["name"]) => dns.name = ".".to_owned(),
        (CheckKind::Smtp(smtp), ["helo_name"]) => smtp.helo_name.clear(),
        (CheckKind::Http(http), ["version"]) => http.version = HttpVersion::Http10,
        (CheckKind::Http(http), ["tls", key]) => {
            let tls = http.tls.as_mut().unwrap();
            match *key {
                "sni" => tls.sni = Sni::Off,
                "trust" => tls.trust = Trust::Any,
                _ => unknown(path),
            }
        }
        (CheckKind::Http(http), ["url", index, key]) => {
            let index: usize = index.parse().unwrap();
            url(&mut http.urls[index], key);
        }
        (_, path) => unknown(path),
    }
}

fn url(url: &mut Url, key: &str) {
    match key {
        "digest" => url.digest = None,
        "regex" => url.regex = None,
        "virtualhost" => url.virtualhost = None,
        _ => unknown(&["url", key]),
    }
}
