//! Who changed what, when and why: history, differences, rollback, conflicts, plans and the watch.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan, SOON};
use leasehold_lab::{LabError, Process, Program, Result, Signal, find_binary};
use serde_json::Value;

/// One instance and one virtual server, at the end of which real servers can be added.
fn document(weight: u16, more: &str) -> String {
    format!(
        "[instance.VI_1]\nvirtual_router_id = 51\ninterface = \"eth0\"\npriority = 100\n\
         virtual_ipaddress = [\"192.168.1.100/24\"]\n{more}\n\
         [[virtual_server]]\naddress = \"192.168.1.100:80\"\nlb_algo = \"rr\"\n\
         [[virtual_server.real_server]]\naddress = \"10.9.0.1:80\"\nweight = {weight}\n"
    )
}

struct Desk {
    cluster: Cluster,
    /// For files; of one member's data directory it is the parent.
    root: PathBuf,
}

impl Desk {
    fn new() -> Result<Desk> {
        let cluster = Cluster::start(&Plan::new(find_binary()?))?;
        let root = cluster.nodes()[0].data_dir.parent().expect("a parent").to_owned();
        Ok(Desk { cluster, root })
    }

    /// The words that apply this text, kept in a file of this name.
    fn file(&self, name: &str, text: &str) -> String {
        let file = self.root.join(format!("{name}.toml"));
        fs::write(&file, text).expect("a file in the test's directory");
        file.display().to_string()
    }

    /// Applies by way of `director`; the revision that is then in force.
    fn apply(&self, director: usize, text: &str, message: &str) -> Result<u64> {
        let file = self.file("document", text);
        let said = self.cluster.cli(director, &["apply", &file, "-m", message, "--json"])?;
        number(&json(&said), "revision")
    }

    fn history(&self, director: usize, words: &[&str]) -> Result<Value> {
        let said = self.cluster.cli(director, &[&["history", "--json"], words].concat())?;
        Ok(json(&said)["revisions"].clone())
    }

    /// What a command is refused with, without what the shell around it adds.
    fn refused(&self, director: usize, words: &[&str]) -> String {
        let error = self.cluster.cli(director, words).expect_err("it is refused").to_string();
        let line = error.lines().find_map(|line| line.split_once("leasehold: "));
        line.map_or_else(|| error.clone(), |(_, line)| line.to_owned())
    }

    fn leader(&self) -> Result<usize> {
        self.cluster.wait_for("a leader", Cluster::leader)
    }

    fn follower(&self) -> Result<usize> {
        let leader = self.leader()?;
        Ok((0..3).find(|one| *one != leader).expect("there are three"))
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn number(of: &Value, key: &str) -> Result<u64> {
    of[key].as_u64().ok_or_else(|| LabError::Argument(format!("no {key} in {of}")))
}

fn told(history: &Value) -> Vec<(u64, String, String)> {
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let all = history.as_array().into_iter().flatten();
    all.map(|one| {
        let revision = one["revision"].as_u64().unwrap_or_default();
        (revision, text(one, "author"), text(one, "message"))
    })
    .collect()
}

const ROOT: &str = "uid 0 (root)";

fn entry(revision: u64, author: &str, message: &str) -> (u64, String, String) {
    (revision, author.to_owned(), message.to_owned())
}

#[test]
fn history_diff_and_rollback_outlive_every_daemon() -> Result<()> {
    let mut desk = Desk::new()?;
    let (leader, follower) = (desk.leader()?, desk.follower()?);
    let none = desk.refused(follower, &["diff", "1"]);
    assert_eq!(none, "there is no revision 1: no configuration was ever applied");
    let first = desk.apply(follower, &document(1, ""), "first")?;
    let second = desk.apply(leader, &document(5, ""), "more weight\n\nfor Monday")?;
    let same = desk.apply(leader, &document(5, ""), "nothing new")?;
    assert_eq!(same, second, "it is the document in force already");
    let expected = [entry(second, ROOT, "more weight\n\nfor Monday"), entry(first, ROOT, "first")];
    assert_eq!(told(&desk.history(follower, &[])?), expected);

    let table = desk.cluster.cli(follower, &["history"])?;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("REVISION") && lines[0].ends_with("MESSAGE"), "{table}");
    assert!(lines[1].starts_with(&second.to_string()), "{table}");
    assert!(lines[1].ends_with("uid 0 (root)  more weight"), "{table}");

    let difference = desk.cluster.cli(follower, &["diff", &first.to_string()])?;
    let lines: Vec<&str> = difference.lines().collect();
    assert!(lines[0].starts_with(&format!("--- revision {first}\t")), "{difference}");
    assert!(lines[0].ends_with("\tuid 0 (root)\tfirst"), "{difference}");
    assert!(lines[1].starts_with(&format!("+++ revision {second}\t")), "{difference}");
    let changed: Vec<&&str> =
        lines[2..].iter().filter(|line| line.starts_with(['+', '-'])).collect();
    assert_eq!(changed, [&"+weight = 5"], "a weight of 1 is left out: {difference}");

    for index in 0..3 {
        desk.cluster.daemon(index)?.kill_tree()?;
        desk.cluster.mark_down(index);
    }
    for index in 0..3 {
        desk.cluster.run(index)?;
    }
    desk.cluster.wait_for_voters()?;
    assert_eq!(told(&desk.history(follower, &[])?), expected, "after all were killed");
    desk.cluster.wait_for("every member to have it", |_| {
        let has = |index| {
            let local = desk.history(index, &["--local"]);
            local.is_ok_and(|local| told(&local) == expected)
        };
        (0..3).all(has).then_some(())
    })?;

    rollback(&desk, first, second)
}

/// Back to the first of two revisions, by way of a director that does not lead.
fn rollback(desk: &Desk, first: u64, second: u64) -> Result<()> {
    let follower = desk.follower()?;
    let old = desk.cluster.cli(follower, &["export", "--revision", &first.to_string()])?;
    let dry = desk.cluster.cli(follower, &["rollback", &first.to_string(), "--dry-run"])?;
    assert_eq!(
        dry,
        format!(
            "revision {first} would replace revision {second}\n\
             ~ virtual server 192.168.1.100:80\n    ~ real server 10.9.0.1:80\n        \
             weight: - 5\nnothing would move, as directors report themselves now\n"
        )
    );
    let expected = first.to_string();
    let words = ["rollback", expected.as_str(), "--if-revision", expected.as_str()];
    let conflict = desk.refused(follower, &words);
    let start = format!(
        "the configuration is at revision {second}, not {first}: uid 0 (root) changed it at 20"
    );
    let end = format!(
        " UTC, \"more weight\"; look with `leasehold diff {first}`, and apply your change to what \
         is in force now"
    );
    assert!(conflict.starts_with(&start) && conflict.ends_with(&end), "{conflict}");

    let said = desk.cluster.cli(follower, &["rollback", &expected, "--json"])?;
    let third = number(&json(&said), "revision")?;
    assert!(third > second);
    assert_eq!(desk.cluster.cli(follower, &["export"])?, old);
    let all = told(&desk.history(follower, &["--limit", "1"])?);
    assert_eq!(all, [entry(third, ROOT, &format!("rollback to revision {first}"))]);

    let beyond = (third + 1000).to_string();
    let why = desk.refused(follower, &["rollback", &beyond]);
    assert_eq!(why, format!("there is no revision {beyond} yet: {third} is in force"));
    let before = (first - 1).to_string();
    let why = desk.refused(follower, &["export", "--revision", &before]);
    let oldest = format!("the oldest that is kept is {first}");
    assert_eq!(why, format!("revision {before} is not kept, if there was one: {oldest}"));
    empty(desk, third)
}

/// One that takes every VIP away is put in force only where that is said.
fn empty(desk: &Desk, before: u64) -> Result<()> {
    let file = desk.file("empty", "");
    desk.cluster.cli(0, &["apply", &file, "--allow-empty"])?;
    let all = told(&desk.history(0, &[])?);
    let empty = all[0].0.to_string();
    desk.cluster.cli(0, &["rollback", &before.to_string()])?;
    let why = desk.refused(0, &["rollback", &empty]);
    let what = "configures no instance, and would take every VIP away: if that is meant, say \
                --allow-empty";
    assert_eq!(why, format!("revision {empty} {what}"));
    desk.cluster.cli(0, &["rollback", &empty, "--allow-empty", "-m", "away"])?;
    assert_eq!(told(&desk.history(0, &[])?)[0].2, "away");
    Ok(())
}

#[test]
fn a_client_is_named_by_its_certificate_wherever_it_asks() -> Result<()> {
    let desk = Desk::new()?;
    let certificate = desk.cluster.cli(0, &["member", "certificate", "ops"])?;
    let file = desk.root.join("ops.pem");
    fs::write(&file, certificate).expect("a file in the test's directory");
    let file = file.display().to_string();
    // One that does not lead passes it on.
    let follower = desk.follower()?;
    let address = desk.cluster.peer_address(follower)?;
    let toml = desk.file("document", &document(1, ""));
    let words =
        ["--connect", &address, "--certificate", &file, "apply", &toml, "--dry-run", "-m", "x"];
    desk.cluster.cli(follower, &words)?;
    let words = ["--connect", &address, "--certificate", &file, "apply", &toml, "-m", "x"];
    desk.cluster.cli(follower, &words)?;
    let all = told(&desk.history(follower, &[])?);
    assert_eq!((all[0].1.as_str(), all[0].2.as_str()), ("client ops", "x"));
    let long = "x".repeat(1025);
    let why = desk.refused(follower, &["apply", &toml, "-m", &long]);
    assert_eq!(why, "the message has 1025 bytes: at most 1024 are kept with a revision");
    Ok(())
}

const WRITERS: usize = 8;
const WRITES: usize = 4;

/// Each adds real servers of its own to what it has read, and tries again where it was late.
#[test]
fn of_many_writers_at_once_none_loses_an_update() -> Result<()> {
    let desk = Desk::new()?;
    let first = desk.apply(0, &document(1, ""), "first")?;
    let conflicts = AtomicUsize::new(0);
    let write = |writer: usize| -> Result<()> {
        for step in 0..WRITES {
            let address = format!("10.9.{}.{}:80", writer + 1, step + 1);
            let (director, message) = ((writer + step) % 3, format!("adds {address}"));
            loop {
                let read = json(&desk.cluster.cli(director, &["export", "--json"])?);
                let toml = read["toml"].as_str().expect("a document");
                let real = format!("\n[[virtual_server.real_server]]\naddress = \"{address}\"\n");
                let file = desk.file(&format!("writer-{writer}"), &(toml.to_owned() + &real));
                let revision = number(&read, "revision")?.to_string();
                let words = ["apply", &file, "--if-revision", &revision, "-m", &message];
                let Err(error) = desk.cluster.cli(director, &words) else { break };
                let late = format!(", not {revision}: uid 0 (root) changed it at 20");
                assert!(error.to_string().contains(&late), "{error}");
                conflicts.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let write = &write;
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().try_for_each(|one| one.join().expect("no panic"))
    })?;
    let conflicts = conflicts.into_inner();
    println!("{WRITERS} writers, {WRITES} writes each, {conflicts} conflicts");
    assert!(conflicts > 0, "they did not meet: that shows nothing");

    let export = desk.cluster.cli(0, &["export"])?;
    let mut messages: Vec<String> =
        told(&desk.history(1, &[])?).into_iter().map(|(.., message)| message).collect();
    assert_eq!(messages.pop().as_deref(), Some("first"), "revision {first}");
    messages.sort();
    let mut expected = Vec::new();
    for (writer, step) in (1..=WRITERS).flat_map(|one| (1..=WRITES).map(move |step| (one, step))) {
        let address = format!("10.9.{writer}.{step}:80");
        assert!(export.contains(&format!("\"{address}\"")), "{address} is lost:\n{export}");
        expected.push(format!("adds {address}"));
    }
    expected.sort();
    assert_eq!(messages, expected, "each is one revision, and no other is");
    Ok(())
}

fn follow(desk: &Desk, director: usize, words: &[&str]) -> Result<Process> {
    let node = &desk.cluster.nodes()[director];
    Program::new("history --follow", find_binary()?)
        .arg("--data-dir")
        .arg(&node.data_dir)
        .args(["history", "--follow"])
        .args(words)
        .start(&node.host)
}

#[test]
fn a_watch_tells_every_revision_and_ends_with_its_node() -> Result<()> {
    let mut desk = Desk::new()?;
    let follower = desk.follower()?;
    let first = desk.apply(0, &document(1, ""), "first")?;
    let all = follow(&desk, follower, &[])?;
    let line = all.wait_for_line("first", SOON)?;
    assert!(line.starts_with(&format!("{first}  20")), "{line}");
    let came = "UTC  uid 0 (root)  [+instance VI_1, +virtual server 192.168.1.100:80]  first";
    assert!(line.ends_with(came), "{line}");

    let second = desk.apply(0, &document(5, ""), "second")?;
    let line = all.wait_for_line("second", SOON)?;
    assert!(line.starts_with(&format!("{second}  ")), "{line}");
    assert!(line.ends_with("[~virtual server 192.168.1.100:80]  second"), "{line}");
    // One that knows the first begins after it, and may be a program.
    let late = follow(&desk, follower, &["--from", &first.to_string(), "--json"])?;
    let event = json(&late.wait_for_line("second", SOON)?);
    assert_eq!(event["revision"], second);
    let item = &event["changed"][0];
    assert_eq!((&item["kind"], &item["what"]), (&"virtual_server".into(), &"changed".into()));
    assert!(!late.output().iter().any(|line| line.contains("first")));

    desk.cluster.daemon(follower)?.kill(Signal::SIGTERM)?;
    for watcher in [&all, &late] {
        watcher.wait_for_line("leasehold: this node is stopping: watch another member", SOON)?;
        assert_eq!(watcher.wait(SOON)?.code(), Some(1));
    }
    desk.cluster.daemon(follower)?.wait(Duration::from_secs(10))?;
    desk.cluster.mark_down(follower);
    Ok(())
}

#[test]
fn a_plan_says_what_changes_and_where_everything_goes() -> Result<()> {
    let desk = Desk::new()?;
    desk.apply(0, &document(1, ""), "first")?;
    let holder = desk.cluster.wait_for_holder("VI_1")?;
    let (from, to) = (holder, (holder + 1) % 3);
    let name = |index: usize| desk.cluster.nodes()[index].name.clone();
    let (from, to) = (name(from), name(to));
    let more = format!(
        "[instance.VI_1.director.{to}]\npriority = 200\n[instance.VI_2]\nvirtual_router_id = 52\n\
         interface = \"eth9\"\npriority = 100\nvirtual_ipaddress = [\"192.168.1.101/24\"]\n"
    );
    let file = desk.file("document", &document(1, &more));
    let follower = desk.follower()?;
    let revision = told(&desk.history(0, &[])?)[0].0;
    let said = desk.cluster.cli(follower, &["apply", &file, "--dry-run"])?;
    let expected = format!(
        "{file} would replace revision {revision}\n\
         ~ instance VI_1\n    director.{to}.priority: + 200\n\
         + instance VI_2: 192.168.1.101/24\n\
         would move, as directors report themselves now:\n  \
         VI_1: {from} -> {to} ({to} has the higher priority)\n  \
         VI_2: nobody -> nobody (no director can hold it: ds1: interface eth9 is down or missing; \
         ds2: interface eth9 is down or missing; ds3: interface eth9 is down or missing)\n"
    );
    assert_eq!(said, expected);
    let plan = json(&desk.cluster.cli(follower, &["apply", &file, "--dry-run", "--json"])?);
    assert_eq!(plan["revision"], revision);
    assert_eq!(plan["plan"]["moves"][0]["to"], to.as_str());
    assert_eq!(plan["plan"]["changes"][1]["name"], "VI_2");
    assert_eq!(told(&desk.history(0, &[])?).len(), 1, "nothing was changed");

    // What was foretold happens.
    desk.cluster.cli(follower, &["apply", &file, "-m", "as planned"])?;
    desk.cluster.wait_for(&format!("VI_1 to be at {to}"), |this| {
        (this.holder("VI_1").map(&name)? == to).then_some(())
    })
}
