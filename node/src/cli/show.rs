//! Commands that only look.

use std::fmt::Write;
use std::time::Duration;

use leasehold_proto::control::{ExplainRequest, StatusRequest};
use serde_json::Value;

use super::args::{Explain, Status};
use super::client::Target;
use super::out;

const WATCH_EVERY: Duration = Duration::from_secs(1);

pub(super) fn status(target: &Target, args: &Status) -> anyhow::Result<()> {
    loop {
        let status = fetch(target)?;
        if args.json {
            out::data(&status.to_string())?;
        } else {
            out::data(&table(&status))?;
        }
        if !args.watch {
            return Ok(());
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

pub(super) fn members(target: &Target, json: bool) -> anyhow::Result<()> {
    let status = fetch(target)?;
    if json { out::data(&status["nodes"].to_string()) } else { out::data(&nodes(&status)) }
}

pub(super) fn explain(target: &Target, args: &Explain) -> anyhow::Result<()> {
    let request = ExplainRequest { instance: args.instance.clone() };
    let answer = target.call(async |mut client| client.explain(request).await)?.into_inner();
    out::data(if args.json { &answer.json } else { &answer.text })
}

fn fetch(target: &Target) -> anyhow::Result<Value> {
    let answer = target.call(async |mut client| client.status(StatusRequest {}).await)?;
    Ok(serde_json::from_str(&answer.into_inner().json)?)
}

/// The one that leads; where none does, the last one that was known.
fn leader(cluster: &Value) -> String {
    if let Some(leader) = cluster["leader"].as_str() {
        return leader.to_owned();
    }
    let none = "none: no quorum, or an election under way";
    match (cluster["last_leader"].as_str(), cluster["leader_heard_ms_ago"].as_u64()) {
        (Some(last), Some(ago)) => {
            format!("{none} (last {last}, {}.{} s ago)", ago / 1000, ago % 1000 / 100)
        }
        (Some(_) | None, _) => none.to_owned(),
    }
}

fn table(status: &Value) -> String {
    let cluster = &status["cluster"];
    let mut text = format!(
        "cluster {}  leader {}  term {}  revision {}\n\n",
        word(&cluster["id"]),
        leader(cluster),
        cluster["term"],
        cluster["revision"]
    );
    text.push_str(&nodes(status));
    text.push('\n');
    let mut rows =
        vec![["INSTANCE", "HOLDER", "EPOCH", "STATE", "LEFT", "VIPS"].map(str::to_owned)];
    for instance in status["instances"].as_array().into_iter().flatten() {
        let vips = instance["vips"].as_array().into_iter().flatten().map(word);
        let left = instance["lease_ms_left"].as_u64();
        rows.push([
            word(&instance["name"]),
            instance["holder"].as_str().unwrap_or("-").to_owned(),
            instance["epoch"].to_string(),
            word(&instance["state"]),
            left.map_or_else(|| "-".to_owned(), |left| format!("{left} ms")),
            vips.collect::<Vec<_>>().join(" "),
        ]);
    }
    text.push_str(&align(&rows));
    text.push_str(&adverts(status));
    text + &virtual_servers(status)
}

/// What is wrong with adverts, as this node hears and sends them.
fn adverts(status: &Value) -> String {
    let mut text = String::new();
    for instance in status["instances"].as_array().into_iter().flatten() {
        let (name, vrrp) = (word(&instance["name"]), &instance["vrrp"]);
        if let Some(address) = vrrp["foreign_master"]["address"].as_str() {
            let priority = &vrrp["foreign_master"]["priority"];
            text += &format!(
                "\n{name}: {address}, which is no director, speaks for it with priority {priority}\n"
            );
        }
        if let Some(why) = vrrp["unsent"].as_str() {
            text += &format!("\n{name}: no advert is sent: {why}\n");
        }
        for (reason, count) in vrrp["dropped"].as_object().into_iter().flatten() {
            text += &format!("\n{name}: {count} adverts dropped: {reason}\n");
        }
    }
    text
}

/// One line for each real server, under its virtual server's, with what is to be noted of it.
fn virtual_servers(status: &Value) -> String {
    let heading =
        ["VIRTUAL SERVER", "PROTOCOL", "FORWARD", "WEIGHT", "STATE", "ACTIVE", "INACTIVE", "NOTE"];
    let mut rows = vec![heading.map(str::to_owned)];
    let count = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
    for server in status["virtual_servers"].as_array().into_iter().flatten() {
        let state = if server["quorum"] == true { "up" } else { "no quorum" };
        let [scheduler, protocol] = [word(&server["scheduler"]), word(&server["protocol"])];
        let none = String::new;
        let address = format!("{} {scheduler}", word(&server["name"]));
        let state = state.to_owned();
        rows.push([address, protocol, none(), none(), state, none(), none(), none()]);
        for real in server["real_servers"].as_array().into_iter().flatten() {
            rows.push([
                format!("  -> {}", word(&real["address"])),
                none(),
                word(&real["forward"]),
                count(&real["weight"]),
                word(&real["state"]),
                count(&real["active"]),
                count(&real["inactive"]),
                note(real),
            ]);
        }
        if let Some(sorry) = server["sorry_server"]["address"].as_str() {
            let state = if server["sorry_server"]["serves"] == true { "serves" } else { "waits" };
            let cells = [none(), none(), none(), state.to_owned(), none(), none(), none()];
            let [a, b, c, d, e, f, g] = cells;
            rows.push([format!("  -> {sorry} (sorry server)"), a, b, c, d, e, f, g]);
        }
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", align(&rows)) }
}

/// What an operator said of a real server, and who sees it otherwise than others.
fn note(real: &Value) -> String {
    let mut notes = Vec::new();
    if let Some(said) = real["override"].as_str() {
        notes.push(format!("operator: {said}"));
    }
    let all = |field: &str| real[field].as_array().cloned().unwrap_or_default();
    let (down, up) = (all("down_for"), all("up_for"));
    let down: Vec<_> = down.iter().map(|one| word(&one["director"])).collect();
    let up: Vec<_> = up.iter().map(word).collect();
    if !down.is_empty() && !up.is_empty() {
        notes.push(format!("down for {}, up for {}", down.join(" "), up.join(" ")));
    }
    notes.join("; ")
}

fn nodes(status: &Value) -> String {
    let mut rows = vec![["NODE", "ID", "ROLE", "VOTER", "STATE", "ADDRESS"].map(str::to_owned)];
    for node in status["nodes"].as_array().into_iter().flatten() {
        let voter = if node["voter"] == true { "yes" } else { "no" };
        rows.push([
            word(&node["name"]),
            node["id"].to_string(),
            word(&node["role"]),
            voter.to_owned(),
            word(&node["state"]),
            word(&node["address"]),
        ]);
    }
    align(&rows)
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

pub(super) fn align<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string can't fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_leader_that_fell_silent_is_shown_as_the_last_one() {
        let shown = |leader: Value, last: Value, ago: Value| {
            let cluster =
                json!({"leader": leader, "last_leader": last, "leader_heard_ms_ago": ago});
            super::leader(&cluster)
        };
        assert_eq!(shown(json!("ds1"), json!("ds1"), json!(80)), "ds1");
        let none = "none: no quorum, or an election under way";
        let last = format!("{none} (last ds1, 12.3 s ago)");
        assert_eq!(shown(Value::Null, json!("ds1"), json!(12_345)), last);
        assert_eq!(shown(Value::Null, Value::Null, Value::Null), none);
    }

    #[test]
    fn a_real_server_is_shown_with_what_is_said_of_it_and_who_sees_it_otherwise() {
        let real = |address: &str, said: Value, down: Value, up: Value| {
            json!({"address": address, "forward": "DR", "weight": 1, "state": "up",
                   "active": 0, "inactive": null, "override": said, "down_for": down, "up_for": up})
        };
        let refused = json!([{"director": "ds1", "why": "refused"}]);
        let real_servers = [
            real("10.0.0.7:53", Value::Null, json!([]), json!(["ds1", "ds2"])),
            real("10.0.0.8:53", json!("weight 5"), refused.clone(), json!(["ds2", "ds3"])),
            real("10.0.0.9:53", json!("drain"), refused.clone(), json!([])),
        ];
        let status = json!({"virtual_servers": [{
            "name": "192.168.1.100:53/udp", "address": "192.168.1.100:53", "protocol": "udp",
            "scheduler": "wlc", "quorum": true, "real_servers": real_servers,
        }]});
        assert_eq!(
            virtual_servers(&status),
            "
VIRTUAL SERVER            PROTOCOL  FORWARD  WEIGHT  STATE  ACTIVE  INACTIVE  NOTE
192.168.1.100:53/udp wlc  udp                        up
  -> 10.0.0.7:53                    DR       1       up     0       -
  -> 10.0.0.8:53                    DR       1       up     0       -         operator: weight 5; down for ds1, up for ds2 ds3
  -> 10.0.0.9:53                    DR       1       up     0       -         operator: drain
"
        );
    }
}
