//! Real programs, of the kinds that hurt.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::unistd::geteuid;

use super::*;

static STARTING: Semaphore = Semaphore::const_new(64);

async fn run(job: Job) -> Ended {
    super::run(job, &STARTING).await
}

const LONG: Duration = Duration::from_secs(20);

/// The tests run as root, or as anyone.
fn user() -> String {
    let own = User::from_uid(geteuid()).unwrap().unwrap().name;
    if geteuid().is_root() { "nobody".to_owned() } else { own }
}

fn job(words: &[&str], timeout: Duration) -> Job {
    Job {
        words: words.iter().map(ToString::to_string).collect(),
        run_as: RunAs { user: Some(user()), group: None },
        env: Vec::new(),
        timeout,
    }
}

fn shell(text: &str, timeout: Duration) -> Job {
    job(&["/bin/sh", "-c", text], timeout)
}

/// A directory that any user may enter and write to.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

async fn await_gone(pid: &str) {
    let gone = async {
        // Killed and not reaped yet by init is gone too.
        let alive = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            !status.is_empty() && !status.contains("State:\tZ")
        };
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while alive() {
            look.tick().await;
        }
    };
    timeout(LONG, gone).await.expect("the process outlived its time");
}

async fn await_text(path: &Path) -> String {
    let written = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        loop {
            look.tick().await;
            if let Ok(text) = fs::read_to_string(path)
                && text.ends_with('\n')
            {
                return text.trim().to_owned();
            }
        }
    };
    timeout(LONG, written).await.expect("nothing was written")
}

#[tokio::test]
async fn its_exit_is_told() {
    assert_eq!(run(shell("exit 0", LONG)).await, Ended::Exited(0));
    assert_eq!(run(shell("exit 7", LONG)).await, Ended::Exited(7));
    assert_eq!(run(shell("kill -9 $$", LONG)).await, Ended::Signalled(9));
}

#[tokio::test]
async fn a_program_that_hangs_dies_with_what_it_started() {
    let folder = open_folder();
    let (child, own) = (folder.path().join("child"), folder.path().join("own"));
    // Neither heeds the request to end.
    let text = format!(
        "trap '' TERM; sh -c \"trap '' TERM; echo \\$\\$ > {}; while :; do sleep 1; done\" & \
         echo $$ > {}; while :; do sleep 1; done",
        child.display(),
        own.display()
    );
    let begun = Instant::now();
    assert_eq!(run(shell(&text, Duration::from_millis(500))).await, Ended::TimedOut);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1400), "{took:?}: it was given no time to end");
    assert!(took < Duration::from_secs(4), "{took:?}");
    let own = await_text(&own).await;
    assert!(!Path::new(&format!("/proc/{own}")).exists(), "it was not reaped");
    await_gone(&await_text(&child).await).await;
}

#[tokio::test]
async fn a_program_that_heeds_the_request_is_not_waited_for() {
    let begun = Instant::now();
    let text = "sleep 60";
    assert_eq!(run(shell(text, Duration::from_millis(100))).await, Ended::TimedOut);
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_program_that_leaves_another_running_has_ended_and_the_other_lives() {
    let folder = open_folder();
    let path = folder.path().join("pid");
    let text = format!("sleep 60 & echo $! > {}", path.display());
    let begun = Instant::now();
    assert_eq!(run(shell(&text, LONG)).await, Ended::Exited(0));
    assert!(begun.elapsed() < LONG / 2);
    let pid = await_text(&path).await;
    assert!(Path::new(&format!("/proc/{pid}")).exists(), "what it started was killed");
    let pid = Pid::from_raw(pid.parse().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_future_that_is_dropped_takes_the_program_with_it() {
    let folder = open_folder();
    let path = folder.path().join("pid");
    let text = format!("sleep 60 & echo $! > {}; wait", path.display());
    let task = tokio::spawn(run(shell(&text, LONG)));
    let pid = await_text(&path).await;
    task.abort();
    await_gone(&pid).await;
}

#[tokio::test]
async fn output_goes_nowhere_and_blocks_nothing() {
    let text = "head -c 1000000 /dev/zero && head -c 1000000 /dev/zero >&2 && test -z \"$(cat)\"";
    assert_eq!(run(shell(text, LONG)).await, Ended::Exited(0));
}

#[tokio::test]
async fn it_gets_what_it_is_given_and_nothing_else() {
    let folder = open_folder();
    let path = folder.path().join("seen");
    let text = "id -un; id -G; pwd; env | sort | tr '\\n' ' '; echo; echo end";
    let mut job = shell(&format!("({text}) > {}", path.display()), LONG);
    job.env = vec![("LEASEHOLD_EPOCH".to_owned(), "17".to_owned())];
    assert_eq!(run(job).await, Ended::Exited(0));
    let seen = await_text(&path).await;
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[0], user());
    if geteuid().is_root() {
        let nobody = User::from_name("nobody").unwrap().unwrap();
        assert_eq!(lines[1], nobody.gid.to_string(), "supplementary groups of root are left");
    }
    assert_eq!(lines[2], "/");
    let env = format!("LEASEHOLD_EPOCH=17 PATH={PATH} PWD=/");
    assert_eq!(lines[3].replace(" _=/usr/bin/env", "").trim(), env);
}

#[tokio::test]
async fn what_does_not_start_says_why() {
    let folder = open_folder();
    let path = folder.path().join("plain");
    fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let said = |ended| {
        let Ended::NotStarted(why) = ended else { panic!("{ended:?}") };
        why
    };
    let plain = path.display().to_string();
    let why = said(run(job(&[&plain], LONG)).await);
    assert!(why.contains(&plain) && why.contains("ermission denied"), "{why}");
    let why = said(run(job(&["no-such-program"], LONG)).await);
    assert!(why.contains("no program no-such-program"), "{why}");
    let mut stranger = shell("exit 0", LONG);
    stranger.run_as.user = Some("no-such-user".to_owned());
    let why = said(run(stranger).await);
    assert!(why.contains("no user no-such-user"), "{why}");
}

#[tokio::test]
async fn root_runs_only_what_root_alone_can_change() {
    if !geteuid().is_root() {
        return;
    }
    let root = |words: &[&str]| {
        let mut job = job(words, LONG);
        job.run_as.user = Some("root".to_owned());
        job
    };
    assert_eq!(run(root(&["sh", "-c", "exit $(id -u)"])).await, Ended::Exited(0));
    let folder = open_folder();
    let path = folder.path().join("link");
    std::os::unix::fs::symlink("/bin/sh", &path).unwrap();
    let path = path.display().to_string();
    let ended = run(root(&[&path, "-c", "exit 0"])).await;
    let Ended::NotStarted(why) = ended else { panic!("{ended:?}") };
    assert!(why.contains("writable by everyone") && why.contains("chmod go-w"), "{why}");
    // Anyone else may: there is nothing to gain by it.
    assert_eq!(run(job(&[&path, "-c", "exit 0"], LONG)).await, Ended::Exited(0));
}

/// A tree that is root's alone, as a place below /tmp never is.
#[test]
fn each_step_of_a_path_is_looked_at() {
    if !geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir_in("/root").unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (inner, program) = (folder.path().join("inner"), folder.path().join("inner/program"));
    fs::create_dir(&inner).unwrap();
    fs::write(&program, "").unwrap();
    mode(&inner, 0o755);
    mode(&program, 0o755);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("inner/../inner/program", &link).unwrap();
    let resolved = fs::canonicalize(&program).unwrap();
    assert_eq!(security::check(&program).unwrap(), resolved);
    assert_eq!(security::check(&link).unwrap(), resolved);
    let said = |path: &Path| security::check(path).unwrap_err().to_string();
    mode(&program, 0o757);
    assert!(said(&link).contains("inner/program is writable by everyone"));
    mode(&program, 0o755);
    mode(&inner, 0o777);
    assert!(said(&link).contains("inner is writable by everyone"));
    mode(&inner, 0o775);
    assert!(said(&link).contains("inner is writable by its group"), "also where it is root's");
    std::os::unix::fs::chown(&inner, None, Some(65534)).unwrap();
    assert!(said(&link).contains("inner is writable by its group"));
    mode(&inner, 0o755);
    std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
    assert!(said(&link).contains("link belongs to user 65534"));
    std::os::unix::fs::symlink("loop", folder.path().join("loop")).unwrap();
    assert!(said(&folder.path().join("loop")).contains("symbolic links"));
}

#[test]
fn words_are_parted_as_by_a_shell() {
    let words = |text| split(text).unwrap();
    assert_eq!(words("/usr/bin/killall -0  haproxy"), ["/usr/bin/killall", "-0", "haproxy"]);
    assert_eq!(
        words(r#"a 'b  c' "d \"e\" \f" g\ h "" i'j'k"#),
        ["a", "b  c", r#"d "e" \f"#, "g h", "", "ijk"]
    );
    assert_eq!(words("a $HOME *;b"), ["a", "$HOME", "*;b"]);
    assert_eq!(split(" \t"), Err(WordsError::Empty));
    assert_eq!(split("'' a"), Err(WordsError::Empty));
    for open in ["a 'b", "a \"b", "a \\", "\"\\"] {
        assert_eq!(split(open), Err(WordsError::OpenQuote(open.to_owned())));
    }
}

#[test]
fn a_script_without_a_user_runs_as_the_clusters() {
    let alerts = Alerts {
        script_user: Some("checker".to_owned()),
        script_group: Some("checkers".to_owned()),
        ..Alerts::default()
    };
    let run_as = |user: Option<&str>, group: Option<&str>, alerts: &Alerts| {
        let owned = |name: Option<&str>| name.map(ToOwned::to_owned);
        let script = Script { command: "true".to_owned(), user: owned(user), group: owned(group) };
        let RunAs { user, group } = Job::new(&script, alerts, vec![], LONG).unwrap().run_as;
        (user, group)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(run_as(None, None, &alerts), (some("checker"), some("checkers")));
    assert_eq!(run_as(None, Some("g"), &alerts), (some("checker"), some("g")));
    // The cluster's group is not that of a user of the script's own.
    assert_eq!(run_as(Some("u"), None, &alerts), (some("u"), None));
    assert_eq!(run_as(None, None, &Alerts::default()), (None, None));
    let (uid, _) = ids(&RunAs::default()).unwrap();
    assert!(!uid.is_root(), "nobody chose root");
}
