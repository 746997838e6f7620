//! What a bridge refuses to pass: cuts and losses between two ports, as one nftables ruleset.
//!
//! The whole table is replaced in one transaction on every change, so a partition of many pairs
//! begins and ends at one instant, and no rule can be left over.

use std::fmt::Write;

/// What a cut stops; everything else of the same pair still passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// Every frame.
    All,
    /// TCP from or to this port.
    Tcp(u16),
    /// IPv4 or IPv6 packets of this protocol, such as 112 for VRRP.
    Protocol(u8),
    /// ARP.
    Arp,
}

/// Traffic that is stopped from one bridge port to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cut {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) traffic: Traffic,
}

/// Frames that are lost at random from one bridge port to another, out of a hundred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) percent: u8,
}

/// The ruleset that makes exactly these cuts and losses.
pub(crate) fn ruleset<'a>(
    cuts: impl IntoIterator<Item = &'a Cut>,
    losses: impl IntoIterator<Item = &'a Loss>,
) -> String {
    let mut rules = String::new();
    for Loss { from, to, percent } in losses {
        writeln!(
            rules,
            "iifname \"{from}\" oifname \"{to}\" numgen random mod 100 < {percent} counter drop"
        )
        .expect("writing to a string can't fail");
    }
    for Cut { from, to, traffic } in cuts {
        for matching in matches(*traffic) {
            writeln!(rules, "iifname \"{from}\" oifname \"{to}\" {matching} counter drop")
                .expect("writing to a string can't fail");
        }
    }
    format!(
        "table bridge lab\ndelete table bridge lab\ntable bridge lab {{\nchain forward {{\n\
         type filter hook forward priority 0; policy accept;\n{rules}}}\n}}\n"
    )
}

fn matches(traffic: Traffic) -> Vec<String> {
    match traffic {
        Traffic::All => vec![String::new()],
        Traffic::Tcp(port) => vec![format!("tcp dport {port}"), format!("tcp sport {port}")],
        Traffic::Protocol(number) => {
            vec![format!("ip protocol {number}"), format!("ip6 nexthdr {number}")]
        }
        Traffic::Arp => vec!["ether type arp".to_owned()],
    }
}
