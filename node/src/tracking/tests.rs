//! The whole thread, with real programs, files and processes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use leasehold_model::{
    Check, CheckKind, FileCheck, Instance, Protocol, RealServer, Script, Service, TrackScript,
    VirtualServer, Weight,
};
use leasehold_raft::state::Lease;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::paced::paced;

const LONG: Duration = Duration::from_secs(20);

/// A director's tracking, and what the tests hold of the daemon around it.
struct World {
    folder: tempfile::TempDir,
    config: Config,
    state: watch::Sender<Arc<State>>,
    eligibility: watch::Sender<Eligibility>,
    orders: mpsc::Receiver<Order>,
    numbers: watch::Receiver<Numbers>,
    thread: JoinHandle<()>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let (state, seen) = watch::channel(Arc::default());
        let (eligibility, _) = watch::channel(Eligibility::default());
        let (order, orders) = mpsc::channel(16);
        let (number, numbers) = watch::channel(Numbers::default());
        let thread = tokio::spawn(run(Inputs {
            node: NodeId(1),
            name: "ds1".to_owned(),
            state: paced(seen),
            eligibility: eligibility.clone(),
            orders: order,
            numbers: number,
        }));
        let mut config = Config::default();
        config.instances.insert("VI_1".to_owned(), Instance::new(51, "eth0"));
        if !nix::unistd::geteuid().is_root() {
            let own = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap();
            config.global.alerts.script_user = Some(own.name);
        }
        Self { folder, config, state, eligibility, orders, numbers, thread }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tracking(&mut self) -> &mut Tracking {
        &mut self.config.instances.get_mut("VI_1").unwrap().tracking
    }

    fn follow_script(&mut self, name: &str, command: &str, weight: i16) -> &mut TrackScript {
        let weight = Weight { weight: Some(weight), reverse: false };
        self.tracking().scripts.insert(name.to_owned(), weight);
        let command = format!("/bin/sh -c '{command}'");
        let script = TrackScript {
            interval_ms: 30,
            timeout_ms: Some(10_000),
            ..TrackScript::new(Script { command, user: None, group: None })
        };
        self.config.scripts.entry(name.to_owned()).or_insert(script)
    }

    fn follow_file(&mut self, name: &str, weight: i16) -> PathBuf {
        let path = self.path(name);
        let weight = Weight { weight: Some(weight), reverse: false };
        self.tracking().files.insert(name.to_owned(), weight);
        let file = path.display().to_string();
        let file = TrackFile { file, weight: Weight::default(), init: None, overwrite: false };
        self.config.files.insert(name.to_owned(), file);
        path
    }

    fn apply(&self) {
        self.hold(None);
    }

    /// The same, with VI_1 held by the director in this epoch.
    fn hold(&self, epoch: Option<u64>) {
        let mut state = State { config: Arc::new(self.config.clone()), ..State::default() };
        if let Some(epoch) = epoch {
            let lease = Lease { holder: Some(NodeId(1)), epoch: Epoch(epoch), ..Lease::default() };
            state.groups.insert("VI_1".to_owned(), GroupId(1));
            state.leases.insert(GroupId(1), lease);
        }
        self.state.send_replace(Arc::new(state));
    }

    /// Waits until this is what is reported of VI_1.
    async fn expect(&self, delta: i16, fault: Option<&str>) {
        let mut seen = self.eligibility.subscribe();
        let fits = |one: &Eligibility| {
            let found = one.faults.get("VI_1");
            let fault = match (found, fault) {
                (None, None) => true,
                (Some(found), Some(part)) => found.contains(part),
                (None, Some(_)) | (Some(_), None) => false,
            };
            fault && one.priority_delta.get("VI_1").copied().unwrap_or(0) == delta
        };
        let found = timeout(LONG, seen.wait_for(fits)).await;
        let now = self.eligibility.borrow().clone();
        assert!(found.is_ok(), "not {delta} and {fault:?}: {now:?}");
    }
}

async fn await_lines(path: &Path, count: usize) -> Vec<String> {
    let written = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        loop {
            look.tick().await;
            let text = fs::read_to_string(path).unwrap_or_default();
            if text.ends_with('\n') && text.lines().count() >= count {
                return text.lines().map(ToOwned::to_owned).collect();
            }
        }
    };
    timeout(LONG, written).await.expect("too few lines were written")
}

#[tokio::test]
async fn a_script_without_a_weight_is_a_fault_while_it_fails() {
    let mut world = World::new();
    let flag = world.path("flag");
    let script = world.follow_script("chk", &format!("test -e {} || exit 3", flag.display()), 0);
    (script.fall, script.rise) = (2, 2);
    world.apply();
    world.expect(0, Some("script chk exited with 3")).await;
    fs::write(&flag, "").unwrap();
    world.expect(0, None).await;
    fs::remove_file(&flag).unwrap();
    world.expect(0, Some("script chk exited with 3")).await;
}

#[tokio::test]
async fn a_fault_gives_up_what_is_held_once_and_not_before_anything_is_known() {
    let mut world = World::new();
    world.follow_script("slow", "exec sleep 60", 0);
    let path = world.follow_file("load", 1);
    fs::write(&path, "3").unwrap();
    world.hold(Some(7));
    world.expect(3, Some("script slow has no result yet")).await;
    assert!(world.orders.try_recv().is_err());
    world.follow_script("chk", "exit 1", 0);
    world.hold(Some(7));
    let order = timeout(LONG, world.orders.recv()).await.expect("it is kept");
    let ours = matches!(order, Some(Order::Surrender(GroupId(1), Cause::Unserviceable)));
    assert!(ours, "{order:?}");
    // Reported before it was given up.
    assert!(world.eligibility.borrow().faults["VI_1"].contains("script chk exited with 1"));
    fs::write(&path, "4").unwrap();
    world.expect(4, Some("script chk exited with 1")).await;
    assert!(world.orders.try_recv().is_err(), "one order is enough");
    // It came back all the same.
    world.hold(Some(8));
    assert!(timeout(LONG, world.orders.recv()).await.is_ok(), "it is kept");
}

#[tokio::test]
async fn a_weight_is_added_and_what_others_say_stays() {
    let mut world = World::new();
    world.eligibility.send_modify(|one| {
        one.impaired.insert("VI_1".to_owned(), "mine".to_owned());
        one.interfaces_up.insert("eth0".to_owned());
    });
    world.follow_script("good", "exit 0", 20);
    world.follow_script("bad", "exit 1", -5);
    world.apply();
    world.expect(15, None).await;
    world.tracking().scripts.clear();
    world.apply();
    world.expect(0, None).await;
    let now = world.eligibility.borrow();
    assert_eq!(now.impaired["VI_1"], "mine");
    assert!(now.interfaces_up.contains("eth0"));
}

#[tokio::test]
async fn a_script_that_hangs_is_killed_and_has_failed() {
    let mut world = World::new();
    world.follow_script("chk", "exec sleep 60", 0).timeout_ms = Some(100);
    world.apply();
    world.expect(0, Some("script chk has no result yet")).await;
    world.expect(0, Some("script chk ran out of time")).await;
}

#[tokio::test]
async fn a_script_that_cannot_start_has_failed() {
    let mut world = World::new();
    world.follow_script("chk", "exit 0", 0).script.command = "/no/such/program".to_owned();
    world.apply();
    world.expect(0, Some("script chk did not start: /no/such/program")).await;
    world.config.scripts.get_mut("chk").unwrap().script.command = "'open".to_owned();
    world.apply();
    world.expect(0, Some("a quote is not closed")).await;
}

#[tokio::test]
async fn no_script_runs_twice_at_once() {
    let mut world = World::new();
    let (lock, log) = (world.path("lock"), world.path("log"));
    let (lock, written) = (lock.display(), log.display());
    // Far longer than its interval.
    let text = format!(
        "if mkdir {lock}; then sleep 0.15; rmdir {lock}; echo once >> {written}; \
         else echo twice >> {written}; fi"
    );
    world.follow_script("chk", &text, 0).interval_ms = 10;
    world.apply();
    let lines = await_lines(&log, 4).await;
    assert!(lines.iter().all(|line| line == "once"), "{lines:?}");
}

#[tokio::test]
async fn a_stopping_daemon_leaves_no_script_behind() {
    let mut world = World::new();
    let log = world.path("log");
    let text = format!("echo $$ >> {}; exec sleep 60", log.display());
    world.follow_script("chk", &text, 0);
    world.apply();
    let pid = await_lines(&log, 1).await.remove(0);
    world.eligibility.send_modify(|one| one.stopping = true);
    timeout(LONG, &mut world.thread).await.expect("it goes on").unwrap();
    let gone = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while Path::new(&format!("/proc/{pid}")).exists() {
            look.tick().await;
        }
    };
    timeout(LONG, gone).await.expect("the script outlived it");
}

#[tokio::test]
async fn a_change_keeps_what_is_known_and_faults_no_fit_instance() {
    let mut world = World::new();
    let log = world.path("log");
    world.follow_script("chk", &format!("echo run >> {}", log.display()), 0);
    world.follow_script("first", "exit 0", 2);
    world.apply();
    world.expect(2, None).await;
    // Another interval, another script that takes its time, and one that is weighted.
    world.config.scripts.get_mut("chk").unwrap().interval_ms = 20;
    world.follow_script("slow", "exec sleep 60", 0);
    world.follow_script("good", "exit 0", 7);
    world.apply();
    world.expect(9, None).await;
    let runs = await_lines(&log, 1).await.len();
    await_lines(&log, runs + 3).await;
    assert!(world.eligibility.borrow().faults.is_empty());
    // Another program is another script.
    world.config.scripts.get_mut("chk").unwrap().script.command = "/bin/false".to_owned();
    world.apply();
    world.expect(9, Some("script chk exited with 1")).await;
}

#[tokio::test]
async fn an_interface_that_is_tracked_counts_as_the_kernel_says() {
    let mut world = World::new();
    let weighted = Weight { weight: Some(-30), reverse: false };
    world.tracking().interfaces.insert("eth1".to_owned(), Weight::default());
    world.tracking().interfaces.insert("eth2".to_owned(), weighted);
    world.apply();
    world.expect(-30, Some("tracked interface eth1 is down")).await;
    let up = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    world.eligibility.send_modify(|one| one.interfaces_up = up(&["eth1"]));
    world.expect(-30, None).await;
    world.eligibility.send_modify(|one| one.interfaces_up = up(&["eth1", "eth2"]));
    world.expect(0, None).await;
    world.eligibility.send_modify(|one| one.interfaces_up = up(&["eth2"]));
    world.expect(0, Some("tracked interface eth1 is down")).await;
}

#[tokio::test]
async fn a_file_counts_whichever_way_it_is_written() {
    let mut world = World::new();
    let path = world.follow_file("load", 2);
    world.follow_file("fault", 0);
    fs::write(&path, "10\n").unwrap();
    world.apply();
    world.expect(20, None).await;
    fs::write(&path, "-3").unwrap();
    world.expect(-6, None).await;
    let beside = world.path("beside");
    fs::write(&beside, "0x10").unwrap();
    fs::rename(&beside, &path).unwrap();
    world.expect(32, None).await;
    // No number that could be one: the last one holds. The other file shows that it was read.
    fs::write(&path, "99999999999").unwrap();
    fs::write(world.path("fault"), "1").unwrap();
    world.expect(32, Some("file fault has 1, not 0")).await;
    fs::remove_file(world.path("fault")).unwrap();
    world.expect(32, None).await;
    fs::write(&path, "-127").unwrap();
    world.expect(0, Some("file load has -127, which times 2 is -254")).await;
    fs::remove_file(&path).unwrap();
    world.expect(0, None).await;
}

#[tokio::test]
async fn a_file_may_lie_where_nothing_is_yet_and_behind_a_link() {
    let mut world = World::new();
    let link = world.follow_file("link", 1);
    let folder = world.path("later");
    std::os::unix::fs::symlink("later/value", &link).unwrap();
    world.apply();
    world.expect(0, None).await;
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("value"), "4").unwrap();
    world.expect(4, None).await;
    fs::write(folder.join("value"), "5").unwrap();
    world.expect(5, None).await;
    fs::remove_dir_all(&folder).unwrap();
    world.expect(0, None).await;
}

#[tokio::test]
async fn a_file_is_initialised_once_and_overwritten_only_on_demand() {
    let mut world = World::new();
    let (fresh, kept) = (world.follow_file("fresh", 1), world.follow_file("kept", 1));
    let replaced = world.follow_file("replaced", 1);
    fs::write(&kept, "20").unwrap();
    fs::write(&replaced, "20").unwrap();
    for (name, overwrite) in [("fresh", false), ("kept", false), ("replaced", true)] {
        let file = world.config.files.get_mut(name).unwrap();
        (file.init, file.overwrite) = (Some(3), overwrite);
    }
    world.apply();
    world.expect(26, None).await;
    assert_eq!(fs::read_to_string(&fresh).unwrap(), "3\n");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "20");
    assert_eq!(fs::read_to_string(&replaced).unwrap(), "3\n");
    // A new configuration is no new start.
    fs::write(&replaced, "50").unwrap();
    world.expect(73, None).await;
    world.follow_file("another", 1);
    world.apply();
    fs::write(world.path("another"), "1").unwrap();
    world.expect(74, None).await;
    assert_eq!(fs::read_to_string(&replaced).unwrap(), "50");
}

/// A program of a name that nobody else has.
struct Program(PathBuf);

impl Program {
    fn new(world: &World, letter: char) -> Self {
        let path = world.path(&format!("lh{letter}{}", std::process::id()));
        fs::copy("/bin/sleep", &path).unwrap();
        Self(path)
    }

    /// Where another test forks while the copy was open for writing, the kernel says that the
    /// text file is busy, for as long as that takes.
    async fn start(&self, seconds: &str) -> Killed {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        loop {
            again.tick().await;
            match Command::new(&self.0).arg(seconds).spawn() {
                Ok(child) => return Killed(child),
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn processes_are_counted_as_they_come_and_go() {
    let mut world = World::new();
    let program = Program::new(&world, 'a');
    let name = program.0.file_name().unwrap().to_str().unwrap().to_owned();
    let mut follow = |key: &str, process: String, quorum, weight| {
        let process = TrackProcess {
            weight: Weight { weight: Some(weight), reverse: false },
            quorum,
            ..TrackProcess::new(&process)
        };
        world.config.processes.insert(key.to_owned(), process);
        world.tracking().processes.insert(key.to_owned(), Weight::default());
    };
    follow("one", name, 1, 0);
    follow("two", program.0.display().to_string(), 2, 10);
    follow("long", format!("{} 601", program.0.display()), 1, 100);
    world.apply();
    world.expect(0, Some("process one has too few")).await;
    let first = program.start("600").await;
    world.expect(0, None).await;
    let second = program.start("601").await;
    world.expect(110, None).await;
    drop(first);
    world.expect(100, None).await;
    drop(second);
    world.expect(0, Some("process one has too few")).await;
}

#[tokio::test]
async fn a_process_that_is_back_in_time_was_never_missed() {
    let mut world = World::new();
    let program = Program::new(&world, 'b');
    let process = TrackProcess {
        full_command: true,
        terminate_delay_ms: 4000,
        ..TrackProcess::new(&program.0.display().to_string())
    };
    world.config.processes.insert("lb".to_owned(), process);
    world.tracking().processes.insert("lb".to_owned(), Weight::default());
    let first = program.start("600").await;
    world.apply();
    world.expect(0, None).await;
    drop(first);
    let again = program.start("600").await;
    // Something to see, after what must not be seen.
    fs::write(world.follow_file("load", 1), "1").unwrap();
    world.apply();
    world.expect(1, None).await;
    assert!(world.eligibility.borrow().faults.is_empty());
    drop(again);
    world.expect(1, Some("process lb has too few")).await;
}

/// No instance follows the file, only a check of a real server: it is read all the same, and
/// means nothing to the instances.
#[tokio::test]
async fn the_number_that_a_check_goes_by_is_told() {
    let mut world = World::new();
    let path = world.path("load");
    let file = TrackFile {
        file: path.display().to_string(),
        weight: Weight::default(),
        init: Some(4),
        overwrite: false,
    };
    world.config.files.insert("load".to_owned(), file);
    let mut real = RealServer::new("192.0.2.1:80".parse().unwrap());
    let check = FileCheck { track_file: "load".to_owned(), weight: Weight::default() };
    real.checks = vec![Check::new(CheckKind::File(check))];
    let service = Service::Address("192.0.2.9:80".parse().unwrap());
    let mut server = VirtualServer::new(service, Protocol::Tcp);
    server.real_servers = vec![real];
    world.config.virtual_servers = vec![server];
    world.apply();
    let told = async |world: &mut World, wanted: Option<i64>| {
        let fits = |numbers: &Numbers| numbers.get("load").copied() == wanted;
        let found = timeout(LONG, world.numbers.wait_for(fits)).await.is_ok();
        assert!(found, "not {wanted:?}: {:?}", world.numbers.borrow());
    };
    told(&mut world, Some(4)).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
    fs::write(&path, "-7").unwrap();
    told(&mut world, Some(-7)).await;
    // A rename, as `sed -i` does.
    fs::write(world.path("new"), "8").unwrap();
    fs::rename(world.path("new"), &path).unwrap();
    told(&mut world, Some(8)).await;
    fs::remove_file(&path).unwrap();
    told(&mut world, Some(0)).await;
    world.expect(0, None).await;
    world.config.virtual_servers.clear();
    world.apply();
    told(&mut world, None).await;
}
