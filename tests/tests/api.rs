//! The control API as a client in another language finds it, and its documentation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use leasehold_lab::cluster::{Cluster, Plan, instance};
use leasehold_lab::{LabError, Result, find_binary};
use serde_json::{Value, json};

/// For one run of the client: it ends by itself before.
const WITHIN: &str = "120";

/// Debian's, which has Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn proto() -> String {
    fs::read_to_string(root().join("proto/proto/control.proto")).expect("the API")
}

/// A Python client with stubs from the .proto.
struct Client {
    work: PathBuf,
}

impl Client {
    fn new(cluster: &Cluster) -> Client {
        let work = cluster.nodes()[0].data_dir.parent().expect("a parent").join("python");
        fs::create_dir_all(&work).expect("a directory");
        let data = root().join("tests/data/api");
        let status = Command::new("timeout")
            .args([WITHIN, "protoc", "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin"])
            .args(["-I", &root().join("proto/proto").display().to_string()])
            .args(["-I", &data.display().to_string()])
            .arg(format!("--python_out={}", work.display()))
            .arg(format!("--grpc_python_out={}", work.display()))
            .args(["control.proto", "peer.proto", "reflection.proto"])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "see .ci/packages");
        Client { work }
    }

    /// Runs it on a director.
    fn run(&self, cluster: &Cluster, director: usize, words: &[&str]) -> Result<String> {
        let program = root().join("tests/data/api/client.py").display().to_string();
        let work = self.work.display().to_string();
        let mut all = vec![WITHIN, PYTHON, program.as_str(), work.as_str()];
        all.extend_from_slice(words);
        let said = cluster.nodes()[director].host.run("timeout", &all)?;
        if said.trim_end().ends_with("done") { Ok(said) } else { Err(LabError::Argument(said)) }
    }
}

#[test]
fn a_python_client_speaks_it() -> Result<()> {
    let mut cluster = Cluster::start(&Plan::new(find_binary()?))?;
    let client = Client::new(&cluster);
    let leader = cluster.wait_for("a leader", Cluster::leader)?;
    let follower = (leader + 1) % 3;
    let socket = |director: usize| {
        cluster.nodes()[director].data_dir.join("control.sock").display().to_string()
    };
    let own = socket(follower);
    println!("{}", client.run(&cluster, follower, &["socket", &own])?);

    // The same over the network, for those with a certificate and for nobody else.
    let bundle = cluster.cli(0, &["member", "certificate", "python"])?;
    let file = client.work.join("client.pem").display().to_string();
    fs::write(&file, bundle).expect("a file");
    let status = cluster.status(0).expect("a status");
    let id = status["cluster"]["id"].as_str().expect("an id");
    let node = &status["nodes"][0]["id"];
    let address = status["nodes"][0]["address"].as_str().expect("an address").to_owned();
    let name = format!("node-{node}.{id}.leasehold");
    client.run(&cluster, 1, &["tls", &address, &name, &file])?;
    client.run(&cluster, 1, &["stranger", &address, &name, &file])?;

    // Alone it knows no leader, and says so.
    for director in (0..3).filter(|one| *one != follower) {
        cluster.daemon(director)?.kill_tree()?;
    }
    client.run(&cluster, follower, &["health", &own, "NOT_SERVING"])?;
    let alone = cluster.status(follower).expect("a status")["cluster"].clone();
    // Which one, elections and the instance's holder decide.
    let was = alone["last_leader"].as_str().expect("the last one that led");
    assert_eq!(alone["leader"], Value::Null, "{alone}");
    assert!(alone["leader_heard_ms_ago"].as_u64() > Some(0), "{alone}");
    let shown = cluster.cli(follower, &["status"])?;
    let none = format!("leader none: no quorum, or an election under way (last {was}, ");
    assert!(shown.contains(&none), "{shown}");
    for director in (0..3).filter(|one| *one != follower) {
        cluster.mark_down(director);
        cluster.run(director)?;
    }
    client.run(&cluster, follower, &["health", &own, "SERVING"])?;
    Ok(())
}

/// As after an upgrade with stricter rules: a member proposes what this version would refuse.
#[test]
fn a_document_that_is_valid_no_longer_is_not_gone_back_to() -> Result<()> {
    let cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
    cluster.wait_for("a leader", Cluster::leader)?;
    let client = Client::new(&cluster);
    let data_dir = &cluster.nodes()[0].data_dir;
    let vip = "192.168.1.100".parse().expect("an address");
    let document = instance("VI_1", 51, &[vip]);
    cluster.apply("toml", &document)?;
    let mut lax: Value = serde_json::from_str(&cluster.cli(0, &["instance", "list", "--json"])?)
        .expect("the instances as JSON");
    lax["VI_1"]["preempt_delay_ms"] = json!(2_000_000);
    let command = json!({"apply": {"config": {"global": {}, "instance": lax}}}).to_string();
    let part = |name: &str| fs::read_to_string(data_dir.join(name)).expect("a file of the node");
    let bundle: String = ["node.pem", "node-key.pem", "ca.pem"].map(part).concat();
    let file = client.work.join("member.pem").display().to_string();
    fs::write(&file, bundle).expect("a file");
    let status = cluster.status(0).expect("a status");
    let (id, node) = (status["cluster"]["id"].as_str().expect("an id"), &status["nodes"][0]);
    let name = format!("node-{}.{id}.leasehold", node["id"]);
    let address = node["address"].as_str().expect("an address");
    client.run(&cluster, 0, &["member", address, &name, &file, &command])?;

    let history = || cluster.cli(0, &["history", "--json"]);
    let told: Value = serde_json::from_str(&history()?).expect("the history");
    let bad = told["revisions"][0]["revision"].as_u64().expect("a revision").to_string();
    cluster.apply("toml", &document)?;
    let before = (history()?, cluster.cli(0, &["export"])?);
    let told = format!(
        "revision {bad} can't be served any more: instance.VI_1.preempt_delay_ms: \
         preempt_delay_ms 2000000 is out of range; 0 to 1000000; `leasehold export --revision \
         {bad}` prints it, to be changed and applied"
    );
    for words in [&["rollback", &bad] as &[&str], &["rollback", &bad, "--dry-run"]] {
        let why = cluster.cli(0, words).expect_err("it is refused").to_string();
        assert!(why.contains(&told), "{why}");
    }
    assert_eq!((history()?, cluster.cli(0, &["export"])?), before, "nothing was changed");
    let printed = cluster.cli(0, &["export", "--revision", &bad])?;
    assert!(printed.contains("preempt_delay_ms = 2000000"), "{printed}");
    Ok(())
}

/// Every call, field and value of an enumeration is in docs/api.md, each call's fields under its
/// own heading.
#[test]
fn the_documentation_has_every_call_and_field() {
    let text = fs::read_to_string(root().join("docs/api.md")).expect("docs/api.md");
    let missing = missing(&proto(), &text);
    assert_eq!(missing, Vec::<String>::new(), "docs/api.md does not say");
}

fn missing(proto: &str, docs: &str) -> Vec<String> {
    let mut missing = Vec::new();
    let mut around: Vec<String> = Vec::new();
    let lines = proto.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    for line in lines.filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split([' ', '(', ')', '{', ';']).collect();
        match words.as_slice() {
            ["rpc", name, ..] if !docs.contains(&format!("\n### `{name}`\n")) => {
                missing.push(format!("the call {name}"));
            }
            ["message", name, ..] => {
                if !docs.contains(&format!("`{name}`")) {
                    missing.push(format!("the message {name}"));
                }
                around.push((*name).to_owned());
            }
            ["enum" | "service" | "oneof", name, ..] => around.push((*name).to_owned()),
            [before @ .., "=", _, _] | [before @ .., "=", _] if !around.is_empty() => {
                let field = before.last().copied().unwrap_or_default();
                let message = around.first().cloned().unwrap_or_default();
                // From where the message is told of to the next heading.
                let from = docs.find(&format!("`{message}`")).map_or("", |at| &docs[at..]);
                let part = from.split("\n#").next().unwrap_or_default();
                if !part.contains(&format!("`{field}`")) {
                    missing.push(format!("{field} of {message}"));
                }
            }
            _ => {}
        }
        if line.ends_with('}') {
            around.pop();
        }
    }
    missing
}

#[test]
fn a_call_or_field_that_is_not_told_of_is_missed() {
    let proto = "service A {\n  rpc B(C) returns (D);\n}\nmessage C {\n  // e = 1;\n  \
                 optional uint64 e = 1;\n  enum F {\n    G = 0;\n  }\n}\nmessage D {}\n";
    let told = "\n### `B`\n`C`: `e`, `G`; `D`\n";
    assert_eq!(missing(proto, told), Vec::<String>::new());
    assert_eq!(missing(proto, &told.replace("`e`", "e")), ["e of C"]);
    assert_eq!(missing(proto, &told.replace("`G`", "G")), ["G of C"]);
    assert_eq!(missing(proto, &told.replace("### `B`", "### B")), ["the call B"]);
    assert_eq!(missing(proto, "\n### `B`\n`C`\n# `e` `G`\n`D`\n"), ["e of C", "G of C"]);
}
