//! Instances and their adverts, routes and scripts, setting by setting.

use leasehold_model::{
    Adverts, Candidate, ForeignMaster, Garp, Instance, Network, Notify, Route, RouteKind, Rule,
    Scope, Tracking, Vip, Vmac, VrrpVersion, Weight,
};

use super::virtual_server::{Setting, script};
use super::{inline, key, list, string};
use crate::document::tracks::Tracked;

/// What every node's file has to say alike, in keepalived's words; without VIPs.
pub(crate) fn vrrp_settings(one: &Instance) -> Vec<Setting> {
    let mut all = Vec::new();
    adverts(&mut all, &one.adverts);
    let garp = garp(&one.garp);
    all.extend((!garp.is_empty()).then(|| ("garp", inline(&garp))));
    all.extend(one.use_vmac.as_ref().map(|one| ("use_vmac", vmac(one))));
    all.extend(one.dont_track_primary.then(|| ("dont_track_primary", "true".to_owned())));
    all.extend(lines("virtual_routes", one.virtual_routes.iter().map(route)));
    all.extend(lines("virtual_rules", one.virtual_rules.iter().map(rule)));
    all.extend(tracking_settings(&one.tracking));
    all
}

pub(crate) fn version(version: VrrpVersion) -> String {
    match version {
        VrrpVersion::V2 => "2",
        VrrpVersion::V3 => "3",
    }
    .to_owned()
}

fn adverts(all: &mut Vec<Setting>, adverts: &Adverts) {
    let Adverts {
        version: own,
        mcast_dst_ip,
        unicast_peer,
        unicast_ttl,
        v3_checksum_as_v2,
        foreign_master,
    } = adverts;
    all.extend(own.map(|own| ("version", version(own))));
    all.extend(mcast_dst_ip.map(|group| ("mcast_dst_ip", format!("\"{group}\""))));
    if !unicast_peer.is_empty() {
        let peers = unicast_peer.iter().map(|peer| format!("\"{peer}\""));
        all.push(("unicast_peer", list(peers)));
    }
    all.extend(unicast_ttl.map(|ttl| ("unicast_ttl", ttl.to_string())));
    all.extend(v3_checksum_as_v2.then(|| ("v3_checksum_as_v2", "true".to_owned())));
    match foreign_master {
        ForeignMaster::Warn => {}
        ForeignMaster::Yield => all.push(("foreign_master", "\"yield\"".to_owned())),
    }
}

pub(crate) fn garp(garp: &Garp) -> Vec<Setting> {
    let Garp {
        master_delay_s,
        master_repeat,
        master_refresh_s,
        master_refresh_repeat,
        lower_prio_delay_s,
        lower_prio_repeat,
    } = garp;
    let all = [
        ("master_delay_s", master_delay_s),
        ("master_repeat", master_repeat),
        ("master_refresh_s", master_refresh_s),
        ("master_refresh_repeat", master_refresh_repeat),
        ("lower_prio_delay_s", lower_prio_delay_s),
        ("lower_prio_repeat", lower_prio_repeat),
    ];
    all.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.to_string()))).collect()
}

fn vmac(vmac: &Vmac) -> String {
    let Vmac { name, xmit_base } = vmac;
    if name.is_none() && !xmit_base {
        return "true".to_owned();
    }
    let mut all = Vec::new();
    all.extend(name.as_ref().map(|name| ("name", string(name))));
    all.extend(xmit_base.then(|| ("xmit_base", "true".to_owned())));
    inline(&all)
}

/// Each of the four as an inline table.
pub(crate) fn tracking_settings(tracking: &Tracking) -> Vec<Setting> {
    let mut all = Vec::new();
    for kind in Tracked::ALL {
        let tracked = kind.of(tracking);
        let entries: Vec<String> =
            tracked.iter().map(|(name, one)| format!("{} = {}", key(name), weight(one))).collect();
        if !entries.is_empty() {
            all.push((kind.setting(), format!("{{ {} }}", entries.join(", "))));
        }
    }
    all
}

fn weight(weight: &Weight) -> String {
    match weight {
        Weight { weight: Some(weight), reverse: false } => weight.to_string(),
        weight => inline(&weight_settings(weight)),
    }
}

pub(crate) fn weight_settings(one: &Weight) -> Vec<Setting> {
    let Weight { weight, reverse } = one;
    let mut all = Vec::new();
    all.extend(weight.map(|weight| ("weight", weight.to_string())));
    all.extend(reverse.then(|| ("reverse", "true".to_owned())));
    all
}

pub(crate) fn notify_settings(notify: &Notify) -> Vec<Setting> {
    let switches = [
        ("notify_priority_changes", notify.notify_priority_changes),
        ("smtp_alert", notify.smtp_alert),
    ];
    let scripts =
        notify.scripts().into_iter().filter_map(|(name, one)| Some((name, script(one.as_ref()?))));
    let switches = switches.into_iter().filter_map(|(name, one)| Some((name, one?.to_string())));
    scripts.chain(switches).collect()
}

pub(crate) fn candidate_settings(one: &Candidate) -> Vec<Setting> {
    let Candidate { priority, interface, src_ip, notify } = one;
    let mut all = Vec::new();
    all.extend(priority.map(|priority| ("priority", priority.to_string())));
    all.extend(interface.as_ref().map(|interface| ("interface", string(interface))));
    all.extend(src_ip.map(|address| ("src_ip", format!("\"{address}\""))));
    all.extend(notify_settings(notify));
    all
}

/// A list with a line for each item; none where it is empty.
pub(super) fn lines(
    name: &'static str,
    items: impl IntoIterator<Item = String>,
) -> Option<Setting> {
    let items: Vec<String> = items.into_iter().map(|item| format!("    {item},\n")).collect();
    (!items.is_empty()).then(|| (name, format!("[\n{}]", items.concat())))
}

fn network(network: &Network) -> String {
    format!("\"{}/{}\"", network.address, network.prefix)
}

fn route(route: &Route) -> String {
    let Route { to, kind, via, dev, src, table, metric, scope: reach, mtu, onlink } = route;
    let mut all = vec![("to", to.as_ref().map_or("\"default\"".to_owned(), network))];
    match kind {
        RouteKind::Unicast => {}
        RouteKind::Blackhole => all.push(("kind", "\"blackhole\"".to_owned())),
        RouteKind::Unreachable => all.push(("kind", "\"unreachable\"".to_owned())),
        RouteKind::Prohibit => all.push(("kind", "\"prohibit\"".to_owned())),
    }
    all.extend(via.map(|via| ("via", format!("\"{via}\""))));
    all.extend(dev.as_ref().map(|dev| ("dev", string(dev))));
    all.extend(src.map(|src| ("src", format!("\"{src}\""))));
    all.extend(table.map(|table| ("table", table.to_string())));
    all.extend(metric.map(|metric| ("metric", metric.to_string())));
    all.extend(reach.map(|reach| ("scope", format!("\"{}\"", scope(reach)))));
    all.extend(mtu.map(|mtu| ("mtu", mtu.to_string())));
    all.extend(onlink.then(|| ("onlink", "true".to_owned())));
    inline(&all)
}

fn rule(rule: &Rule) -> String {
    let Rule { from, to, iif, oif, fwmark, priority, table } = rule;
    let mut all = Vec::new();
    all.extend(from.as_ref().map(|from| ("from", network(from))));
    all.extend(to.as_ref().map(|to| ("to", network(to))));
    all.extend(iif.as_ref().map(|iif| ("iif", string(iif))));
    all.extend(oif.as_ref().map(|oif| ("oif", string(oif))));
    all.extend(fwmark.map(|mark| ("fwmark", mark.to_string())));
    all.extend(priority.map(|priority| ("priority", priority.to_string())));
    all.push(("table", table.to_string()));
    inline(&all)
}

pub(super) fn vip(vip: &Vip) -> String {
    let Vip { address, prefix, dev, label, broadcast, scope: reach } = vip;
    let mut all = vec![("address", format!("\"{address}\"")), ("prefix", prefix.to_string())];
    all.extend(dev.as_ref().map(|dev| ("dev", string(dev))));
    all.extend(label.as_ref().map(|label| ("label", string(label))));
    all.extend(broadcast.map(|address| ("broadcast", format!("\"{address}\""))));
    all.extend((*reach != Scope::Global).then(|| ("scope", format!("\"{}\"", scope(*reach)))));
    inline(&all)
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Global => "global",
        Scope::Site => "site",
        Scope::Link => "link",
        Scope::Host => "host",
    }
}
