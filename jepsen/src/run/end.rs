//! The end of a run: rest, last reads, and the verdict.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use leasehold_lab::cluster::Desk;
use leasehold_lab::{LabError, Observation, now_ns, until};
use serde_json::Value;

use super::setting::{Seen, Stage};
use super::{Report, Settings, fence};
use crate::check::{self, Judged, Run, Verdict};
use crate::history::{
    Config, Final, Folder, FolderError, Kernel, Member, Observations, Planned, Setup, Version,
};
use crate::nemesis::{Active, World};
use crate::workload::document::{Change, Document};

/// Many times what an election, a join and a first lease take.
const REST_WITHIN: Duration = Duration::from_secs(90);

/// For one question of one member.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// For what is preferred elsewhere to get there.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// How long after the last heal the cluster was whole, or why it was not.
pub(super) struct Rest(pub(super) Result<Duration, String>);

/// Waits until every member runs and votes, every instance is held, and every VIP answered for.
pub(super) fn come_to_rest(world: &mut World, stage: &Stage) -> Rest {
    let begun = Instant::now();
    Rest(rest(world, stage).map(|()| begun.elapsed()).map_err(|error| error.to_string()))
}

fn rest(world: &mut World, stage: &Stage) -> Result<(), LabError> {
    world.cluster.lan.heal_all()?;
    let deadline = Instant::now() + REST_WITHIN;
    let mut last = LabError::Argument("nothing was tried".to_owned());
    while Instant::now() < deadline {
        match settle(world, stage) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// One try, each of whose waits has its own limit.
fn settle(world: &mut World, stage: &Stage) -> Result<(), LabError> {
    (0..world.site.members).try_for_each(|member| world.revive(member))?;
    world.cluster.wait_for_voters()?;
    while let Some(words) = world.debts.pop() {
        let said: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Err(error) = world.cluster.cli(world.cluster.any_up()?, &said) {
            world.debts.push(words);
            return Err(error);
        }
    }
    for subject in &world.subjects {
        world.cluster.wait_for_holder(&subject.name)?;
    }
    bring_home(world)?;
    stage.observer().map_or(Ok(()), |observer| observer.wait_for_all(ANSWER_WITHIN))
}

/// The wanderer is in some instance, so that somebody is to answer for it.
fn bring_home(world: &World) -> Result<(), LabError> {
    let Some(orders) = &world.orders else { return Ok(()) };
    let order = orders.place(Change::Wander { to: Some(0) });
    let order = order.ok_or_else(|| LabError::Argument("changes wait in vain".to_owned()))?;
    until("a change of the configuration", ANSWER_WITHIN, || order.is_done().then_some(()))
}

/// What is in force, or what one member has.
pub(super) fn export(desk: &Desk, local: bool) -> Result<(u64, Document), LabError> {
    let words: &[&str] =
        if local { &["export", "--json", "--local"] } else { &["export", "--json"] };
    let errand = desk.send(words);
    let text = errand.answer(ANSWER_WITHIN).ok_or_else(|| LabError::Timeout {
        what: "a configuration".to_owned(),
        limit: ANSWER_WITHIN,
    })??;
    let json = parsed(&text)?;
    let revision = json["revision"].as_u64().unwrap_or_default();
    Ok((revision, Document::parse(json["toml"].as_str().unwrap_or_default())?))
}

/// Every member's own state and every director's kernel, when nobody changes anything any more.
pub(super) fn look(
    world: &World,
    stage: &Stage,
    failures: &mut Vec<LabError>,
) -> Result<Final, LabError> {
    let members = 0..world.site.members;
    let desks: Vec<Desk> = members.map(|member| world.cluster.desk(member)).collect();
    // One that does not answer is no reason to look at nobody.
    let (newest, _) = until("the configuration in force", REST_WITHIN, || {
        desks.iter().find_map(|desk| export(desk, false).ok())
    })?;
    let alike = until("every member to have the last revision", ANSWER_WITHIN, || {
        desks.iter().all(|desk| export(desk, true).is_ok_and(|(it, _)| it == newest)).then_some(())
    });
    // Where they differ, what they have is the evidence.
    drop(alike);
    let mut end = Final::default();
    for (desk, node) in desks.iter().zip(world.cluster.nodes()) {
        let what = format!("what {} has", node.name);
        let (revision, document) = until(&what, SETTLED_WITHIN, || export(desk, true).ok())?;
        let (history, dropped_up_to) = until(&what, SETTLED_WITHIN, || kept(desk).ok())?;
        end.members.push(Member {
            name: node.name.clone(),
            in_force: Version { revision, value: document.value() },
            history,
            dropped_up_to,
        });
    }
    // An address may be on its way to where it is preferred: what stays wrong is wrong.
    let mut unread = None;
    let _ = until("the kernels to be as planned", SETTLED_WITHIN, || {
        match kernels(world, stage) {
            Ok((plan, kernels)) => (end.plan, end.kernels, unread) = (plan, kernels, None),
            Err(error) => {
                unread = Some(error);
                return None;
            }
        }
        let found = Run { setup: stage.setup.clone(), end: Some(end.clone()), ..Run::default() };
        let judged = check::CHECKERS.iter().find(|it| it.name == "convergence")?;
        ((judged.judge)(&found).verdict == Verdict::Valid).then_some(())
    });
    failures.extend(unread);
    Ok(end)
}

/// The plan as the members have it, and what each director's kernel has.
fn kernels(world: &World, stage: &Stage) -> Result<(Planned, Vec<Kernel>), LabError> {
    let plan = planned(world, &stage.vips)?;
    let mut kernels = Vec::new();
    for (nth, node) in world.cluster.nodes()[..world.site.directors].iter().enumerate() {
        let gates = fence::gates(&node.host, &world.cluster.pin_dir(nth)?)?;
        let text = node.host.ip("-o addr show")?;
        let bound =
            |vip: &&IpAddr| text.split_whitespace().any(|it| it.starts_with(&format!("{vip}/")));
        kernels.push(Kernel {
            node: node.name.clone(),
            taken_ns: now_ns(),
            addresses: stage.vips.iter().filter(bound).copied().collect(),
            gates: gates.into_iter().filter(|(vip, _)| stage.vips.contains(vip)).collect(),
            ..Kernel::default()
        });
    }
    Ok((plan, kernels))
}

fn kept(desk: &Desk) -> Result<(Vec<Config>, u64), LabError> {
    let json = parsed(&desk.cli(&["history", "--json", "--local"])?)?;
    let one = |entry: &Value| {
        let value = entry["message"].as_str().and_then(|text| text.parse().ok());
        Some(Config { revision: entry["revision"].as_u64()?, value })
    };
    let all = json["revisions"].as_array().into_iter().flatten().filter_map(one).collect();
    Ok((all, json["dropped"].as_u64().unwrap_or_default()))
}

/// Who is to hold each VIP, as the members have it.
fn planned(world: &World, vips: &[IpAddr]) -> Result<Planned, LabError> {
    let status = world.cluster.wait_for("a status", |this| this.status(this.any_up().ok()?))?;
    let mut holders = BTreeMap::new();
    for instance in status["instances"].as_array().into_iter().flatten() {
        let Some(holder) = instance["holder"].as_str() else { continue };
        let all = instance["vips"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for text in all {
            let vip = text.split('/').next().and_then(|text| text.parse::<IpAddr>().ok());
            if let Some(vip) = vip.filter(|vip| vips.contains(vip)) {
                holders.insert(vip, holder.to_owned());
            }
        }
    }
    Ok(Planned { holders, services: BTreeMap::new() })
}

fn parsed(text: &str) -> Result<Value, LabError> {
    serde_json::from_str(text).map_err(|error| LabError::Argument(format!("{error}: {text}")))
}

/// Writes everything down and says what it comes to.
pub(super) fn judge(
    settings: &Settings,
    stage: &Stage,
    active: &Active,
    seen: Seen,
    rest: Rest,
    last: Result<Final, LabError>,
) -> Result<Report, LabError> {
    let history = stage.recorder.history();
    let mut report = Report::new(settings, &stage.folder, active, &history, rest.0);
    report.failures.extend(seen.failures.iter().map(ToString::to_string));
    let end = last.map_err(|error| report.failures.push(error.to_string())).ok();
    report.weigh(&seen.observation);
    let (still, wandering) = apart(seen.observation, stage.wanderer());
    let neighbours = BTreeMap::from([("client".to_owned(), still)]);
    let observations = Observations { neighbours, told: seen.told, ..Observations::default() };
    let run = Run { setup: stage.setup.clone(), history, observations, end };
    report.judged = check::all(&run);
    let wanderer = Observations {
        neighbours: BTreeMap::from([("client".to_owned(), wandering.clone())]),
        ..Observations::default()
    };
    report.wanderer = Some(alone(&run, stage.wanderer(), wandering));
    let written = Folder::new(&stage.folder).write("wanderer.jsonl", &wanderer.to_lines());
    written
        .and_then(|()| write(&stage.folder, &run, &report))
        .map_err(|error| LabError::Argument(error.to_string()))?;
    Ok(report)
}

/// What was seen of the wanderer, and of all others: judges take a VIP to be of one group.
fn apart(mut seen: Observation, wanderer: IpAddr) -> (Observation, Observation) {
    let mut wandering = Observation { records: BTreeMap::new(), ..seen.clone() };
    wandering.records.extend(seen.records.remove_entry(&wanderer));
    (seen, wandering)
}

/// Whether two ever answered for the wanderer, by what was on the wire alone.
fn alone(run: &Run, wanderer: IpAddr, seen: Observation) -> Judged {
    let neighbours = BTreeMap::from([("client".to_owned(), seen)]);
    let vips = BTreeMap::from([(wanderer, "nobody's for long".to_owned())]);
    // No grant is of one address.
    let setup = Setup { vips, grants_complete: false, ..run.setup.clone() };
    let observations = Observations { neighbours, ..Observations::default() };
    let of_it = Run { setup, history: run.history.clone(), observations, end: None };
    (check::CHECKERS[0].judge)(&of_it)
}

/// The record, and what people read of it.
pub(super) fn write(folder: &Path, run: &Run, report: &Report) -> Result<(), FolderError> {
    let folder = Folder::new(folder);
    folder.write_setup(&run.setup)?;
    folder.write_history(&run.history)?;
    folder.write_observations(&run.observations)?;
    if let Some(end) = &run.end {
        folder.write_final(end)?;
    }
    folder.write("report.md", &report.to_string())?;
    folder.write("faults.md", &report.timeline())?;
    crate::report::write(&folder, run, &report.judged)
}
