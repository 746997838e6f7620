//! Routes and rules: reading those that are ours, adding and removing.
//!
//! Whose a route or a rule is, its protocol number tells, which the kernel keeps for that and does
//! not look at. So whatever died and whenever, what is ours and not wanted can be found.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::{Stream, TryStreamExt};
use leasehold_dataplane_core::plan::{KernelRoute, KernelRule, Routing};
use leasehold_model::{Family, Network, RouteKind};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_sys::AsyncSocket;
use rtnetlink::{Handle, IpVersion};

use crate::DataplaneError;
use crate::links::{self, Link};

/// Ours. `rtnetlink.h` and iproute2's `rt_protos` give 0 to 18, 42, 99 and 186 to 192 to others, and
/// numbers from 4 on mean nothing to the kernel.
pub const PROTOCOL: u8 = 76;

const FAMILIES: [Family; 2] = [Family::Inet, Family::Inet6];

/// What could not be added or removed, and why.
pub type Refused = Vec<DataplaneError>;

/// The routes and rules of this network namespace that are ours.
#[derive(Clone, Debug)]
pub struct Routes {
    handle: Handle,
}

impl Routes {
    /// Opens a netlink socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// Where the kernel gives none.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open() -> Result<Self, DataplaneError> {
        let (mut connection, handle, _) =
            rtnetlink::new_connection().map_err(DataplaneError::Netlink)?;
        // The kernel then hands over our routes only: a router may have a million others.
        let socket = connection.socket_mut().socket_mut();
        socket.set_netlink_get_strict_chk(true).map_err(DataplaneError::Netlink)?;
        // Ends with the last handle.
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Every route and rule of ours.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub async fn read(&self) -> Result<Routing, DataplaneError> {
        let links = links::list(&self.handle).await?;
        let names: BTreeMap<u32, String> =
            links.into_iter().map(|(name, link)| (link.index, name)).collect();
        let mut found = Routing::default();
        for family in FAMILIES {
            let mut wanted = RouteMessage::default();
            wanted.header.address_family = number(family);
            wanted.header.protocol = RouteProtocol::Other(PROTOCOL);
            let routes = all(self.handle.route().get(wanted).execute(), "routes").await?;
            found.routes.extend(routes.iter().filter_map(|one| route(one, family, &names)));
            let version = match family {
                Family::Inet => IpVersion::V4,
                Family::Inet6 => IpVersion::V6,
            };
            let rules = all(self.handle.rule().get(version).execute(), "rules").await?;
            found.rules.extend(rules.iter().filter_map(|one| rule(one, family)));
        }
        Ok(found)
    }

    /// Removes these; what is not there is removed.
    ///
    /// # Errors
    /// Where the kernel does not say which interfaces there are.
    pub async fn remove(&self, some: &Routing) -> Result<Refused, DataplaneError> {
        let links = links::list(&self.handle).await?;
        let mut refused = Refused::new();
        // What leads to a table goes before the table is empty.
        for one in &some.rules {
            let outcome = self.handle.rule().del(rule_message(one)).execute().await;
            refused.extend(failed(outcome, "remove the rule", || rule_words(one)));
        }
        for one in some.routes.iter().rev() {
            let message = match route_message(one, &links) {
                Ok(message) => message,
                // An interface takes its routes with it.
                Err(DataplaneError::NoInterface { .. }) => continue,
                Err(error) => return Err(error),
            };
            let outcome = self.handle.route().del(message).execute().await;
            refused.extend(failed(outcome, "remove the route", || route_words(one)));
        }
        Ok(refused)
    }

    /// Adds these. Where another's route is in the place of one, that one stays.
    ///
    /// # Errors
    /// Where the kernel does not say which interfaces there are.
    pub async fn add(&self, some: &Routing) -> Result<Refused, DataplaneError> {
        let links = links::list(&self.handle).await?;
        let mut refused = Refused::new();
        for one in &some.routes {
            let message = match route_message(one, &links) {
                Ok(message) => message,
                Err(error) => {
                    refused.push(error);
                    continue;
                }
            };
            let outcome = self.handle.route().add(message).execute().await;
            refused.extend(failed(outcome, "add the route", || route_words(one)));
        }
        // Nothing is led to a table before it is full.
        for one in &some.rules {
            let mut request = self.handle.rule().add();
            *request.message_mut() = rule_message(one);
            refused.extend(failed(request.execute().await, "add the rule", || rule_words(one)));
        }
        Ok(refused)
    }

    /// Removes all that is ours.
    ///
    /// # Errors
    /// Where the kernel does not say what that is, or the first that it does not remove; the
    /// others have been tried all the same.
    pub async fn clear(&self) -> Result<(), DataplaneError> {
        let refused = self.remove(&self.read().await?).await?;
        refused.into_iter().next().map_or(Ok(()), Err)
    }
}

async fn all<T>(
    dump: impl Stream<Item = Result<T, rtnetlink::Error>>,
    what: &'static str,
) -> Result<Vec<T>, DataplaneError> {
    dump.try_collect().await.map_err(|source| DataplaneError::Read { what, source })
}

fn failed(
    outcome: Result<(), rtnetlink::Error>,
    what: &'static str,
    words: impl FnOnce() -> String,
) -> Option<DataplaneError> {
    let source = outcome.err()?;
    if let rtnetlink::Error::NetlinkError(error) = &source
        && what.starts_with("remove")
        && matches!(-error.raw_code(), libc::ESRCH | libc::ENOENT | libc::ENODEV)
    {
        return None;
    }
    Some(DataplaneError::Route { what, words: words(), source })
}

fn number(family: Family) -> AddressFamily {
    match family {
        Family::Inet => AddressFamily::Inet,
        Family::Inet6 => AddressFamily::Inet6,
    }
}

fn kind_number(kind: RouteKind) -> RouteType {
    match kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Prohibit => RouteType::Prohibit,
    }
}

fn route_message(
    route: &KernelRoute,
    links: &BTreeMap<String, Link>,
) -> Result<RouteMessage, DataplaneError> {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = number(route.family);
    header.protocol = RouteProtocol::Other(PROTOCOL);
    header.scope = RouteScope::from(route.scope);
    header.kind = kind_number(route.kind);
    header.flags = if route.onlink { RouteFlags::Onlink } else { RouteFlags::empty() };
    let mut attributes = vec![RouteAttribute::Table(route.table)];
    if let Some(to) = route.to {
        header.destination_prefix_length = to.prefix;
        attributes.push(RouteAttribute::Destination(to.address.into()));
    }
    attributes.extend(route.via.map(|via| RouteAttribute::Gateway(via.into())));
    attributes.extend(route.src.map(|src| RouteAttribute::PrefSource(src.into())));
    if let Some(dev) = &route.dev {
        let link =
            links.get(dev).ok_or_else(|| DataplaneError::NoInterface { name: dev.clone() })?;
        attributes.push(RouteAttribute::Oif(link.index));
    }
    if route.metric != 0 {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    let mtu = route.mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    attributes.extend(mtu);
    message.attributes = attributes;
    Ok(message)
}

/// `None` where it is not ours.
fn route(
    message: &RouteMessage,
    family: Family,
    names: &BTreeMap<u32, String>,
) -> Option<KernelRoute> {
    let header = &message.header;
    let kinds =
        [RouteKind::Unicast, RouteKind::Blackhole, RouteKind::Unreachable, RouteKind::Prohibit];
    let kind = kinds.into_iter().find(|kind| kind_number(*kind) == header.kind)?;
    if u8::from(header.protocol) != PROTOCOL {
        return None;
    }
    let mut found = KernelRoute {
        family,
        to: None,
        kind,
        via: None,
        dev: None,
        src: None,
        table: header.table.into(),
        metric: 0,
        scope: header.scope.into(),
        mtu: None,
        onlink: header.flags.contains(RouteFlags::Onlink),
    };
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(to) = attribute {
            let prefix = header.destination_prefix_length;
            found.to = address(to).map(|address| Network { address, prefix });
        } else if let RouteAttribute::Gateway(via) = attribute {
            found.via = address(via);
        } else if let RouteAttribute::PrefSource(src) = attribute {
            found.src = address(src);
        } else if let RouteAttribute::Oif(index) = attribute {
            // IPv6 hangs routes that lead nowhere on the loopback.
            let named = names.get(index).filter(|_| kind == RouteKind::Unicast);
            found.dev = named.cloned();
        } else if let RouteAttribute::Table(table) = attribute {
            found.table = *table;
        } else if let RouteAttribute::Priority(metric) = attribute {
            found.metric = *metric;
        } else if let RouteAttribute::Metrics(metrics) = attribute {
            found.mtu = metrics.iter().find_map(|metric| {
                if let RouteMetric::Mtu(mtu) = metric { Some(*mtu) } else { None }
            });
        }
    }
    Some(found)
}

fn address(one: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(v4) = one {
        Some((*v4).into())
    } else if let RouteAddress::Inet6(v6) = one {
        Some((*v6).into())
    } else {
        None
    }
}

fn rule_message(rule: &KernelRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = number(rule.family);
    message.header.action = RuleAction::ToTable;
    let protocol = RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL));
    let mut attributes = vec![RuleAttribute::Table(rule.table), protocol];
    if let Some(from) = rule.from {
        message.header.src_len = from.prefix;
        attributes.push(RuleAttribute::Source(from.address));
    }
    if let Some(to) = rule.to {
        message.header.dst_len = to.prefix;
        attributes.push(RuleAttribute::Destination(to.address));
    }
    attributes.extend(rule.iif.clone().map(RuleAttribute::Iifname));
    attributes.extend(rule.oif.clone().map(RuleAttribute::Oifname));
    attributes.extend(rule.fwmark.map(RuleAttribute::FwMark));
    attributes.extend(rule.priority.map(RuleAttribute::Priority));
    message.attributes = attributes;
    message
}

/// `None` where it is not ours.
fn rule(message: &RuleMessage, family: Family) -> Option<KernelRule> {
    let header = &message.header;
    let ours = RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL));
    if !message.attributes.contains(&ours) || header.action != RuleAction::ToTable {
        return None;
    }
    let mut found = KernelRule {
        family,
        from: None,
        to: None,
        iif: None,
        oif: None,
        fwmark: None,
        // The kernel leaves 0 out.
        priority: Some(0),
        table: header.table.into(),
    };
    for attribute in &message.attributes {
        if let RuleAttribute::Source(from) = attribute {
            found.from = Some(Network { address: *from, prefix: header.src_len });
        } else if let RuleAttribute::Destination(to) = attribute {
            found.to = Some(Network { address: *to, prefix: header.dst_len });
        } else if let RuleAttribute::Iifname(name) = attribute {
            found.iif = Some(name.clone());
        } else if let RuleAttribute::Oifname(name) = attribute {
            found.oif = Some(name.clone());
        } else if let RuleAttribute::FwMark(mark) = attribute {
            found.fwmark = Some(*mark).filter(|mark| *mark != 0);
        } else if let RuleAttribute::Priority(priority) = attribute {
            found.priority = Some(*priority);
        } else if let RuleAttribute::Table(table) = attribute {
            found.table = *table;
        }
    }
    Some(found)
}

/// As an operator would write it.
fn route_words(route: &KernelRoute) -> String {
    let to = route.to.map_or("default".to_owned(), |to| format!("{}/{}", to.address, to.prefix));
    let via = route.via.map(|via| format!(" via {via}")).unwrap_or_default();
    let dev = route.dev.as_ref().map(|dev| format!(" dev {dev}")).unwrap_or_default();
    let src = route.src.map(|src| format!(" src {src}")).unwrap_or_default();
    format!("{to}{via}{dev}{src} table {} metric {}", route.table, route.metric)
}

fn rule_words(rule: &KernelRule) -> String {
    let network = |word: &str, one: Option<Network>| {
        one.map(|one| format!("{word} {}/{} ", one.address, one.prefix)).unwrap_or_default()
    };
    let name = |word: &str, one: &Option<String>| {
        one.as_ref().map(|one| format!("{word} {one} ")).unwrap_or_default()
    };
    let mark = rule.fwmark.map(|mark| format!("fwmark {mark} ")).unwrap_or_default();
    let networks = network("from", rule.from) + &network("to", rule.to);
    let names = name("iif", &rule.iif) + &name("oif", &rule.oif);
    format!("{networks}{names}{mark}table {}", rule.table)
}
