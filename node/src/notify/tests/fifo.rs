//! The pipe, read as operators read it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{Alerts, Config, Global, Instance, Notify, Script};
use leasehold_node_core::notify::State;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::bench::{LONG, Sink, lines_of, news, next, open_folder, user};
use super::{bench, server};
use crate::notify::fifo::{BACKLOG, Fifo, Settings, States, ToPipe, Which};
use crate::notify::news::{Key, News};
use crate::notify::ways::Ways;

fn settings(path: &Path, script: Option<Script>) -> Settings {
    let alerts = Alerts {
        notify_fifo: Some(path.display().to_string()),
        notify_fifo_script: script,
        script_user: Some(user().name),
        ..Alerts::default()
    };
    Settings::new(Which::All, &alerts).expect("it names a pipe")
}

fn start(settings: Settings, states: States) -> (mpsc::Sender<ToPipe>, JoinHandle<()>) {
    let (events, queue) = mpsc::channel(16);
    let (going, _) = oneshot::channel();
    (events, tokio::spawn(Fifo::new(settings, states, None, going).run(queue)))
}

fn change(name: &str, state: State) -> Arc<News> {
    news(name, state, 7, &Notify::default())
}

/// Waits for the pipe to be made.
async fn made(path: &Path) {
    let mut look = tokio::time::interval(Duration::from_millis(5));
    let is_there = || fs::metadata(path).is_ok_and(|one| one.uid() == user().uid.as_raw());
    let waiting = async {
        while !is_there() {
            look.tick().await;
        }
    };
    timeout(LONG, waiting).await.expect("no pipe was made");
}

#[tokio::test]
async fn it_is_made_for_the_scripts_user_and_gets_keepaliveds_lines() {
    let folder = open_folder();
    let path = folder.path().join("fifo");
    let (events, task) = start(settings(&path, None), States::default());
    made(&path).await;
    let found = fs::metadata(&path).unwrap();
    assert!(found.file_type().is_fifo());
    assert_eq!((found.mode() & 0o777, found.uid()), (0o600, user().uid.as_raw()));
    let mut lines = lines_of(&path);
    for state in [State::Backup, State::Master, State::MasterRxLowerPri, State::MasterPriority] {
        events.send(ToPipe::News(change("VI_1", state))).await.unwrap();
    }
    for word in ["BACKUP", "MASTER", "MASTER_RX_LOWER_PRI", "MASTER_PRIORITY"] {
        assert_eq!(next(&mut lines).await, format!("INSTANCE \"VI_1\" {word} 100"));
    }
    drop(events);
    timeout(LONG, task).await.expect("it ends with its writer").unwrap();
    assert!(path.exists(), "it stays for the reader, which need not begin anew");
}

#[tokio::test]
async fn an_older_pipe_is_used_and_what_is_none_is_left_alone() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let path = folder.path().join("sink");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let (events, task) = start(settings(&path, None), States::default());
    events.send(ToPipe::News(change("VI_1", State::Master))).await.unwrap();
    drop(events);
    timeout(LONG, task).await.expect("it leaves alone what others may write to").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    let (events, _task) = start(settings(&path, None), States::default());
    events.send(ToPipe::News(change("VI_1", State::Fault))).await.unwrap();
    assert_eq!(sink.next().await, "INSTANCE \"VI_1\" FAULT 100");
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);

    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for other in [&file, &link] {
        let (events, task) = start(settings(other, None), States::default());
        events.send(ToPipe::News(change("VI_1", State::Master))).await.unwrap();
        drop(events);
        timeout(LONG, task).await.expect("it gives up when it is told to end").unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    events.send(ToPipe::News(change("VI_2", State::Fault))).await.unwrap();
    assert_eq!(sink.next().await, "INSTANCE \"VI_2\" FAULT 100", "nothing came by the link");
}

#[tokio::test]
async fn a_full_pipe_keeps_a_backlog_and_a_new_one_is_told_how_everything_stands() {
    let folder = open_folder();
    let path = folder.path().join("fifo");
    let mut states = States::default();
    states.handle_news(&change("VI_1", State::Master));
    states.handle_news(&change("VI_2", State::Backup));
    states.handle_news(&change("VI_2", State::BackupPriority));
    let (events, task) = start(settings(&path, None), states);
    made(&path).await;
    // Those that come now are of none of these, and none that a new reader is told of.
    let known = ["VI_1", "VI_2"].map(|name| Key::Instance(name.to_owned()));
    events.send(ToPipe::Keys(Arc::new(known.into()))).await.unwrap();
    // Each line has 36 bytes: the pipe's sixteen pages take 1800 of them.
    let total = 1800 + 2 * BACKLOG;
    for number in 0..total {
        events
            .send(ToPipe::News(change(&format!("instance-{number:06}"), State::Stop)))
            .await
            .unwrap();
    }
    drop(events);
    let mut lines = lines_of(&path);
    assert_eq!(next(&mut lines).await, "INSTANCE \"VI_1\" MASTER 100");
    assert_eq!(next(&mut lines).await, "INSTANCE \"VI_2\" BACKUP 100");
    let mut told: Vec<usize> = Vec::new();
    while told.last() != Some(&(total - 1)) {
        let line = next(&mut lines).await;
        let number = line.split('"').nth(1).and_then(|name| name.strip_prefix("instance-"));
        told.push(number.expect("a whole line").parse().unwrap());
    }
    assert!(told.is_sorted(), "the order was changed");
    let gaps: Vec<_> = told.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert_eq!(gaps.len(), 1, "the oldest of those that waited are missing, and no others");
    assert!(told.len() >= BACKLOG + 1700, "{}", told.len());
    timeout(LONG, task).await.expect("it ends when all is written").unwrap();
}

#[tokio::test]
async fn its_reader_gets_the_path_and_is_told_everything_again_when_it_starts_anew() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let path = folder.path().join("fifo");
    let reader = folder.path().join("reader");
    // It reads two lines, and fails.
    let text = format!(
        "#!/bin/sh\nexec 3< \"$2\"\nfor i in 1 2; do read -r line <&3; echo \"$1 $line\" > {}; done\nexit 1\n",
        sink.path()
    );
    fs::write(&reader, text).unwrap();
    let command = format!("/bin/sh {} 'first word'", reader.display());
    let script = Script { command, user: None, group: None };
    let (events, task) = start(settings(&path, Some(script)), States::default());
    events.send(ToPipe::News(change("VI_1", State::Backup))).await.unwrap();
    events.send(ToPipe::News(change("VI_1", State::Master))).await.unwrap();
    assert_eq!(sink.next().await, "first word INSTANCE \"VI_1\" BACKUP 100");
    assert_eq!(sink.next().await, "first word INSTANCE \"VI_1\" MASTER 100");
    // What it had read is forgotten with it, so the state is told again.
    assert_eq!(sink.next().await, "first word INSTANCE \"VI_1\" MASTER 100");
    drop(events);
    // The last writer is gone: it reads to the end, and ends.
    assert_eq!(sink.next().await, "first word ");
    timeout(LONG, task).await.expect("it ends with its reader").unwrap();
}

#[tokio::test]
async fn a_reader_that_starts_anew_hears_nothing_of_what_left_the_configuration() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let path = folder.path().join("fifo");
    let reader = folder.path().join("reader");
    // It reads one line, and ends.
    let text = format!("#!/bin/sh\nread -r line < \"$1\"; echo \"$line\" > {}\n", sink.path());
    fs::write(&reader, text).unwrap();
    let command = format!("/bin/sh {}", reader.display());
    let script = Script { command, user: None, group: None };
    let (events, _task) = start(settings(&path, Some(script)), States::default());
    events.send(ToPipe::News(change("VI_1", State::Fault))).await.unwrap();
    events.send(ToPipe::Keys(Arc::new([Key::Instance("VI_2".to_owned())].into()))).await.unwrap();
    assert_eq!(sink.next().await, "INSTANCE \"VI_1\" FAULT 100");
    events.send(ToPipe::News(change("VI_2", State::Backup))).await.unwrap();
    // The second start is told what waited, the third how everything stands.
    for _ in 0..2 {
        assert_eq!(sink.next().await, "INSTANCE \"VI_2\" BACKUP 100");
    }
}

async fn follow(ways: &mut Ways, alerts: Alerts) -> Global {
    let config = Config {
        global: Global { alerts, ..Global::default() },
        instances: [("VI_1".to_owned(), Instance::new(1, "eth0"))].into(),
        ..Config::default()
    };
    ways.follow(&config).await;
    config.global
}

/// The old one would take lines that the new one never sees.
#[tokio::test]
async fn a_new_reader_is_told_nothing_before_the_old_one_is_gone() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    // It reads on until it is killed, whatever it is asked.
    let text = format!(
        "#!/bin/sh\ntrap '' TERM\nexec 3< \"$2\"\nwhile read -r line <&3; do echo \"$1 $line\" > {}; done\n",
        sink.path()
    );
    let reader = folder.path().join("reader");
    fs::write(&reader, text).unwrap();
    let alerts = |who: &str| Alerts {
        notify_fifo: Some(folder.path().join("fifo").display().to_string()),
        notify_fifo_script: Some(Script {
            command: format!("/bin/sh {} {who}", reader.display()),
            user: None,
            group: None,
        }),
        script_user: Some(user().name),
        ..Alerts::default()
    };
    let instance =
        |state| bench::change("VI_1", state, 7, &Notify::default()).news(&Alerts::default());
    let mut ways = Ways::new();
    let global = follow(&mut ways, alerts("old")).await;
    ways.tell(instance(State::Backup), &global).await;
    assert_eq!(sink.next().await, "old INSTANCE \"VI_1\" BACKUP 100");
    let global = follow(&mut ways, alerts("new")).await;
    ways.tell(instance(State::Master), &global).await;
    assert_eq!(sink.next().await, "new INSTANCE \"VI_1\" BACKUP 100");
    assert_eq!(sink.next().await, "new INSTANCE \"VI_1\" MASTER 100");
}

/// Who reads it by themselves know how everything stands.
#[tokio::test]
async fn another_user_of_scripts_is_no_reason_to_tell_everything_again() {
    let folder = open_folder();
    let path = folder.path().join("fifo");
    let alerts = |group: Option<&str>| Alerts {
        notify_fifo: Some(path.display().to_string()),
        script_user: Some(user().name),
        script_group: group.map(str::to_owned),
        ..Alerts::default()
    };
    let instance =
        |state| bench::change("VI_1", state, 7, &Notify::default()).news(&Alerts::default());
    let mut ways = Ways::new();
    let global = follow(&mut ways, alerts(None)).await;
    made(&path).await;
    let mut lines = lines_of(&path);
    ways.tell(instance(State::Backup), &global).await;
    assert_eq!(next(&mut lines).await, "INSTANCE \"VI_1\" BACKUP 100");
    let global = follow(&mut ways, alerts(Some("nogroup"))).await;
    ways.tell(instance(State::Master), &global).await;
    assert_eq!(next(&mut lines).await, "INSTANCE \"VI_1\" MASTER 100");
}

/// As keepalived has it: `notify_fifo` is another pipe, and the other two are one.
#[tokio::test]
async fn one_pipe_of_both_kinds_is_opened_once_and_told_everything_once() {
    let folder = open_folder();
    let path = |name: &str| Some(folder.path().join(name).display().to_string());
    let follow = async |ways: &mut Ways, vrrp: &str, lvs: &str| {
        let alerts = Alerts {
            notify_fifo: path("all"),
            vrrp_notify_fifo: path(vrrp),
            lvs_notify_fifo: path(lvs),
            script_user: Some(user().name),
            ..Alerts::default()
        };
        let config = Config { global: Global { alerts, ..Global::default() }, ..Config::default() };
        ways.follow(&config).await;
        config.global
    };
    let real = |number| server::change(number, false).news("c1", "ds1", &Alerts::default());
    let line = |number| format!("RS [10.0.0.{number}]:tcp:80 [192.168.1.100]:tcp:80 DOWN");
    let instance =
        |state| bench::change("VI_1", state, 7, &Notify::default()).news(&Alerts::default());

    let mut ways = Ways::new();
    let global = follow(&mut ways, "both", "both").await;
    let (all, both) = (folder.path().join("all"), folder.path().join("both"));
    made(&all).await;
    made(&both).await;
    let (mut all, mut both) = (lines_of(&all), lines_of(&both));
    ways.tell(instance(State::Master), &global).await;
    ways.tell(real(1), &global).await;
    ways.tell(instance(State::Fault), &global).await;
    for lines in [&mut all, &mut both] {
        assert_eq!(next(lines).await, "INSTANCE \"VI_1\" MASTER 100");
        assert_eq!(next(lines).await, line(1));
        assert_eq!(next(lines).await, "INSTANCE \"VI_1\" FAULT 100");
    }

    // From now on it is that of instances alone.
    let global = follow(&mut ways, "both", "lvs").await;
    made(&folder.path().join("lvs")).await;
    let mut lvs = lines_of(&folder.path().join("lvs"));
    ways.tell(real(2), &global).await;
    ways.tell(instance(State::Stop), &global).await;
    assert_eq!(next(&mut lvs).await, line(2));
    assert_eq!(next(&mut both).await, "INSTANCE \"VI_1\" STOP 100");
    timeout(LONG, ways.finish()).await.expect("it ends when all is written");
}
