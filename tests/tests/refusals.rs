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

/// How long the log is depends on elections; and it says when it was changed.
fn without_revision(text: &str) -> String {
    let Some((before, rest)) = text.split_once("at revision ") else { return text.to_owned() };
    let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let when = rest.split_once("changed it at ").zip(rest.split_once(" UTC"));
    let rest = when.map_or_else(
        || rest.to_owned(),
        |((who, _), (_, what))| format!("{who}changed it at TIME UTC{what}"),
    );
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
         track_bfd {\n        check\n    }\n    virtual_ipaddress {\n        192.168.1.100/24\n    }\n}\n",
    )?;
    desk.apply("a name that tells no format", "o.txt", VIP)?;
    desk.ask("a file that is not there", "ds1", &["apply", "/nonexistent.toml"])?;
    desk.apply("a good one, to compare with", "p.toml", &instance(VIP))?;
    let good = desk.root.join("p.toml").display().to_string();
    desk.ask("a revision that has passed", "ds1", &["apply", &good, "--if-revision", "1"])?;
    desk.ask("import without a node's name", "ds1", &["import", "ds1.conf"])
}

/// Each with one fault, in an instance of which the rest is good.
const VRRP: [(&str, &str); 22] = [
    ("VRRPv2 with a fraction", "version = 2\nadvert_int_ms = 500"),
    ("a group that is none", "mcast_dst_ip = \"192.168.1.9\""),
    ("a peer of the other family", "unicast_peer = [\"fd00::2\"]"),
    ("a VIP as a peer", "unicast_peer = [\"192.168.1.100\"]"),
    ("unicast from a virtual MAC", "unicast_peer = [\"192.168.1.9\"]\nuse_vmac = true"),
    ("a virtual MAC with too long a name", "use_vmac = { name = \"a-name-of-sixteen\" }"),
    ("an unknown policy", "foreign_master = \"fight\""),
    ("a route that leads nowhere", "virtual_routes = [\"10.0.0.0/8 metric 5\"]"),
    ("a route with bits too many", "virtual_routes = [\"10.0.0.1/8 via 192.168.1.9\"]"),
    ("a route with an unknown word", "virtual_routes = [\"10.0.0.0/8 vai 192.168.1.9\"]"),
    ("a rule without a table", "virtual_rules = [\"from 192.168.1.100\"]"),
    ("an address excluded and listed", "virtual_ipaddress_excluded = [\"192.168.1.100/24\"]"),
    ("an unknown script", "track_script = { haproxy = -20 }"),
    ("a weight too far", "track_interface = { eth1 = -254 }"),
    ("a script with a relative path", "notify_master = \"bin/up\""),
    ("a group without a user", "notify = { command = \"/bin/up\", group = \"ops\" }"),
    ("a sync group of nobody", "[sync_group.g]\nmembers = [\"VI_1\", \"VI_9\"]"),
    ("a script that never runs", "[script.s]\nscript = \"/bin/true\"\ninterval_ms = 0"),
    ("a file with a relative path", "[file.f]\nfile = \"run/f\""),
    ("an address without an @", "[global.alerts]\nnotification_email = [\"root\"]"),
    ("a relay that is none", "[global.alerts]\nsmtp_server = \"mail example\""),
    ("a webhook by TLS", "[global.alerts]\nwebhook = [\"https://example.org/\"]"),
];

fn vrrp(desk: &mut Desk) -> Result<()> {
    for (what, more) in VRRP {
        desk.apply(what, "v.toml", &instance(&format!("{VIP}\n{more}")))?;
    }
    Ok(())
}

/// Each with one fault: what is written of the virtual server, and of its real servers.
const VIRTUAL_SERVERS: [(&str, &str, &str); 20] = [
    ("an unknown scheduler", "lb_algo = \"fastest\"", ""),
    ("an unknown forwarding method", "lb_kind = \"FNAT\"", ""),
    ("an unknown protocol", "protocol = \"icmp\"", ""),
    ("families mixed behind NAT", "", "{ address = \"[fd00::7]:80\" }"),
    ("a weight out of range", "", "{ address = \"10.9.0.1:80\", weight = 65536 }"),
    ("a weight below none", "", "{ address = \"10.9.0.1:80\", weight = -1 }"),
    ("a real server twice", "", "{ address = \"10.9.0.1:80\" }, { address = \"10.9.0.1:80\" }"),
    ("a real server without a port", "", "{ address = \"10.9.0.1\" }"),
    ("a multicast real server", "", "{ address = \"224.0.0.1:80\" }"),
    ("DR with a port change", "lb_kind = \"DR\"", "{ address = \"192.168.1.7:8080\" }"),
    (
        "limits the wrong way round",
        "",
        "{ address = \"10.9.0.1:80\", uthreshold = 5, lthreshold = 9 }",
    ),
    ("ops with TCP", "ops = true", ""),
    ("a flag of another scheduler", "lb_algo = \"rr\"\nflags = [\"sh-port\"]", ""),
    ("a granularity out of range", "persistence_timeout = 9\npersistence_granularity = 33", ""),
    ("an unknown engine", "persistence_timeout = 9\npersistence_engine = \"http\"", ""),
    ("a quorum of none", "quorum = 0", ""),
    ("a hysteresis above the quorum", "quorum = 2\nhysteresis = 2", ""),
    ("an unknown instance", "instance = \"VI_9\"", ""),
    ("an unknown key", "persistance_timeout = 9", ""),
    ("an unknown check", "", "{ address = \"10.9.0.1:80\", check = [{ type = \"pong\" }] }"),
];

fn virtual_servers(desk: &mut Desk) -> Result<()> {
    let server = |more: &str, real: &str| {
        format!(
            "[[virtual_server]]\naddress = \"192.168.1.100:80\"\n{more}\nreal_server = [{real}]\n"
        )
    };
    for (what, more, real) in VIRTUAL_SERVERS {
        let text = instance(VIP) + &server(more, real);
        desk.apply(what, "s.toml", &text)?;
    }
    let twice = instance(VIP) + &server("", "") + &server("", "");
    desk.apply("a service twice", "s.toml", &twice)?;
    let every = instance(VIP) + &server("", "").replace(":80", ":0");
    desk.apply("port 0 without persistence", "s.toml", &every)?;
    let mark = "[[virtual_server]]\nfwmark = 0\nreal_server = []\n";
    desk.apply("a mark that is none", "s.toml", &(instance(VIP) + mark))?;
    let group = "[[virtual_server]]\ngroup = \"web\"\nreal_server = []\n";
    desk.apply("an unknown group", "s.toml", &(instance(VIP) + group))?;
    let realserver = |words: &[&'static str]| [&["realserver", "up", "--vip"], words].concat();
    desk.ask("realserver, no address", "ds1", &realserver(&["web", "--mode", "dr"]))?;
    desk.ask("realserver, a loopback VIP", "ds1", &realserver(&["127.0.0.1", "--mode", "dr"]))?;
    desk.ask("realserver, no such mode", "ds1", &realserver(&["10.0.0.1", "--mode", "dnat"]))
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

fn real_servers(desk: &mut Desk) -> Result<()> {
    let server = |address: &str, protocol: &str, real: &str| {
        format!(
            "[[virtual_server]]\naddress = \"{address}\"\nprotocol = \"{protocol}\"\n\
             lb_algo = \"rr\"\nreal_server = [{real}]\n"
        )
    };
    let drain = |server, real| ["rs", "drain", server, real];
    let vs = "192.168.1.100:80";
    desk.ask("no virtual servers", "ds1", &drain(vs, "10.0.0.9:80"))?;
    let servers = server(vs, "tcp", "{ address = \"10.0.0.9:80\" }")
        + &server("192.168.1.100:53", "udp", "{ address = \"10.0.0.9:53\" }")
        + &server("192.168.1.100:81", "tcp", "");
    desk.apply("(virtual servers)", "rs.toml", &format!("{}{servers}", instance(VIP)))?;
    desk.ask("no such virtual server", "ds1", &drain("192.168.1.100:8080", "10.0.0.9:80"))?;
    desk.ask("another protocol", "ds1", &drain("192.168.1.100:53", "10.0.0.9:53"))?;
    desk.ask("no such group", "ds1", &drain("web", "10.0.0.9:80"))?;
    desk.ask("no such real server", "ds1", &drain(vs, "10.0.0.8:80"))?;
    desk.ask("a real server without a port", "ds1", &["rs", "enable", vs, "10.0.0.9"])?;
    desk.ask("no real server at all", "ds1", &["rs", "disable", "192.168.1.100:81", "x"])?;
    let weigh = |weight| ["rs", "weight", vs, "10.0.0.9:80", weight];
    desk.ask("a weight that is too great", "ds1", &weigh("65536"))?;
    desk.ask("a weight that is none", "ds1", &weigh("heavy"))?;
    desk.ask("(a weight)", "ds1", &weigh("0"))?;
    desk.ask("no real server named", "ds1", &["rs", "drain", vs])
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

fn tokens(desk: &mut Desk) -> Result<()> {
    fn join<'a>(name: &'a str, listen: &'a str, token: &'a str) -> [&'a str; 8] {
        ["join", "--name", name, "--listen", listen, "--token", token, "192.168.1.1:7400"]
    }
    let expiring = desk.cluster.cli(0, &["token", "create", "--expires", "1"])?;
    let token = desk.cluster.cli(0, &["token", "create"])?;
    let (expiring, token) = (expiring.trim().to_owned(), token.trim().to_owned());
    desk.ask("(a token, used)", "j1", &join("j1", "192.168.1.91:7400", &token))?;
    desk.ask("a token that was used", "j2", &join("j2", "192.168.1.92:7400", &token))?;
    desk.cluster.wait_for("the token to expire", |_| {
        let output =
            desk.output(&desk.root.join("j3"), &join("ds1", "192.168.1.93:7400", &expiring), None);
        let said = String::from_utf8_lossy(&output.ok()?.stderr).into_owned();
        // The name is taken, which is told only while the token is good.
        said.contains("expired").then_some(())
    })?;
    desk.ask("a token that has expired", "j3", &join("j3", "192.168.1.93:7400", &expiring))?;
    let short = ["token", "create", "--expires", "0"];
    desk.ask("a token for no time", "ds1", &short)?;
    let subnet = "192.168.2.0/24";
    let other = Cluster::start(&Plan { directors: 1, subnet, ..Plan::new(desk.binary.clone()) })?;
    let foreign = other.cli(0, &["token", "create"])?;
    let foreign = join("j4", "192.168.1.94:7400", foreign.trim()).map(str::to_owned);
    let foreign: Vec<&str> = foreign.iter().map(String::as_str).collect();
    desk.ask("a token of another cluster", "j4", &foreign)
}

fn disks(desk: &mut Desk) -> Result<()> {
    let init = ["init", "--name", "x", "--listen", "192.168.1.1:7500"];
    let disk = desk.root.join("disk");
    fs::create_dir(&disk).expect("the test's own directory");
    let at = disk.display().to_string();
    let mounted = |options: &str| {
        let words = ["-t", "tmpfs", "-o", options, "none", &at];
        assert!(Command::new("mount").args(words).status().expect("mount").success());
    };
    let unmounted = || {
        assert!(Command::new("umount").arg(&at).status().expect("umount").success());
    };
    mounted("ro");
    desk.ask("a read-only disk", "disk/n", &init)?;
    unmounted();
    mounted("size=8k");
    desk.ask("a full disk", "disk/n", &init)?;
    unmounted();
    desk.ask("(a node)", "n5", &["init", "--name", "x", "--listen", "192.168.1.1:7500"])?;
    let log = desk.root.join("n5/store/raft/log.sled");
    fs::create_dir_all(&log).expect("the test's own directory");
    desk.ask("a log that sled wrote", "n5", &["run"])?;
    desk.ask("recover, of a node that never ran", "n2", &["recover"])?;
    desk.ask("recover, beside a daemon", "ds1", &["recover"])
}

fn interfaces(desk: &mut Desk) -> Result<()> {
    let missing = instance(VIP).replace("eth0", "eth9");
    desk.apply("(an interface that is missing)", "q.toml", &missing)?;
    let explained = desk.cluster.wait_for("the instance to be given up", |this| {
        let text = this.cli(0, &["explain", "VI_1"]).ok()?;
        // It says so as soon as the lease is given up, and it stays so.
        (text.contains("eth9") && !text.contains("holds it")).then_some(text)
    })?;
    let why = explained.lines().find(|line| line.contains("eth9")).expect("it was found above");
    write!(desk.said, "# what explain says of it\n{}\n\n", why.trim())
        .expect("writing to a string can't fail");
    desk.apply("an empty file", "r.toml", "")
}

#[test]
fn every_refusal_says_what_where_and_what_to_do() -> Result<()> {
    let mut desk = Desk::new()?;
    configurations(&mut desk)?;
    vrrp(&mut desk)?;
    virtual_servers(&mut desk)?;
    commands(&mut desk)?;
    real_servers(&mut desk)?;
    beginnings(&mut desk)?;
    disks(&mut desk)?;
    interfaces(&mut desk)?;
    tokens(&mut desk)?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/refusals.txt");
    if std::env::var_os("LEASEHOLD_REWRITE").is_some() {
        fs::write(&file, &desk.said).expect("the file is writable");
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(desk.said, expected, "if the new words are better: LEASEHOLD_REWRITE=1");
    Ok(())
}
