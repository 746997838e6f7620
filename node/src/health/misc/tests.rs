//! Real programs, and every way that they end.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use leasehold_model::Script;
use nix::unistd::{User, geteuid};
use tokio::time::Instant;

use super::*;

const LONG: u32 = 20_000;

/// The tests run as root, or as anyone.
fn alerts() -> Alerts {
    let own = User::from_uid(geteuid()).unwrap().unwrap().name;
    let user = if geteuid().is_root() { "nobody".to_owned() } else { own };
    Alerts { script_user: Some(user), ..Alerts::default() }
}

fn check(command: &str) -> MiscCheck {
    let script = Script { command: command.to_owned(), user: None, group: None };
    MiscCheck { script, timeout_ms: None, dynamic: false }
}

fn shell(text: &str) -> MiscCheck {
    check(&format!("/bin/sh -c '{text}'"))
}

async fn ask(check: &MiscCheck) -> Outcome {
    Program::new(check, LONG, &alerts()).ask().await
}

fn failed(why: &str) -> Outcome {
    Outcome::Failed(why.to_owned())
}

#[test]
fn every_status_with_and_without_dynamic() {
    let well = Outcome::Passed(Effect::None);
    assert_eq!(judge(Ended::Exited(0), false), well);
    assert_eq!(judge(Ended::Exited(0), true), well);
    assert_eq!(judge(Ended::Exited(1), true), failed("exited with 1"));
    for status in 1..=255 {
        let plain = judge(Ended::Exited(status), false);
        assert_eq!(plain, failed(&format!("exited with {status}")));
    }
    for status in 2..=255u8 {
        let dynamic = judge(Ended::Exited(status.into()), true);
        assert_eq!(dynamic, Outcome::Passed(Effect::Set(u16::from(status) - 2)));
    }
    for dynamic in [false, true] {
        let killed = judge(Ended::Signalled(15), dynamic);
        assert_eq!(killed, failed("was ended by signal 15"));
        assert_eq!(judge(Ended::TimedOut, dynamic), failed("ran out of time, and was killed"));
        // As when the machine has no more processes to give.
        let lacking = judge(Ended::NotStarted("no processes".to_owned()), dynamic);
        assert_eq!(lacking, Outcome::Unknown("did not start: no processes".to_owned()));
    }
}

#[tokio::test]
async fn a_program_s_end_is_the_verdict() {
    assert_eq!(ask(&shell("exit 0")).await, Outcome::Passed(Effect::None));
    assert_eq!(ask(&shell("exit 3")).await, failed("exited with 3"));
    assert_eq!(ask(&shell("kill -9 $$")).await, failed("was ended by signal 9"));
    let dynamic = MiscCheck { dynamic: true, ..shell("exit 12") };
    assert_eq!(ask(&dynamic).await, Outcome::Passed(Effect::Set(10)));
    // A pipe's worth and more: nobody reads, and nothing waits for a reader.
    let loud = shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2");
    assert_eq!(ask(&loud).await, Outcome::Passed(Effect::None));
}

#[tokio::test]
async fn it_gets_its_line_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let out = folder.path().join("out").display().to_string();
    let line =
        format!("/bin/sh -c 'echo $# \"$1\" >{out}; id -un >>{out}; env >>{out}' sh \"a b\"");
    assert_eq!(ask(&check(&line)).await, Outcome::Passed(Effect::None));
    let said = fs::read_to_string(&out).unwrap();
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("1 a b"));
    assert_eq!(lines.next(), alerts().script_user.as_deref());
    let ours = ["PATH=", "PWD=", "SHLVL=", "_=", "OLDPWD="];
    assert!(lines.all(|line| ours.iter().any(|one| line.starts_with(one))), "{said}");
}

#[tokio::test]
async fn one_that_takes_too_long_dies_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let child = folder.path().join("child");
    // The child holds the lock as long as it lives.
    let text = format!("flock {} sleep 600 & wait", child.display());
    let slow = MiscCheck { timeout_ms: Some(500), ..shell(&text) };
    let begun = Instant::now();
    assert_eq!(ask(&slow).await, failed("ran out of time, and was killed"));
    assert!(begun.elapsed() >= Duration::from_millis(500));
    let freed = shell(&format!("flock -w 10 {} true", child.display()));
    assert_eq!(ask(&freed).await, Outcome::Passed(Effect::None));
    // Without a time of its own it has the time from one turn to the next.
    let begun = Instant::now();
    let ended = Program::new(&shell("exec sleep 600"), 300, &alerts()).ask().await;
    assert_eq!(ended, failed("ran out of time, and was killed"));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_can_not_be_started_says_nothing_of_the_real_server() {
    let unknown = |outcome: Outcome| match outcome {
        Outcome::Unknown(why) => why,
        Outcome::Passed(_) | Outcome::Failed(_) => panic!("{outcome:?}"),
    };
    assert!(unknown(ask(&check("/no/such/program")).await).contains("/no/such/program"));
    assert!(unknown(ask(&check("/etc/passwd")).await).contains("execute"));
    assert!(unknown(ask(&check("/bin/sh -c 'an open quote")).await).contains("quote"));
    let mut stranger = check("/bin/true");
    stranger.script.user = Some("no-such-user".to_owned());
    assert!(unknown(ask(&stranger).await).contains("no user no-such-user"));
    if geteuid().is_root() {
        // What anybody may change, root does not run.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let mut unsafe_one = check(&path.display().to_string());
        unsafe_one.script.user = Some("root".to_owned());
        assert!(unknown(ask(&unsafe_one).await).contains("writable by everyone"));
    }
}

#[tokio::test]
async fn a_turn_waits_until_the_one_before_is_gone() {
    let check = MiscCheck { timeout_ms: Some(200), ..shell("exit 0") };
    let mut program = Program::new(&check, LONG, &alerts());
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let left: Leftover = Box::pin(async move { drop(ended.await) });
    let before = Outcome::Failed("ran out of time, and was killed".to_owned());
    program.left = Some((left, before.clone()));
    assert_eq!(program.ask().await, before, "it is still there");
    drop(end);
    assert_eq!(program.ask().await, Outcome::Passed(Effect::None));
    assert!(program.left.is_none());
}

#[tokio::test]
async fn no_more_run_at_once_than_may_and_each_has_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let (marks, counts) = (folder.path().join("marks"), folder.path().join("counts"));
    fs::create_dir(&marks).unwrap();
    for path in [folder.path(), &marks] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    // Each counts those that run beside it.
    let (path, out) = (marks.display(), counts.display());
    let text = format!("touch {path}/$$; ls {path} | wc -l >>{out}; rm {path}/$$");
    let running: &'static Semaphore = Box::leak(Box::new(Semaphore::new(2)));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let mut program = Program::new(&shell(&text), LONG, &alerts());
        program.running = running;
        all.spawn(async move { program.ask().await });
    }
    for outcome in all.join_all().await {
        assert_eq!(outcome, Outcome::Passed(Effect::None));
    }
    let beside = fs::read_to_string(counts).unwrap();
    let beside: Vec<u32> = beside.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!(beside.len(), 12);
    assert!(beside.iter().all(|one| (1..=2).contains(one)), "{beside:?}");
}

#[tokio::test]
async fn one_that_hangs_gives_its_turn_when_its_time_is_over_and_waiting_costs_no_time() {
    let running: &'static Semaphore = Box::leak(Box::new(Semaphore::new(1)));
    let program = |text, limit| {
        let mut program = Program::new(&shell(text), limit, &alerts());
        program.running = running;
        program
    };
    let (mut hangs, mut well) =
        (program("exec tail -f /dev/null", 800), program("sleep 0.8", 1_500));
    let began = Instant::now();
    let (first, second) = tokio::join!(hangs.ask(), well.ask());
    assert_eq!(first, failed("ran out of time, and was killed"));
    assert_eq!(second, Outcome::Passed(Effect::None), "it had waited for longer than its time");
    assert!(began.elapsed() >= Duration::from_millis(800), "{:?}", began.elapsed());
    assert_eq!(running.available_permits(), 1);
    // It does not wait for ever, and nobody is down for it.
    let (mut hangs, mut late) = (program("exec tail -f /dev/null", 2_000), program("exit 0", 100));
    let (_, waited) = tokio::join!(hangs.ask(), late.ask());
    assert!(matches!(waited, Outcome::Unknown(_)), "{waited:?}");
    // Nor does one keep it that is given up.
    let mut hangs = program("exec tail -f /dev/null", LONG);
    assert!(timeout(Duration::from_millis(200), hangs.ask()).await.is_err());
    assert_eq!(running.available_permits(), 1);
}
