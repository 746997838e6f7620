//! `leasehold ipvs`: the kernel's table, laid out as `ipvsadm` does it.

use std::fmt::Write;

use leasehold_proto::control::KernelTableRequest;
use serde_json::Value;

use super::args::{Ipvs, Numbers};
use super::client::Target;
use super::out;

pub(super) fn ipvs(target: &Target, args: &Ipvs) -> anyhow::Result<()> {
    let request = KernelTableRequest {};
    let answer = target.call(async |mut client| client.kernel_table(request).await)?.into_inner();
    if args.json {
        return out::data(&answer.json);
    }
    let table: Value = serde_json::from_str(&answer.json)?;
    out::data(&text(&table, args.numbers()))
}

fn text(table: &Value, numbers: Numbers) -> String {
    let mut text = format!(
        "IP Virtual Server version {} (size={})\n",
        word(&table["version"]),
        table["connection_table_size"]
    );
    // Writing to a string can't fail.
    let _ = match numbers {
        Numbers::Connections => writeln!(
            text,
            "Prot LocalAddress:Port Scheduler Flags\n  \
             -> RemoteAddress:Port           Forward Weight ActiveConn InActConn"
        ),
        Numbers::Totals => writeln!(
            text,
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n  \
             -> RemoteAddress:Port"
        ),
        Numbers::Rates => writeln!(
            text,
            "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n  \
             -> RemoteAddress:Port"
        ),
    };
    let mut services: Vec<&Value> = table["services"].as_array().into_iter().flatten().collect();
    services.sort_by_key(|one| (word(&one["protocol"]), word(&one["address"])));
    for service in services {
        let (protocol, address) = (prot(service), word(&service["address"]));
        let _ = match numbers {
            Numbers::Connections => writeln!(text, "{protocol}  {address} {}", options(service)),
            Numbers::Totals | Numbers::Rates => {
                writeln!(text, "{protocol}  {address:<27}{}", stats(service, numbers))
            }
        };
        let mut real: Vec<&Value> =
            service["real_servers"].as_array().into_iter().flatten().collect();
        real.sort_by_key(|one| word(&one["address"]));
        for one in real {
            let address = word(&one["address"]);
            let _ = match numbers {
                Numbers::Connections => {
                    let (forward, weight) = (word(&one["forward"]), &one["weight"]);
                    let (active, inactive) = (&one["active"], &one["inactive"]);
                    let (weight, active) = (weight.to_string(), active.to_string());
                    let line = format!(
                        "  -> {address:<28} {forward:<7} {weight:<6} {active:<10} {inactive}"
                    );
                    writeln!(text, "{line}")
                }
                Numbers::Totals | Numbers::Rates => {
                    writeln!(text, "  -> {address:<27}{}", stats(one, numbers))
                }
            };
        }
    }
    text
}

fn prot(service: &Value) -> String {
    match service["protocol"].as_str() {
        Some("fwmark") => "FWM".to_owned(),
        Some(other) => other.to_uppercase(),
        None => "-".to_owned(),
    }
}

fn options(service: &Value) -> String {
    let mut words = vec![word(&service["scheduler"])];
    if service["family"] == "inet6" && service["protocol"] == "fwmark" {
        words.insert(0, "IPv6".to_owned());
    }
    let flags: Vec<_> = service["flags"].as_array().into_iter().flatten().map(word).collect();
    let (ops, flags): (Vec<_>, Vec<_>) = flags.into_iter().partition(|flag| flag == "ops");
    if !flags.is_empty() {
        words.push(format!("({})", flags.join(",")));
    }
    if let Some(persistence) = service["persistence"].as_object() {
        words.push(format!("persistent {}", persistence["timeout_s"]));
        let prefix = persistence["prefix"].as_u64().unwrap_or_default();
        match service["family"].as_str() {
            Some("inet") if prefix != 32 => {
                let bits = u32::MAX.checked_shl(32 - u32::try_from(prefix).unwrap_or(32));
                let mask = std::net::Ipv4Addr::from_bits(bits.unwrap_or(0));
                words.push(format!("mask {mask}"));
            }
            Some("inet6") if prefix != 128 => words.push(format!("mask {prefix}")),
            Some(_) | None => {}
        }
        if let Some(engine) = persistence["engine"].as_str() {
            words.push(format!("pe {engine}"));
        }
    }
    words.extend(ops);
    words.join(" ")
}

fn stats(of: &Value, numbers: Numbers) -> String {
    let names = match numbers {
        Numbers::Rates => [
            "connections_per_s",
            "in_packets_per_s",
            "out_packets_per_s",
            "in_bytes_per_s",
            "out_bytes_per_s",
        ],
        Numbers::Totals | Numbers::Connections => {
            ["connections", "in_packets", "out_packets", "in_bytes", "out_bytes"]
        }
    };
    names.iter().fold(String::new(), |line, name| {
        line + &format!(" {:>8}", short(of["stats"][name].as_u64().unwrap_or(0)))
    })
}

/// Eight columns at most, as `ipvsadm` shortens.
fn short(number: u64) -> String {
    match number {
        0..=99_999_999 => number.to_string(),
        100_000_000..=99_999_999_999 => format!("{}K", number / 1000),
        100_000_000_000..=99_999_999_999_999 => format!("{}M", number / 1_000_000),
        _ => format!("{}G", number / 1_000_000_000),
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_looks_like_ipvsadm() {
        let real = |address: &str, active: u64| {
            json!({"address": address, "forward": "Tunnel", "weight": 1, "active": active,
                   "inactive": 4, "stats": {"connections": 7}})
        };
        let table = json!({
            "version": "1.2.1", "connection_table_size": 4096,
            "services": [{
                "protocol": "tcp", "address": "192.168.1.184:80", "family": "inet",
                "scheduler": "sh", "flags": ["flag-2", "ops"],
                "persistence": {"timeout_s": 50, "prefix": 24, "engine": null},
                "stats": {"connections": 123_456_789_u64},
                "real_servers": [real("192.168.56.183:80", 12), real("192.168.1.183:80", 0)],
            }],
        });
        assert_eq!(
            text(&table, Numbers::Connections),
            "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.168.1.184:80 sh (flag-2) persistent 50 mask 255.255.255.0 ops
  -> 192.168.1.183:80             Tunnel  1      0          4
  -> 192.168.56.183:80            Tunnel  1      12         4
"
        );
        let totals = text(&table, Numbers::Totals);
        let line = "TCP  192.168.1.184:80             123456K        0        0        0        0";
        assert!(totals.contains(line), "{totals}");
    }
}
