//! Settings of the kernel that make VIPs and real servers behave: read and judged, never written.

use std::path::PathBuf;

use leasehold_model::Family;

/// A setting that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub name: String,
    pub is: String,
    pub should_be: &'static str,
    pub why: &'static str,
}

struct Rule {
    /// `all` and the interface's own are combined by the kernel as their maximum.
    name: &'static str,
    good: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 3] = [
    Rule {
        name: "promote_secondaries",
        good: &["1"],
        why: "a VIP that goes must not take the other addresses of its subnet with it",
    },
    Rule {
        name: "arp_ignore",
        good: &["1", "2"],
        why: "an interface must not answer for a VIP that lives on another",
    },
    Rule {
        name: "arp_announce",
        good: &["1", "2"],
        why: "a question for a neighbour should not come from a VIP that may move",
    },
];

/// What is to be said about `interface` in this network namespace.
#[must_use]
pub fn check(interface: &str) -> Vec<Finding> {
    RULES.iter().filter_map(|rule| rule.check(interface)).collect()
}

/// The setting that keeps this machine from passing packets on, where it does.
#[must_use]
pub fn no_forwarding(family: Family) -> Option<&'static str> {
    let name = match family {
        Family::Inet => "net.ipv4.ip_forward",
        Family::Inet6 => "net.ipv6.conf.all.forwarding",
    };
    let path = PathBuf::from("/proc/sys").join(name.replace('.', "/"));
    let is = std::fs::read_to_string(path).ok()?;
    (is.trim() == "0").then_some(name)
}

impl Rule {
    fn check(&self, interface: &str) -> Option<Finding> {
        let own = read(interface, self.name)?;
        let effective = own.max(read("all", self.name).unwrap_or_default());
        let good = self.good.contains(&effective.as_str());
        (!good).then(|| Finding {
            name: format!("net.ipv4.conf.{interface}.{}", self.name),
            is: effective,
            should_be: self.good[0],
            why: self.why,
        })
    }
}

fn read(interface: &str, name: &str) -> Option<String> {
    let path = PathBuf::from("/proc/sys/net/ipv4/conf").join(interface).join(name);
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
