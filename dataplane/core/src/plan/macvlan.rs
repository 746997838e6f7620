//! Interfaces with a virtual router's MAC address (RFC 9568, 7.3): what should be there, and what is.

use leasehold_model::{Family, Instance};

use crate::frame::Mac;

/// A macvlan that carries the addresses of an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Macvlan {
    pub name: String,
    /// The interface below.
    pub parent: String,
    pub mac: Mac,
}

impl Macvlan {
    /// What `instance` wants at the director called `director`.
    #[must_use]
    pub fn of(instance: &Instance, director: &str) -> Option<Self> {
        let wish = instance.use_vmac.as_ref()?;
        let vrid = instance.virtual_router_id;
        let number = match instance.family() {
            Family::Inet => 1,
            Family::Inet6 => 2,
        };
        Some(Self {
            name: wish.name.clone().unwrap_or_else(|| instance.default_vmac_name()),
            parent: instance.interface_at(director).to_owned(),
            mac: Mac([0, 0, 0x5e, 0, number, vrid]),
        })
    }

    /// Whether this is a virtual router's MAC address.
    #[must_use]
    pub fn is_virtual(mac: Mac) -> bool {
        matches!(mac.0, [0, 0, 0x5e, 0, 1 | 2, _])
    }

    /// Where an address belongs that the configuration has on `interface`.
    #[must_use]
    pub fn or<'a>(this: Option<&'a Self>, interface: &'a str) -> &'a str {
        let own = this.filter(|one| one.parent == interface);
        own.map_or(interface, |one| &one.name)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_model::{Candidate, Scope, Vip, Vmac};

    use super::*;

    fn instance(address: &str, name: Option<&str>) -> Instance {
        let vip = Vip {
            address: address.parse().unwrap(),
            prefix: 24,
            dev: None,
            label: None,
            broadcast: None,
            scope: Scope::Global,
        };
        let own = Candidate { interface: Some("ens3".into()), ..Candidate::default() };
        Instance {
            virtual_ipaddress: vec![vip],
            use_vmac: Some(Vmac { name: name.map(str::to_owned), xmit_base: false }),
            directors: [("d2".to_owned(), own)].into(),
            ..Instance::new(51, "eth0")
        }
    }

    #[test]
    fn it_is_called_and_addressed_by_family_and_number() {
        let v4 = Macvlan::of(&instance("10.0.0.1", None), "d1").unwrap();
        assert_eq!(
            (v4.name.as_str(), v4.mac.to_string().as_str()),
            ("vrrp.51", "00:00:5e:00:01:33")
        );
        let v6 = Macvlan::of(&instance("fd00::1", None), "d1").unwrap();
        assert_eq!(
            (v6.name.as_str(), v6.mac.to_string().as_str()),
            ("vrrp6.51", "00:00:5e:00:02:33")
        );
        let named = Macvlan::of(&instance("10.0.0.1", Some("web0")), "d2").unwrap();
        assert_eq!((named.name.as_str(), named.parent.as_str()), ("web0", "ens3"));
        assert!(Macvlan::is_virtual(v4.mac) && Macvlan::is_virtual(v6.mac));
        assert!(!Macvlan::is_virtual(Mac([0, 0, 0x5e, 0, 3, 51])));
        assert_eq!(Macvlan::of(&Instance::new(51, "eth0"), "d1"), None);
    }

    #[test]
    fn only_what_is_on_the_interface_below_moves_up() {
        let one = Macvlan::of(&instance("10.0.0.1", None), "d1");
        assert_eq!(Macvlan::or(one.as_ref(), "eth0"), "vrrp.51");
        assert_eq!(Macvlan::or(one.as_ref(), "eth1"), "eth1");
        assert_eq!(Macvlan::or(None, "eth0"), "eth0");
    }
}
