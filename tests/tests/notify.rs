//! What a director tells when an instance comes and goes, end to end; and the example for AWS.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, sync_channel};

use leasehold_lab::cluster::{Cluster, Plan, SOON, instance};
use leasehold_lab::{Result, find_binary};

/// A folder that scripts of any user may write to.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("leasehold-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("its mode");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The lines of a pipe, from now on.
fn follow(path: &Path) -> Receiver<String> {
    follow_made(path, "666")
}

/// The same of one that nobody else may write to.
fn follow_own(path: &Path) -> Receiver<String> {
    follow_made(path, "600")
}

fn follow_made(path: &Path, mode: &str) -> Receiver<String> {
    let made = Command::new("mkfifo").args(["-m", mode]).arg(path).status();
    assert!(made.expect("mkfifo").success());
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("the pipe");
    let (tell, told) = sync_channel(1024);
    std::thread::spawn(move || {
        for line in BufReader::new(file.take(1 << 20)).lines().map_while(std::io::Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}

fn next(told: &Receiver<String>) -> String {
    told.recv_timeout(SOON).expect("nothing was told")
}

#[test]
fn every_change_is_told_with_its_epoch_and_a_hanging_script_delays_no_lease() -> Result<()> {
    let folder = Folder::new("told");
    let (pipe, sink) = (folder.path("pipe"), folder.path("sink"));
    let (lines, scripts) = (follow_own(&pipe), follow(&sink));
    let cluster = Cluster::start(&Plan { directors: 2, ..Plan::new(find_binary()?) })?;
    let told = folder.program(
        "told",
        &format!(
            "#!/bin/sh\necho \"$LEASEHOLD_NODE $* $LEASEHOLD_EPOCH $LEASEHOLD_VIPS\" > {}\n",
            sink.display()
        ),
    );
    let vips = ["192.168.1.100", "192.168.1.101"].map(|one| one.parse().expect("an address"));
    let text = format!(
        "[global.alerts]\nnotify_fifo = \"{}\"\n{}notify = \"{}\"\n{}notify = \"/usr/bin/tail -f /dev/null\"\n",
        pipe.display(),
        instance("VI_1", 88, &vips[..1]),
        told.display(),
        instance("VI_2", 89, &vips[1..]),
    );
    cluster.apply("toml", &text)?;
    // Every script of VI_2 hangs; those of VI_1 and all leases don't know it.
    let holder = cluster.wait_for_holder("VI_1")?;
    cluster.wait_for_holder("VI_2")?;
    let name = &cluster.nodes()[holder].name;
    let mut epochs = Vec::new();
    for to in [1 - holder, holder] {
        let to = cluster.nodes()[to].name.clone();
        cluster.cli(holder, &["move", "VI_1", "--to", &to])?;
        let word = format!("{to} INSTANCE VI_1 MASTER 100 ");
        let line = std::iter::repeat_with(|| next(&scripts)).find(|line| line.starts_with(&word));
        let rest = line.expect("an endless line of lines");
        let (epoch, vips) = rest[word.len()..].split_once(' ').expect("an epoch and VIPs");
        assert_eq!(vips, "192.168.1.100");
        epochs.push(epoch.parse::<u64>().expect("a number"));
    }
    assert!(epochs.is_sorted_by(|one, other| one < other), "{epochs:?}");
    let status = cluster.status(holder).expect("the daemon answers");
    let held =
        status["instances"].as_array().expect("a list").iter().find(|one| one["name"] == "VI_1");
    let held = held.expect("VI_1 is there");
    assert_eq!(
        (held["holder"].as_str(), held["epoch"].as_u64()),
        (Some(name.as_str()), epochs.pop())
    );
    // The pipe, which both directors write to here, had the same.
    let mut masters = 0;
    while masters < 3 {
        let line = next(&lines);
        masters += u32::from(line == "INSTANCE \"VI_1\" MASTER 100");
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!((words.len(), words[0], words[3]), (4, "INSTANCE", "100"), "{line}");
    }
    Ok(())
}

#[test]
fn a_stop_is_told_after_the_lease_is_given_up() -> Result<()> {
    let folder = Folder::new("stopped");
    let sink = folder.path("sink");
    let scripts = follow(&sink);
    let mut cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
    // At the stop it looks whether the address is bound still.
    let text = format!(
        "#!/bin/sh\necho \"$3 $(ip addr show | grep -c 192.168.1.100)\" > {}\n",
        sink.display()
    );
    let told = folder.program("told", &text);
    let vip = "192.168.1.100".parse().expect("an address");
    cluster.apply(
        "toml",
        &format!("{}notify = \"{}\"\n", instance("VI_1", 88, &[vip]), told.display()),
    )?;
    for word in ["BACKUP", "MASTER"] {
        assert!(next(&scripts).starts_with(word));
    }
    cluster.daemon(0)?.kill(leasehold_lab::Signal::SIGTERM)?;
    assert_eq!(next(&scripts), "STOP 0");
    cluster.daemon(0)?.wait(SOON)?;
    cluster.mark_down(0);
    Ok(())
}

/// A cloud as far as the example asks for one: a table that refuses earlier epochs, and the
/// interface that an address is on. `late` is what happens while the address moves.
const AWS: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$1 $2" >> calls
values=
interface=
while [ $# -gt 0 ]; do
    case $1 in
        --expression-attribute-values) values=$2 ;;
        --network-interface-id) interface=$2 ;;
        update-item | get-item | assign-private-ip-addresses | associate-address) action=$1 ;;
    esac
    shift
done
case $action in
    update-item)
        epoch=$(echo "$values" | sed 's/.*"N":"\([0-9]*\)".*/\1/')
        to=$(echo "$values" | sed 's/.*"S":"\([^"]*\)".*/\1/')
        if [ "$(cat epoch)" -gt "$epoch" ]; then
            echo 'An error occurred (ConditionalCheckFailedException)' >&2
            exit 254
        fi
        echo "$epoch" > epoch
        echo "$to" > wanted
        ;;
    get-item) cat wanted ;;
    assign-private-ip-addresses)
        echo "$interface" > address
        if [ -e late ]; then mv late wanted; fi
        ;;
    associate-address) echo "$interface" > elastic ;;
esac
"#;

struct Cloud(Folder);

impl Cloud {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        folder.program("aws", AWS);
        for file in ["epoch", "wanted", "address", "elastic", "calls"] {
            let start = if file == "epoch" { "0" } else { "" };
            fs::write(folder.path(file), start).expect("a file");
            let mode = fs::Permissions::from_mode(0o666);
            fs::set_permissions(folder.path(file), mode).expect("its mode");
        }
        Self(folder)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.path(file)).expect("a file").trim().to_owned()
    }

    fn search_path(&self) -> String {
        format!("{}:/usr/bin:/bin", self.0.0.display())
    }

    fn run(&self, epoch: u64, interface: &str) -> Output {
        Command::new(script())
            .args(["leases", interface, "eipalloc-1"])
            .env_clear()
            .env("PATH", self.search_path())
            .env("LEASEHOLD_CLUSTER", "c1")
            .env("LEASEHOLD_INSTANCE", "VI_1")
            .env("LEASEHOLD_EPOCH", epoch.to_string())
            .env("LEASEHOLD_VIPS", "10.0.0.100 2001:db8::1")
            .output()
            .expect("the example runs")
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/aws-move.sh")
}

#[test]
fn the_example_for_aws_moves_for_a_later_epoch_and_refuses_an_earlier_one() {
    let cloud = Cloud::new("aws");
    let places = || (cloud.read("address"), cloud.read("elastic"));
    let on = |interface: &str| (interface.to_owned(), interface.to_owned());
    assert_eq!(cloud.run(7, "eni-1").status.code(), Some(0));
    assert_eq!(places(), on("eni-1"));
    assert_eq!(cloud.run(9, "eni-2").status.code(), Some(0));
    assert_eq!(places(), on("eni-2"));
    let before = cloud.read("calls");
    let refused = cloud.run(8, "eni-1");
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    assert_eq!(places(), on("eni-2"));
    assert_eq!(
        cloud.read("calls"),
        format!("{before}\ndynamodb update-item"),
        "nothing else is done"
    );
    assert_eq!(cloud.run(9, "eni-2").status.code(), Some(0), "it can be run again");
}

/// Frozen between its claim and its move, it finds that it was late and mends that.
#[test]
fn the_example_for_aws_mends_what_it_did_too_late() {
    let cloud = Cloud::new("aws-late");
    fs::write(cloud.0.path("late"), "eni-2\n").expect("a file");
    let late = cloud.run(7, "eni-1");
    assert_eq!(late.status.code(), Some(3), "{}", String::from_utf8_lossy(&late.stderr));
    assert_eq!((cloud.read("address"), cloud.read("elastic")), ("eni-2".into(), "eni-2".into()));
}

#[test]
fn the_example_for_aws_runs_as_notify_master() -> Result<()> {
    let cloud = Cloud::new("aws-told");
    let done = follow(&cloud.0.path("done"));
    // Where the checkout lies, the scripts' user may have no way in.
    let copy = cloud.0.program("move", &fs::read_to_string(script()).expect("the example"));
    let wrapper = cloud.0.program(
        "wrapper",
        &format!(
            "#!/bin/sh\nPATH={} {} leases \"eni-$LEASEHOLD_NODE\"\necho $? > {}\n",
            cloud.search_path(),
            copy.display(),
            cloud.0.path("done").display()
        ),
    );
    let cluster = Cluster::start(&Plan { directors: 2, ..Plan::new(find_binary()?) })?;
    let vip = "192.168.1.100".parse().expect("an address");
    let text = instance("VI_1", 88, &[vip]);
    cluster.apply("toml", &format!("{text}notify_master = \"{}\"\n", wrapper.display()))?;
    let holder = cluster.wait_for_holder("VI_1")?;
    assert_eq!(next(&done), "0");
    assert_eq!(cloud.read("address"), format!("eni-{}", cluster.nodes()[holder].name));
    let other = cluster.nodes()[1 - holder].name.clone();
    cluster.cli(holder, &["move", "VI_1", "--to", &other])?;
    assert_eq!(next(&done), "0");
    assert_eq!(cloud.read("address"), format!("eni-{other}"));
    Ok(())
}
