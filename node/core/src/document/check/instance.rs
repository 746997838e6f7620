//! What instances must fulfil.

use std::collections::BTreeMap;
use std::net::IpAddr;

use leasehold_model::{Config, Instance, Vip};

use super::{Check, MAX_INTERFACE_NAME};

/// A VRRP advert counts its addresses in one byte (RFC 9568, 5.2.5).
const MAX_VIPS_PER_INSTANCE: usize = 255;
const MAX_INSTANCE_NAME: usize = 64;
const MAX_PREEMPT_DELAY_MS: u32 = 1_000_000;

impl Check {
    pub(super) fn instance(&mut self, config: &Config, name: &str, instance: &Instance) {
        self.name(name, "an instance's");
        self.at("interface", |check| check.interface(&instance.interface));
        if instance.virtual_router_id == 0 {
            self.at("virtual_router_id", |check| {
                check.error("virtual_router_id 0 is out of range", "1 to 255 (RFC 9568, 5.2.3)");
            });
        }
        if matches!(instance.priority, Some(0 | 255)) {
            self.at("priority", |check| {
                check.error(
                    "the priority of an instance is 1 to 254",
                    "leave it out to make directors without a priority of their own spares; \
                     255 can be given to a single director",
                );
            });
        }
        for (director, own) in &instance.directors {
            self.at("director", |check| {
                check.at(director, |check| {
                    check.director_name(director);
                    if own.priority == Some(0) {
                        check.at("priority", |check| {
                            check.error("priority 0 is out of range", "1 to 255");
                        });
                    }
                    if let Some(interface) = &own.interface {
                        check.at("interface", |check| check.interface(interface));
                    }
                    check.notify(config, &own.notify);
                });
            });
        }
        self.preemption(instance);
        self.adverts(instance, &config.global);
        self.vips(instance);
        self.excluded(instance);
        self.routing(instance);
        self.tracking(config, &instance.tracking);
        self.notify(config, &instance.notify);
    }

    pub(super) fn name(&mut self, name: &str, whose: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
        if name.is_empty() || name.len() > MAX_INSTANCE_NAME || !name.chars().all(plain) {
            self.error(
                format!("{name:?} can't be {whose} name"),
                "1 to 64 of the letters a-z and A-Z, digits, and _ - . :",
            );
        }
    }

    fn director_name(&mut self, name: &str) {
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.error(format!("{name:?} can't be a director's name"), "one word");
        }
    }

    pub(super) fn interface(&mut self, name: &str) {
        self.interface_name(name);
        if name == "lo" {
            self.error("a VIP on lo is seen by nobody else", "name the interface of the clients");
        }
    }

    pub(super) fn interface_name(&mut self, name: &str) {
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        if name.is_empty() || name.len() > MAX_INTERFACE_NAME || name.contains(odd) {
            self.error(
                format!("{name:?} can't be an interface's name"),
                "1 to 15 bytes, with no space and no slash",
            );
        }
    }

    fn preemption(&mut self, instance: &Instance) {
        let delay = instance.preempt_delay_ms;
        self.at("preempt_delay_ms", |check| {
            if delay > MAX_PREEMPT_DELAY_MS {
                check.error(format!("preempt_delay_ms {delay} is out of range"), "0 to 1000000");
            } else if delay > 0 && !instance.preempt {
                check.warn("preempt_delay_ms has no effect: preempt is false", "");
            }
        });
    }

    fn vips(&mut self, instance: &Instance) {
        let vips = &instance.virtual_ipaddress;
        self.at("virtual_ipaddress", |check| {
            if vips.is_empty() {
                check.error("the instance has no virtual address", "give at least one");
            }
            if vips.len() > MAX_VIPS_PER_INSTANCE {
                check.error(
                    format!("{} virtual addresses: 255 is the limit of one instance", vips.len()),
                    "spread them over several instances",
                );
            }
            for (index, vip) in vips.iter().enumerate() {
                check.at(&index.to_string(), |check| {
                    if vip.address.is_ipv4() != vips[0].address.is_ipv4() {
                        let (own, first) = (vip.address, vips[0].address);
                        check.error(
                            format!("{own} and {first} are of different families"),
                            "VRRP has one family per instance: make a second instance",
                        );
                    }
                    check.vip(instance, vip);
                });
            }
        });
    }

    /// Of either family, and as many as there are.
    fn excluded(&mut self, instance: &Instance) {
        self.at("virtual_ipaddress_excluded", |check| {
            for (index, vip) in instance.virtual_ipaddress_excluded.iter().enumerate() {
                check.at(&index.to_string(), |check| check.vip(instance, vip));
            }
        });
    }

    fn vip(&mut self, instance: &Instance, vip: &Vip) {
        let address = vip.address;
        let unusable = match address {
            IpAddr::V4(v4) if v4.is_broadcast() => Some("is the broadcast address"),
            _ if address.is_unspecified() => Some("is the unspecified address"),
            _ if address.is_loopback() => Some("is a loopback address"),
            _ if address.is_multicast() => Some("is a multicast address"),
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("is an IPv4 address in IPv6"),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        if let Some(why) = unusable {
            self.at("address", |check| {
                check.error(format!("{address} {why}"), "a VIP is a unicast address");
            });
        }
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if vip.prefix > longest || vip.prefix == 0 {
            self.at("prefix", |check| {
                let hint = format!("1 to {longest}");
                check.error(format!("prefix {} is out of range", vip.prefix), &hint);
            });
        }
        if let Some(dev) = &vip.dev {
            self.at("dev", |check| check.interface(dev));
        }
        if let Some(label) = &vip.label {
            let interface = vip.dev.as_ref().unwrap_or(&instance.interface);
            self.at("label", |check| {
                check.label(label, interface, address);
                check.label_elsewhere(instance, vip, label);
            });
        }
        if vip.broadcast.is_some() && address.is_ipv6() {
            self.at("broadcast", |check| check.error("IPv6 has no broadcast address", ""));
        }
    }

    fn label(&mut self, label: &str, interface: &str, address: IpAddr) {
        if address.is_ipv6() {
            self.error("IPv6 addresses have no label", "remove it");
        } else if label.len() > MAX_INTERFACE_NAME {
            self.error(format!("label {label:?} is longer than 15 bytes"), "shorten it");
        } else if !label.starts_with(interface) {
            self.error(
                format!("label {label:?} does not begin with its interface's name"),
                &format!("write it as {interface}:1"),
            );
        }
    }

    /// A director's own name for the interface may be longer.
    fn label_elsewhere(&mut self, instance: &Instance, vip: &Vip, label: &str) {
        for director in instance.directors.keys() {
            let there = instance.label_of(vip, director).unwrap_or_default();
            if there != label && there.len() > MAX_INTERFACE_NAME {
                self.error(
                    format!("label {there:?}, as {director} has it, is longer than 15 bytes"),
                    "shorten what follows the interface's name",
                );
            }
        }
    }

    /// An address in two leases would have two holders.
    pub(super) fn addresses_once(&mut self, config: &Config) {
        let mut seen: BTreeMap<IpAddr, &str> = BTreeMap::new();
        for (name, instance) in &config.instances {
            for (list, index, vip) in listed(instance) {
                let Some(first) = seen.insert(vip.address, name) else { continue };
                let whose = if first == name { "twice".to_owned() } else { format!("in {first}") };
                self.at_path(&[name, list, &index.to_string()], |check| {
                    check.error(
                        format!("{} is given {whose} already", vip.address),
                        "an address belongs to one instance, once",
                    );
                });
            }
        }
    }
}

/// Every VIP with the list that it stands in and its number there.
fn listed(instance: &Instance) -> impl Iterator<Item = (&'static str, usize, &Vip)> {
    let lists = [
        ("virtual_ipaddress", &instance.virtual_ipaddress),
        ("virtual_ipaddress_excluded", &instance.virtual_ipaddress_excluded),
    ];
    lists.into_iter().flat_map(|(list, vips)| {
        vips.iter().enumerate().map(move |(index, vip)| (list, index, vip))
    })
}
