//! How an instance announces itself: adverts, gratuitous ARP and a virtual MAC address.

use std::net::IpAddr;

use leasehold_model::{Adverts, ForeignMaster, Garp, Vmac, VrrpVersion};

use super::{At, Reader};

pub(super) const ADVERTS: [&str; 6] = [
    "version",
    "mcast_dst_ip",
    "unicast_peer",
    "unicast_ttl",
    "v3_checksum_as_v2",
    "foreign_master",
];

impl Reader<'_> {
    pub(super) fn adverts(&mut self, at: &At<'_, '_>) -> Adverts {
        let policies = [("warn", ForeignMaster::Warn), ("yield", ForeignMaster::Yield)];
        Adverts {
            version: self.version(at, "version"),
            mcast_dst_ip: self.parsed(at, "mcast_dst_ip", "an IP address"),
            unicast_peer: self
                .words(at, "unicast_peer", "an IP address", |text| text.parse::<IpAddr>().ok()),
            unicast_ttl: self.integer(at, "unicast_ttl", 1..=255),
            v3_checksum_as_v2: self.boolean(at, "v3_checksum_as_v2").unwrap_or(false),
            foreign_master: self.choice(at, "foreign_master", &policies).unwrap_or_default(),
        }
    }

    pub(super) fn version(&mut self, at: &At<'_, '_>, name: &str) -> Option<VrrpVersion> {
        self.integer::<u8>(at, name, 2..=3).map(|version| match version {
            2 => VrrpVersion::V2,
            _ => VrrpVersion::V3,
        })
    }

    pub(super) fn garp(&mut self, at: &At<'_, '_>) -> Garp {
        let Some(at) = self.table(at, "garp") else { return Garp::default() };
        let known = [
            "master_delay_s",
            "master_repeat",
            "master_refresh_s",
            "master_refresh_repeat",
            "lower_prio_delay_s",
            "lower_prio_repeat",
        ];
        self.known(&at, "garp", &known);
        let mut seconds = |name| self.integer(&at, name, 0..=86_400);
        let (master_delay_s, master_refresh_s) =
            (seconds("master_delay_s"), seconds("master_refresh_s"));
        let lower_prio_delay_s = seconds("lower_prio_delay_s");
        let mut count = |name, least| self.integer(&at, name, least..=1000);
        Garp {
            master_delay_s,
            master_repeat: count("master_repeat", 1),
            master_refresh_s,
            master_refresh_repeat: count("master_refresh_repeat", 1),
            lower_prio_delay_s,
            lower_prio_repeat: count("lower_prio_repeat", 0),
        }
    }

    /// `true`, or a table.
    pub(super) fn vmac(&mut self, at: &At<'_, '_>) -> Option<Vmac> {
        let value = self.value(at, "use_vmac")?;
        if let Some(used) = value.get_ref().as_bool() {
            return used.then(Vmac::default);
        }
        if value.get_ref().as_table().is_none() {
            self.mistyped(&at.path_to("use_vmac"), value, "true, false or a table");
            return None;
        }
        let at = self.table(at, "use_vmac")?;
        self.known(&at, "use_vmac", &["name", "xmit_base"]);
        Some(Vmac {
            name: self.owned(&at, "name"),
            xmit_base: self.boolean(&at, "xmit_base").unwrap_or(false),
        })
    }
}
