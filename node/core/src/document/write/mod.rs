//! The one way a configuration is written: defaults left out, names sorted, one line per VIP.

mod check;
mod track;
mod virtual_server;
mod vrrp;

use std::fmt::Write;

use leasehold_model::{
    Alerts, Auth, AuthType, Config, Dataplane, Global, Instance, LvsTimeouts, SyncDaemon,
};

pub(crate) use track::{
    alerts_settings, file_settings, global_settings, process_settings, script_settings,
    sync_group_settings,
};
pub(crate) use virtual_server::{Setting, real_server_settings, server_settings};
pub(crate) use vrrp::{notify_settings, vrrp_settings};

/// Canonical TOML. Equal configurations give equal texts, and reading the text gives back the
/// configuration.
#[must_use]
pub fn to_toml(config: &Config) -> String {
    let mut out = String::new();
    everything(&mut out, config).expect("writing to a String can't fail");
    out.trim_start().to_owned()
}

fn everything(out: &mut String, config: &Config) -> std::fmt::Result {
    global(out, config)?;
    for (name, one) in &config.instances {
        instance(out, name, one)?;
    }
    for (name, one) in &config.sync_groups {
        table(out, "sync_group", name, &sync_group_settings(one))?;
    }
    for (name, one) in &config.scripts {
        table(out, "script", name, &script_settings(one))?;
    }
    for (name, one) in &config.processes {
        table(out, "process", name, &process_settings(one))?;
    }
    for (name, one) in &config.files {
        table(out, "file", name, &file_settings(one))?;
    }
    for (name, one) in &config.groups {
        virtual_server::group(out, name, one)?;
    }
    for one in &config.virtual_servers {
        virtual_server::virtual_server(out, one)?;
    }
    Ok(())
}

/// A table of a section.
fn table(out: &mut String, section: &str, name: &str, all: &[Setting]) -> std::fmt::Result {
    writeln!(out, "\n[{section}.{}]", key(name))?;
    settings(out, all)
}

fn settings(out: &mut String, all: &[Setting]) -> std::fmt::Result {
    all.iter().try_for_each(|(name, value)| writeln!(out, "{name} = {value}"))
}

fn global(out: &mut String, config: &Config) -> std::fmt::Result {
    let global = &config.global;
    if *global == Global::default() {
        return Ok(());
    }
    writeln!(out, "[global]")?;
    settings(out, &global_settings(global))?;
    match global.dataplane {
        Dataplane::Auto => {}
        Dataplane::Ipvs => writeln!(out, "dataplane = \"ipvs\"")?,
        Dataplane::Nftables => writeln!(out, "dataplane = \"nftables\"")?,
    }
    if let Some(timeout) = global.drain_timeout_ms {
        writeln!(out, "drain_timeout_ms = {timeout}")?;
    }
    if let Some(timeouts) = &global.lvs_timeouts {
        writeln!(out, "lvs_timeouts = {}", lvs_timeouts(timeouts))?;
    }
    if let Some(daemon) = &global.lvs_sync_daemon {
        writeln!(out, "lvs_sync_daemon = {}", sync_daemon(daemon))?;
    }
    if global.alerts != Alerts::default() {
        writeln!(out, "\n[global.alerts]")?;
        settings(out, &alerts_settings(&global.alerts))?;
    }
    if !global.router_id.is_empty() {
        writeln!(out, "\n[global.router_id]")?;
    }
    for (director, id) in &global.router_id {
        writeln!(out, "{} = {}", key(director), string(id))?;
    }
    Ok(())
}

fn lvs_timeouts(timeouts: &LvsTimeouts) -> String {
    let LvsTimeouts { tcp, tcpfin, udp } = timeouts;
    let all = [("tcp", tcp), ("tcpfin", tcpfin), ("udp", udp)];
    let given = all.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.to_string())));
    inline(&given.collect::<Vec<_>>())
}

fn sync_daemon(daemon: &SyncDaemon) -> String {
    let SyncDaemon { interface, instance, id, maxlen, port, ttl, group } = daemon;
    let mut given = vec![("interface", string(interface))];
    given.extend(instance.as_ref().map(|name| ("instance", string(name))));
    given.extend((*id != 0).then(|| ("id", id.to_string())));
    given.extend(maxlen.map(|value| ("maxlen", value.to_string())));
    given.extend(port.map(|value| ("port", value.to_string())));
    given.extend(ttl.map(|value| ("ttl", value.to_string())));
    given.extend(group.map(|value| ("group", format!("\"{value}\""))));
    inline(&given)
}

/// An inline table.
fn inline(settings: &[(&str, String)]) -> String {
    let given: Vec<String> =
        settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if given.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", given.join(", ")) }
}

/// A list on one line.
fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

fn instance(out: &mut String, name: &str, one: &Instance) -> std::fmt::Result {
    let name = key(name);
    writeln!(out, "\n[instance.{name}]")?;
    writeln!(out, "virtual_router_id = {}", one.virtual_router_id)?;
    writeln!(out, "interface = {}", string(&one.interface))?;
    if let Some(priority) = one.priority {
        writeln!(out, "priority = {priority}")?;
    }
    if one.advert_int_ms != 1000 {
        writeln!(out, "advert_int_ms = {}", one.advert_int_ms)?;
    }
    if let Some(Auth { auth_type, auth_pass }) = &one.authentication {
        let auth_type = match auth_type {
            AuthType::Pass => "PASS",
            AuthType::Ah => "AH",
        };
        let auth_pass = string(auth_pass);
        writeln!(
            out,
            "authentication = {{ auth_type = \"{auth_type}\", auth_pass = {auth_pass} }}"
        )?;
    }
    if !one.preempt {
        writeln!(out, "preempt = false")?;
    }
    if one.preempt_delay_ms != 0 {
        writeln!(out, "preempt_delay_ms = {}", one.preempt_delay_ms)?;
    }
    // Always written: an instance without it can't be read.
    writeln!(out, "virtual_ipaddress = [")?;
    for one in &one.virtual_ipaddress {
        writeln!(out, "    {},", vrrp::vip(one))?;
    }
    writeln!(out, "]")?;
    let excluded = one.virtual_ipaddress_excluded.iter().map(vrrp::vip);
    let excluded = vrrp::lines("virtual_ipaddress_excluded", excluded);
    settings(out, excluded.as_slice())?;
    settings(out, &vrrp_settings(one))?;
    settings(out, &notify_settings(&one.notify))?;
    for (director, own) in &one.directors {
        writeln!(out, "\n[instance.{name}.director.{}]", key(director))?;
        settings(out, &vrrp::candidate_settings(own))?;
    }
    Ok(())
}

pub(crate) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { string(name) }
}

/// A basic string: every control character escaped.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                write!(out, "\\U{:08X}", u32::from(c)).expect("writing to a String can't fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
