//! What is said to bad input: every line as an operator sees it, in `data/refusals.txt`.
//!
//! `LEASEHOLD_REWRITE=1` writes the file anew; the difference is for a reviewer to read.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use leasehold_lab::cluster::{Cluster, Plan};
use leasehold_lab::{Host, LabError, Result, find_binary};

struct Desk {
    cluster: Cluster,
    binary: PathBuf,
    root: PathBuf,
    said: String,
}

impl Desk {
    fn new() -> Result<Desk> {
        let binary = find_binary()?;
        let cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(binary.clone()) })?;
        let root = cluster.nodes()[0].data_dir.parent().expect("a parent").to_owned();
        Ok(Desk { cluster, binary, root, said: String::new() })
    }

    fn host(&self) -> &Host {
        &self.cluster.nodes()[0].host
    }

    fn output(&self, data_dir: &Path, words: &[&str], user: Option<&str>) -> Result<Output> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.host().path().display()));
        if let Some(user) = user {
            command.args(["--setuid", user]);
        }
        command.arg(&self.binary).arg("--data-dir").arg(data_dir).args(words);
        // Colour and log lines would differ from run to run.
        command.env("RUST_LOG", "off");
        command.output().map_err(|error| LabError::Argument(error.to_string()))
    }

    /// Notes what a command says and how it exits.
    fn ask(&mut self, what: &str, data_dir: &str, words: &[&str]) -> Result<()> {
        let output = self.output(&self.root.join(data_dir), words, None)?;
        self.note(what, &output);
        Ok(())
    }

    fn apply(&mut self, what: &str, name: &str, text: &str) -> Result<()> {
        let file = self.root.join(name);
        fs::write(&file, text).expect("a file in the test's directory");
        let file = file.display().to_string();
        self.ask(what, "ds1", &["apply", &file])
    }

    fn note(&mut self, what: &str, output: &Output) {
        let root = self.root.display().to_string();
        let cluster = fs::read_to_string(self.root.join("ds1/node.json")).expect("node.json");
        let cluster =
            cluster.split("\"cluster\": \"").nth(1).and_then(|rest| rest.split('"').next());
        let mut text = String::from_utf8_lossy(&output.stderr).replace(&root, "DIR");
        if let Some(cluster) = cluster {
            text = text.replace(cluster, "CLUSTER");
        }
        let pid = self.cluster.daemon(0).expect("a daemon").pid().to_string();
        let text = text.replace(&format!("process {pid}"), "process PID");
        let text = text.replace(&format!("pid {pid}"), "pid PID");
        let text = without_revision(&text);
        let code =
            output.status.code().map_or_else(|| "signal".to_owned(), |code| code.to_string());
        write!(self.said, "# {what} (exit {code})\n{}\n\n", text.trim_end())
            .expect("writing to a string can't fail");
    }
}

/// How long the log is depends on elections.
fn without_revision(text: &str) -> String {
    let Some((before, rest)) = text.split_once("at revision ") else { return text.to_owned() };
    let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    format!("{before}at revision N{rest}")
}

fn instance(extra: &str) -> String {
    format!("[instance.VI_1]\nvirtual_router_id = 88\ninterface = \"eth0\"\n{extra}\n")
}

const VIP: &str = "virtual_ipaddress = [\"192.168.1.100/24\"]";

fn configurations(desk: &mut Desk) -> Result<()> {
    desk.apply("TOML that is none", "a.toml", "[instance.VI_1\n")?;
    desk.apply("an unknown key", "b.toml", &instance(&format!("{VIP}\nvirtual_roter_id = 3")))?;
    desk.apply("a wrong type", "c.toml", &instance(&format!("{VIP}\npriority = \"high\"")))?;
    desk.apply(
        "a router id out of range",
        "d.toml",
        &format!("[instance.a]\nvirtual_router_id = 256\ninterface = \"eth0\"\n{VIP}\n"),
    )?;
    desk.apply("a priority out of range", "e.toml", &instance(&format!("{VIP}\npriority = 0")))?;
    desk.apply("no address", "f.toml", &instance("virtual_ipaddress = []"))?;
    desk.apply("no such address", "g.toml", &instance("virtual_ipaddress = [\"192.168.1.300\"]"))?;
    desk.apply("a multicast address", "h.toml", &instance("virtual_ipaddress = [\"224.0.0.1\"]"))?;
    let twice = "virtual_ipaddress = [\"192.168.1.100/24\", \"192.168.1.100/24\"]";
    desk.apply("an address twice", "i.toml", &instance(twice))?;
    let mixed = "virtual_ipaddress = [\"192.168.1.100/24\", \"fd00::1/64\"]";
    desk.apply("families mixed", "j.toml", &instance(mixed))?;
    desk.apply(
        "no such prefix",
        "k.toml",
        &instance("virtual_ipaddress = [\"192.168.1.100/33\"]"),
    )?;
    let label =
        "virtual_ipaddress = [{ address = \"192.168.1.100\", prefix = 24, label = \"other:1\" }]";
    desk.apply("a label of another interface", "l.toml", &instance(label))?;
    desk.apply("braces that do not close", "m.conf", "vrrp_instance VI_1 {\n    interface eth0\n")?;
    desk.apply(
        "keywords not served, and one that is unknown",
        "n.conf",
        "vrrp_instance VI_1 {\n    interface eth0\n    virtual_router_id 88\n    colour blue\n    \
         track_script {\n        check\n    }\n    virtual_ipaddress {\n        192.168.1.100/24\n    }\n}\n",
    )?;
    desk.apply("a name that tells no format", "o.txt", VIP)?;
    desk.ask("a file that is not there", "ds1", &["apply", "/nonexistent.toml"])?;
    desk.apply("a good one, to compare with", "p.toml", &instance(VIP))?;
    let good = desk.root.join("p.toml").display().to_string();
    desk.ask("a revision that has passed", "ds1", &["apply", &good, "--if-revision", "1"])?;
    desk.ask("import without a node's name", "ds1", &["import", "ds1.conf"])
}

fn commands(desk: &mut Desk) -> Result<()> {
    desk.ask("no such instance", "ds1", &["explain", "VI_9"])?;
    desk.ask("no such instance to move", "ds1", &["move", "VI_9", "--to", "ds1"])?;
    desk.ask("no such node to move to", "ds1", &["move", "VI_1", "--to", "ds9"])?;
    desk.ask("no such node to drain", "ds1", &["drain", "ds9"])?;
    desk.ask("the last voter", "ds1", &["member", "remove", "ds1"])?;
    desk.ask("no such command", "ds1", &["frobnicate"])?;
    desk.ask("no daemon", "empty", &["status"])
}

fn beginnings(desk: &mut Desk) -> Result<()> {
    let init = ["init", "--name", "x", "--listen", "192.168.1.1:7500"];
    desk.ask("a directory that is a node already", "ds1", &init)?;
    desk.ask(
        "a listen address that is everyone's",
        "n1",
        &["init", "--name", "x", "--listen", "0.0.0.0:7400"],
    )?;
    desk.ask(
        "a listen address without a port",
        "n1",
        &["init", "--name", "x", "--listen", "192.168.1.1"],
    )?;
    desk.ask(
        "a name with a blank",
        "n1",
        &["init", "--name", "x y", "--listen", "192.168.1.1:7500"],
    )?;
    let join = |token| {
        [
            "join",
            "--name",
            "x",
            "--listen",
            "192.168.1.1:7500",
            "--token",
            token,
            "192.168.1.1:7400",
        ]
    };
    desk.ask("a token that is none", "n1", &join("hello"))?;
    desk.ask("a directory that is no node", "n1", &["run"])?;
    desk.ask("a second daemon", "ds1", &["run"])?;
    // Another node of its own, whose port the first one's daemon has.
    desk.ask(
        "(a node with the same port)",
        "n2",
        &["init", "--name", "x", "--listen", "192.168.1.1:7400"],
    )?;
    desk.ask("a port in use", "n2", &["run"])?;
    desk.ask(
        "(a node with another machine's address)",
        "n3",
        &["init", "--name", "x", "--listen", "192.168.1.99:7400"],
    )?;
    desk.ask("an address of another machine", "n3", &["run"])?;
    let user = desk.output(&desk.root.join("n3"), &["run"], Some("65534"))?;
    desk.note("not root", &user);
    let settings = desk.root.join("n3/node.json");
    fs::write(&settings, "{").expect("the test's own file");
    desk.ask("damaged settings", "n3", &["run"])?;
    let node = desk.root.join("n2/store/raft");
    fs::create_dir_all(&node).expect("the test's own directory");
    fs::write(node.join("log.redb"), "this is no database").expect("the test's own file");
    desk.ask("a damaged store", "n2", &["run"])
}

#[test]
fn every_refusal_says_what_where_and_what_to_do() -> Result<()> {
    let mut desk = Desk::new()?;
    configurations(&mut desk)?;
    commands(&mut desk)?;
    beginnings(&mut desk)?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/refusals.txt");
    if std::env::var_os("LEASEHOLD_REWRITE").is_some() {
        fs::write(&file, &desk.said).expect("the file is writable");
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(desk.said, expected, "if the new words are better: LEASEHOLD_REWRITE=1");
    Ok(())
}
