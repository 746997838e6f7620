//! Peers, and whoever else is on the link.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use leasehold_dataplane::probe;
use leasehold_model::{Config, NodeId};
use leasehold_raft::identity::{Identity, Settings};
use serde_json::Value;

use super::Finding;

const HANDSHAKE: Duration = Duration::from_secs(2);
const LISTEN: Duration = Duration::from_millis(500);

/// Shakes hands with every other member.
pub(super) async fn reach(
    settings: &Settings,
    identity: &Identity,
    status: Option<&Value>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, name, address) in peers(settings, status) {
        let begun = Instant::now();
        let tried = async {
            let endpoint = identity.endpoint(id, &address).map_err(|error| error.to_string())?;
            let connected = tokio::time::timeout(HANDSHAKE, endpoint.connect()).await;
            match connected {
                Err(_) => Err(format!("no answer within {HANDSHAKE:?}: a firewall, or it is down")),
                Ok(Err(error)) => Err(crate::cli::cause(&error)),
                Ok(Ok(_)) => Ok(()),
            }
        };
        found.push(match tried.await {
            Ok(()) => {
                let took = begun.elapsed().as_millis();
                Finding::ok("peers", format!("{name} shakes hands at {address} in {took} ms"))
            }
            Err(why) => Finding::failure("peers", format!("{name} at {address}: {why}")),
        });
    }
    found
}

/// The members as the daemon knows them, else as this node knew them when it joined.
fn peers(settings: &Settings, status: Option<&Value>) -> Vec<(NodeId, String, String)> {
    let Some(status) = status else {
        let known = settings.peers.iter().filter(|one| one.id != settings.node);
        return known.map(|one| (one.id, one.name.clone(), one.address.clone())).collect();
    };
    let nodes = status["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let others = nodes.iter().filter_map(|one| {
        let id = NodeId(one["id"].as_u64()?);
        let word = |key: &str| one[key].as_str().map(str::to_owned);
        (id != settings.node).then_some((id, word("name")?, word("address")?))
    });
    others.collect()
}

/// Asks the link who answers for the VIPs: at most one machine may, and none where we hold it.
pub(super) fn answerers(settings: &Settings, config: &Config, status: &Value) -> Vec<Finding> {
    let mut by_interface: BTreeMap<String, Vec<Ipv4Addr>> = BTreeMap::new();
    let mut held_here: Vec<Ipv4Addr> = Vec::new();
    let instances = status["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (name, instance) in &config.instances {
        let holder = instances.iter().find(|one| one["name"] == **name);
        let ours = holder.is_some_and(|one| one["holder"] == settings.name);
        for vip in instance.vips() {
            let IpAddr::V4(address) = vip.address else { continue };
            let interface = instance.interface_of(vip, &settings.name).to_owned();
            by_interface.entry(interface).or_default().push(address);
            if ours {
                held_here.push(address);
            }
        }
    }
    let mut found = Vec::new();
    for (interface, addresses) in by_interface {
        let answers = match probe::who_answers(&interface, &addresses, LISTEN) {
            Ok(answers) => answers,
            Err(error) => {
                found.push(Finding::warning("vips", error.to_string()));
                continue;
            }
        };
        let before = found.len();
        for (address, macs) in &answers {
            let others: Vec<_> = macs.iter().map(ToString::to_string).collect();
            let others = others.join(" and ");
            if held_here.contains(address) {
                found.push(Finding::failure(
                    "vips",
                    format!(
                        "{address} is held here, and {others} on {interface} answers for it too: \
                         take it from that machine"
                    ),
                ));
            } else if macs.len() > 1 {
                let text = format!("{address} on {interface} is answered for by {others}");
                found.push(Finding::failure("vips", text));
            }
        }
        if found.len() == before {
            let count = addresses.len();
            found.push(Finding::ok(
                "vips",
                format!("{interface}: no machine too many answers for {count} addresses"),
            ));
        }
    }
    found
}
