//! Scripts that do as they should, and those that hurt.

use std::time::Duration;

use leasehold_model::{Alerts, Notify};
use leasehold_node_core::notify::{Kind, State};
use tokio::sync::Semaphore;

use super::bench::{LONG, Sink, change, news, open_folder, shell, user};
use crate::notify::scripts::{Scripts, WAITING, WAITING_IN_ALL};

/// So many may be started at once.
fn starts(count: usize) -> &'static Semaphore {
    Box::leak(Box::new(Semaphore::new(count)))
}

/// Runs what was planned until the sink has a line.
async fn next(scripts: &mut Scripts, sink: &mut Sink) -> String {
    loop {
        tokio::select! {
            line = sink.next() => return line,
            () = scripts.turn() => {}
        }
    }
}

fn every(text: &str) -> Notify {
    Notify { notify: Some(shell(text)), ..Notify::default() }
}

#[tokio::test]
async fn the_one_for_the_state_runs_first_and_has_no_more_words_than_configured() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let tell = |who: &str| Some(shell(&format!("echo {who} $# \"$*\" > {}", sink.path())));
    let notify = Notify {
        notify: tell("any"),
        notify_master: tell("master"),
        notify_backup: tell("backup"),
        notify_fault: tell("fault"),
        notify_stop: tell("stop"),
        notify_deleted: tell("deleted"),
        notify_master_rx_lower_pri: tell("lower"),
        ..Notify::default()
    };
    let mut scripts = Scripts::new(LONG, Duration::ZERO, starts(64));
    for (state, word, own) in [
        (State::Backup, "BACKUP", "backup"),
        (State::Master, "MASTER", "master"),
        (State::Fault, "FAULT", "fault"),
        (State::Stop, "STOP", "stop"),
        (State::Deleted, "DELETED", "deleted"),
    ] {
        scripts.handle_news(&news("VI_1", state, 7, &notify), &Alerts::default());
        assert_eq!(next(&mut scripts, &mut sink).await, format!("{own} 0 "));
        let all = format!("any 4 INSTANCE VI_1 {word} 100");
        assert_eq!(next(&mut scripts, &mut sink).await, all);
    }
    // These are no states: `notify` hears nothing of them, and what comes next is the next state.
    for state in [State::MasterPriority, State::BackupPriority, State::MasterRxLowerPri] {
        scripts.handle_news(&news("VI_1", state, 7, &notify), &Alerts::default());
    }
    assert_eq!(next(&mut scripts, &mut sink).await, "lower 0 ");
    scripts.handle_news(&news("VI_1", State::Backup, 7, &notify), &Alerts::default());
    assert_eq!(next(&mut scripts, &mut sink).await, "backup 0 ");
}

#[tokio::test]
async fn a_group_is_told_as_such() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let notify = every(&format!("echo \"$*\" $LEASEHOLD_KIND > {}", sink.path()));
    let mut one = change("G", State::Fault, 7, &notify);
    one.transition.kind = Kind::Group;
    one.transition.priority = 0;
    let mut scripts = Scripts::new(LONG, Duration::ZERO, starts(64));
    scripts.handle_news(&one.news(&Alerts::default()), &Alerts::default());
    assert_eq!(next(&mut scripts, &mut sink).await, "GROUP G FAULT 0 GROUP");
}

#[tokio::test]
async fn the_environment_has_the_epoch_and_the_rest() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let text = format!("(env | grep ^LEASEHOLD_ | sort; id -un) > {}", sink.path());
    let mut scripts = Scripts::new(LONG, Duration::ZERO, starts(64));
    scripts.handle_news(&news("VI_1", State::Master, 42, &every(&text)), &Alerts::default());
    for line in [
        "LEASEHOLD_CAUSE=moved by an operator",
        "LEASEHOLD_CLUSTER=c1",
        "LEASEHOLD_EPOCH=42",
        "LEASEHOLD_INSTANCE=VI_1",
        "LEASEHOLD_KIND=INSTANCE",
        "LEASEHOLD_NODE=ds1",
        "LEASEHOLD_PRIORITY=100",
        "LEASEHOLD_STATE=MASTER",
        "LEASEHOLD_VIPS=192.168.1.100 2001:db8::1",
        &user().name,
    ] {
        assert_eq!(next(&mut scripts, &mut sink).await, line);
    }
}

/// Every kind of bad script of one instance; those of another are not delayed, and the next one
/// of the same instance runs when the bad one has ended or was killed.
#[tokio::test]
async fn a_bad_script_delays_its_own_instance_only_and_that_for_a_while() {
    for bad in [
        "exec tail -f /dev/null",
        "exit 3",
        "kill -9 $$",
        "tail -f /dev/null & tail -f /dev/null & wait",
        "head -c 1000000 /dev/zero | tr \"\\0\" x; head -c 1000000 /dev/zero >&2",
        "trap \"\" TERM; tail -f /dev/null",
        "exec /nowhere/to/be/found",
    ] {
        let folder = open_folder();
        let mut sink = Sink::new(folder.path());
        let good = |who: &str| Some(shell(&format!("echo {who} > {}", sink.path())));
        let notify =
            Notify { notify_master: Some(shell(bad)), notify: good("late"), ..Notify::default() };
        let other = Notify { notify: good("other"), ..Notify::default() };
        let mut scripts = Scripts::new(Duration::from_secs(2), Duration::ZERO, starts(64));
        let alerts = Alerts::default();
        let began = std::time::Instant::now();
        scripts.handle_news(&news("bad", State::Master, 1, &notify), &alerts);
        scripts.handle_news(&news("good", State::Master, 1, &other), &alerts);
        let mut told = vec![next(&mut scripts, &mut sink).await];
        if told[0] == "other" {
            assert!(began.elapsed() < Duration::from_secs(2), "{bad}: {:?}", began.elapsed());
        }
        told.push(next(&mut scripts, &mut sink).await);
        told.sort();
        assert_eq!(told, ["late", "other"], "{bad}");
    }
}

#[tokio::test]
async fn what_was_superseded_still_runs_in_order_and_the_oldest_goes_where_too_many_wait() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let gate = folder.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    std::fs::set_permissions(&gate, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let text = "test $LEASEHOLD_EPOCH != 0 || read line < GATE; echo $LEASEHOLD_EPOCH > SINK";
    let text = text.replace("GATE", &gate.display().to_string());
    let notify = every(&text.replace("SINK", &sink.path().to_string()));
    let mut scripts = Scripts::new(LONG, Duration::ZERO, starts(64));
    let total = WAITING as u64 + 5;
    for epoch in 0..=total {
        let state = if epoch % 2 == 0 { State::Backup } else { State::Master };
        scripts.handle_news(&news("VI_1", state, epoch, &notify), &Alerts::default());
    }
    assert_eq!(scripts.dropped(), 5);
    let open = tokio::task::spawn_blocking(move || std::fs::write(gate, "open\n"));
    assert_eq!(next(&mut scripts, &mut sink).await, "0", "it ran when the others came");
    open.await.unwrap().unwrap();
    for epoch in 6..=total {
        assert_eq!(next(&mut scripts, &mut sink).await, epoch.to_string());
    }
}

#[tokio::test]
async fn those_that_are_to_begin_apart_all_begin_one_after_the_other() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let apart = Duration::from_millis(50);
    let mut scripts = Scripts::new(LONG, apart, starts(64));
    let notify = every(&format!("echo $LEASEHOLD_INSTANCE > {}", sink.path()));
    let began = std::time::Instant::now();
    for name in ["a", "b", "c", "d", "e"] {
        scripts.handle_news(&news(name, State::Master, 7, &notify), &Alerts::default());
    }
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(next(&mut scripts, &mut sink).await);
    }
    assert!(began.elapsed() >= 2 * apart, "{:?}", began.elapsed());
    // The end of all of them waits for those that have not begun, too.
    scripts.finish().await;
    for _ in 0..2 {
        told.push(sink.next().await);
    }
    told.sort();
    assert_eq!(told, ["a", "b", "c", "d", "e"]);
    assert!(began.elapsed() >= 4 * apart, "{:?}", began.elapsed());
}

/// As when so many starts hang that there is room for none.
#[tokio::test]
async fn starts_that_hang_hold_up_only_those_of_the_same_field() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let notify = |who: &str| every(&format!("echo {who} > {}", sink.path()));
    let (held, free) = (notify("held"), notify("free"));
    let mut hanging = Scripts::new(Duration::from_millis(100), Duration::ZERO, starts(0));
    hanging.handle_news(&news("VI_1", State::Master, 7, &held), &Alerts::default());
    hanging.finish().await;
    let mut scripts = Scripts::new(LONG, Duration::ZERO, starts(1));
    scripts.handle_news(&news("VI_1", State::Master, 7, &free), &Alerts::default());
    assert_eq!(next(&mut scripts, &mut sink).await, "free");
}

#[tokio::test]
async fn what_waits_is_bounded_over_all_subjects_too() {
    // The first begins, and has no room to start; the others wait for their time to begin.
    let mut scripts = Scripts::new(LONG, LONG, starts(0));
    for number in 0..=WAITING_IN_ALL + 5 {
        let one = news(&number.to_string(), State::Master, 7, &every("true"));
        scripts.handle_news(&one, &Alerts::default());
    }
    assert_eq!(scripts.dropped(), 5);
    // One that was dropped is planned as any other when it is told again.
    scripts.handle_news(&news("1", State::Backup, 7, &every("true")), &Alerts::default());
    assert_eq!(scripts.dropped(), 6);
}
