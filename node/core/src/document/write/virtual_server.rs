//! How virtual servers, their groups and real servers are written.

use std::fmt::Write;
use std::net::IpAddr;

use leasehold_model::{
    Damping, Family, Forward, Fwmark, GroupEntry, Protocol, RealServer, Scheduler, Script, Service,
    SorryServer, Tunnel, TunnelChecksum, TunnelKind, VirtualServer, VirtualServerGroup,
};

use super::check::check;
use super::{inline, key, list, string};
use crate::document::canonical::flag_words;

/// A name and the TOML of its value.
pub(crate) type Setting = (&'static str, String);

pub(super) fn group(out: &mut String, name: &str, one: &VirtualServerGroup) -> std::fmt::Result {
    writeln!(out, "\n[virtual_server_group.{}]", key(name))?;
    let entries = one.entries.iter().map(|entry| format!("\"{}\"", group_entry(entry)));
    writeln!(out, "entries = {}", list(entries))
}

fn group_entry(entry: &GroupEntry) -> String {
    match entry {
        GroupEntry::Range { first, last, port } => {
            let addresses =
                if first == last { first.to_string() } else { format!("{first}-{last}") };
            match first {
                IpAddr::V4(_) => format!("{addresses}:{port}"),
                IpAddr::V6(_) => format!("[{addresses}]:{port}"),
            }
        }
        GroupEntry::Fwmark(Fwmark { mark, family: Family::Inet }) => format!("fwmark {mark}"),
        GroupEntry::Fwmark(Fwmark { mark, family: Family::Inet6 }) => {
            format!("fwmark {mark} inet6")
        }
    }
}

pub(super) fn virtual_server(out: &mut String, server: &VirtualServer) -> std::fmt::Result {
    writeln!(out, "\n[[virtual_server]]")?;
    for (name, value) in service(server).into_iter().chain(server_settings(server)) {
        writeln!(out, "{name} = {value}")?;
    }
    for real in &server.real_servers {
        writeln!(out, "\n[[virtual_server.real_server]]")?;
        writeln!(out, "address = \"{}\"", real.address)?;
        for (name, value) in real_server_settings(real) {
            writeln!(out, "{name} = {value}")?;
        }
    }
    Ok(())
}

/// What the virtual server is known by.
fn service(server: &VirtualServer) -> Vec<Setting> {
    let mut all = match &server.service {
        Service::Address(address) => vec![("address", format!("\"{address}\""))],
        Service::Group(name) => vec![("group", string(name))],
        Service::Fwmark(Fwmark { mark, family: Family::Inet }) => {
            vec![("fwmark", mark.to_string())]
        }
        Service::Fwmark(Fwmark { mark, family: Family::Inet6 }) => {
            vec![("fwmark", mark.to_string()), ("family", "\"inet6\"".to_owned())]
        }
    };
    let protocol = server.protocol;
    let given = (protocol != Protocol::default()).then(|| ("protocol", quoted(protocol.name())));
    all.extend(given);
    all
}

/// Everything but the service and the real servers.
pub(crate) fn server_settings(server: &VirtualServer) -> Vec<Setting> {
    let truth = |name, value: bool| value.then(|| (name, "true".to_owned()));
    let mut all: Vec<Setting> = Vec::new();
    all.extend(server.instance.as_ref().map(|name| ("instance", string(name))));
    let scheduler = server.lb_algo;
    let given = (scheduler != Scheduler::default()).then(|| ("lb_algo", quoted(scheduler.name())));
    all.extend(given);
    let kind = server.lb_kind;
    all.extend((kind != Forward::default()).then(|| ("lb_kind", forward(kind))));
    let flags = [server.flags.flag_1, server.flags.flag_2, server.flags.flag_3];
    let words = flag_words(server.lb_algo).into_iter().zip(flags).filter(|(_, set)| *set);
    let words: Vec<String> = words.map(|(word, _)| format!("\"{word}\"")).collect();
    if !words.is_empty() {
        all.push(("flags", list(words)));
    }
    all.extend(truth("ops", server.ops));
    if let Some(persistence) = &server.persistence {
        all.push(("persistence_timeout", persistence.timeout_s.to_string()));
        let granularity = persistence.granularity;
        all.extend(granularity.map(|one| ("persistence_granularity", one.to_string())));
        let engine = persistence.engine.as_ref();
        all.extend(engine.map(|name| ("persistence_engine", string(name))));
    }
    all.extend(server.virtualhost.as_ref().map(|host| ("virtualhost", string(host))));
    all.extend(truth("alpha", server.alpha));
    all.extend(truth("omega", server.omega));
    all.extend(truth("inhibit_on_failure", server.inhibit_on_failure));
    all.extend((server.quorum != 1).then(|| ("quorum", server.quorum.to_string())));
    all.extend((server.hysteresis != 0).then(|| ("hysteresis", server.hysteresis.to_string())));
    all.extend(server.quorum_up.as_ref().map(|one| ("quorum_up", script(one))));
    all.extend(server.quorum_down.as_ref().map(|one| ("quorum_down", script(one))));
    all.extend(truth("ha_suspend", server.ha_suspend));
    all.extend(server.smtp_alert.map(|alert| ("smtp_alert", alert.to_string())));
    all.extend(server.damping.as_ref().map(|one| ("damping", damping(one))));
    all.extend(server.sorry_server.as_ref().map(|one| ("sorry_server", sorry_server(one))));
    all
}

/// Everything but the address.
pub(crate) fn real_server_settings(real: &RealServer) -> Vec<Setting> {
    let truth = |name, value: bool| value.then(|| (name, "true".to_owned()));
    let count = |name, value: u32| (value != 0).then(|| (name, value.to_string()));
    let mut all: Vec<Setting> = Vec::new();
    all.extend((real.weight != 1).then(|| ("weight", real.weight.to_string())));
    all.extend(real.lb_kind.map(|kind| ("lb_kind", forward(kind))));
    all.extend(count("uthreshold", real.uthreshold));
    all.extend(count("lthreshold", real.lthreshold));
    all.extend(truth("inhibit_on_failure", real.inhibit_on_failure));
    all.extend(truth("alpha", real.alpha));
    all.extend(real.virtualhost.as_ref().map(|host| ("virtualhost", string(host))));
    all.extend(real.notify_up.as_ref().map(|one| ("notify_up", script(one))));
    all.extend(real.notify_down.as_ref().map(|one| ("notify_down", script(one))));
    all.extend(real.smtp_alert.map(|alert| ("smtp_alert", alert.to_string())));
    if !real.checks.is_empty() {
        let lines: Vec<String> =
            real.checks.iter().map(|one| format!("    {},\n", check(one))).collect();
        all.push(("check", format!("[\n{}]", lines.concat())));
    }
    all
}

/// For words that need no escape.
fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}

fn forward(kind: Forward) -> String {
    let plain = Tunnel::default();
    let Tunnel { kind, checksum } = match kind {
        Forward::Nat => return "\"NAT\"".to_owned(),
        Forward::Dr => return "\"DR\"".to_owned(),
        Forward::Tun(tunnel) if tunnel == plain => return "\"TUN\"".to_owned(),
        Forward::Tun(tunnel) => tunnel,
    };
    let mut all: Vec<Setting> = Vec::new();
    match kind {
        TunnelKind::Ipip => all.push(("tunnel", "\"ipip\"".to_owned())),
        TunnelKind::Gre => all.push(("tunnel", "\"gre\"".to_owned())),
        TunnelKind::Gue { port } => {
            all.push(("tunnel", "\"gue\"".to_owned()));
            all.push(("port", port.to_string()));
        }
    }
    match checksum {
        TunnelChecksum::Nocsum => {}
        TunnelChecksum::Csum => all.push(("checksum", "\"csum\"".to_owned())),
        TunnelChecksum::Remcsum => all.push(("checksum", "\"remcsum\"".to_owned())),
    }
    inline(&all)
}

pub(super) fn script(script: &Script) -> String {
    let Script { command, user, group } = script;
    if user.is_none() && group.is_none() {
        return string(command);
    }
    let mut all = vec![("command", string(command))];
    all.extend(user.as_ref().map(|name| ("user", string(name))));
    all.extend(group.as_ref().map(|name| ("group", string(name))));
    inline(&all)
}

fn damping(damping: &Damping) -> String {
    let Damping { flaps, window_ms, hold_ms } = damping;
    inline(&[
        ("flaps", flaps.to_string()),
        ("window_ms", window_ms.to_string()),
        ("hold_ms", hold_ms.to_string()),
    ])
}

fn sorry_server(sorry: &SorryServer) -> String {
    let SorryServer { address, lb_kind, inhibit } = sorry;
    if lb_kind.is_none() && !inhibit {
        return format!("\"{address}\"");
    }
    let mut all = vec![("address", format!("\"{address}\""))];
    all.extend(lb_kind.map(|kind| ("lb_kind", forward(kind))));
    all.extend(inhibit.then(|| ("inhibit", "true".to_owned())));
    inline(&all)
}
