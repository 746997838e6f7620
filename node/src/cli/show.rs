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

fn table(status: &Value) -> String {
    let cluster = &status["cluster"];
    let leader = cluster["leader"].as_str().unwrap_or("none: no quorum, or an election under way");
    let mut text = format!(
        "cluster {}  leader {leader}  term {}  revision {}\n\n",
        word(&cluster["id"]),
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
    text + &virtual_servers(status)
}

/// One line for each real server, under its virtual server's.
fn virtual_servers(status: &Value) -> String {
    let heading =
        ["VIRTUAL SERVER", "PROTOCOL", "FORWARD", "WEIGHT", "STATE", "ACTIVE", "INACTIVE"];
    let mut rows = vec![heading.map(str::to_owned)];
    let count = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
    for server in status["virtual_servers"].as_array().into_iter().flatten() {
        let state = if server["quorum"] == true { "up" } else { "no quorum" };
        let [scheduler, protocol] = [word(&server["scheduler"]), word(&server["protocol"])];
        let none = String::new;
        let address = format!("{} {scheduler}", word(&server["address"]));
        rows.push([address, protocol, none(), none(), state.to_owned(), none(), none()]);
        for real in server["real_servers"].as_array().into_iter().flatten() {
            rows.push([
                format!("  -> {}", word(&real["address"])),
                none(),
                word(&real["forward"]),
                count(&real["weight"]),
                word(&real["state"]),
                count(&real["active"]),
                count(&real["inactive"]),
            ]);
        }
        if let Some(sorry) = server["sorry_server"]["address"].as_str() {
            let state = if server["sorry_server"]["serves"] == true { "serves" } else { "waits" };
            let cells = [none(), none(), none(), state.to_owned(), none(), none()];
            let [a, b, c, d, e, f] = cells;
            rows.push([format!("  -> {sorry} (sorry server)"), a, b, c, d, e, f]);
        }
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", align(&rows)) }
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

fn align<const N: usize>(rows: &[[String; N]]) -> String {
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
