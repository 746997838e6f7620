//! News of real servers and quorums, and that a flood of it holds up no other.

use std::sync::Arc;
use std::time::Duration;

use leasehold_dataplane::checker::{Cause, Event, Standing, Subject};
use leasehold_model::{
    Alerts, Config, Epoch, Family, Fwmark, Global, Instance, Notify, Protocol, RealServer, Script,
    Service, SmtpServer, VirtualServer,
};
use leasehold_node_core::notify::State;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::bench::{LONG, Sink, news, open_folder, shell, user};
use crate::notify::fifo::{States, Which};
use crate::notify::mail::Mailed;
use crate::notify::news::{Field, Key, Lasting, News, keys};
use crate::notify::scripts::{PARALLEL, Scripts};
use crate::notify::server::{ServerChange, WAITING, line};
use crate::notify::ways::Ways;

fn service() -> Service {
    Service::Address("192.168.1.100:80".parse().unwrap())
}

fn event(subject: Subject, up: bool, cause: Cause) -> Event {
    let server = (service(), Protocol::Tcp);
    Event { server, subject, up, cause, script: None, smtp_alert: None }
}

fn real(number: u16) -> Subject {
    let [high, low] = number.to_be_bytes();
    Subject::RealServer(([10, 0, high, low], 80).into())
}

/// Of one real server of many.
pub(super) fn change(number: u16, up: bool) -> ServerChange {
    let cause = Cause::Standing(if up { Standing::Up } else { Standing::Failed });
    ServerChange::new(event(real(number), up, cause), "refused".to_owned(), Epoch(42))
}

fn told(event: Event, alerts: &Alerts) -> News {
    let cause = event.cause.to_string();
    ServerChange::new(event, cause, Epoch(42)).news("c1", "ds1", alerts)
}

fn post(news: &News) -> Value {
    let mut post: Value = serde_json::from_str(&news.json).unwrap();
    assert!(post["unix_ms"].as_u64() > Some(1_700_000_000_000), "{post}");
    post.as_object_mut().unwrap().remove("unix_ms");
    post
}

fn env(news: &News) -> Vec<String> {
    let mut all: Vec<_> = news.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    all.sort();
    all
}

#[test]
fn a_real_servers_news_names_it_and_its_virtual_server() {
    let script = Script { command: "/down".to_owned(), user: None, group: None };
    let mut event = event(real(1), false, Cause::Standing(Standing::Disabled));
    event.script = Some(script.clone());
    let news = told(event, &Alerts::default());
    assert_eq!(news.line, "RS [10.0.0.1]:tcp:80 [192.168.1.100]:tcp:80 DOWN");
    assert_eq!((news.state, news.lasting), ("DOWN", Lasting::State));
    let [call] = &news.scripts[..] else { panic!("one script") };
    assert_eq!((call.word, &call.script, call.arguments.len()), ("notify_down", &script, 0));
    let cause = "an operator disabled it";
    assert_eq!(
        env(&news),
        [
            &format!("LEASEHOLD_CAUSE={cause}"),
            "LEASEHOLD_CLUSTER=c1",
            "LEASEHOLD_EPOCH=42",
            "LEASEHOLD_KIND=RS",
            "LEASEHOLD_NODE=ds1",
            "LEASEHOLD_REAL_SERVER=10.0.0.1:80",
            "LEASEHOLD_STATE=DOWN",
            "LEASEHOLD_VIRTUAL_SERVER=192.168.1.100:80",
        ]
    );
    assert_eq!(
        post(&news),
        json!({
            "cluster": "c1", "node": "ds1", "kind": "RS", "virtual_server": "192.168.1.100:80",
            "real_server": "10.0.0.1:80", "state": "DOWN", "epoch": 42, "cause": cause,
        })
    );
}

#[test]
fn a_quorums_news_has_no_real_server_and_the_name_that_commands_take() {
    let words = |event: Event| {
        let word = told(event, &Alerts::default()).scripts.first().map(|call| call.word);
        word.expect("a script")
    };
    for (subject, up, word) in [
        (Subject::VirtualServer, true, "quorum_up"),
        (Subject::VirtualServer, false, "quorum_down"),
        (real(1), true, "notify_up"),
        (real(1), false, "notify_down"),
    ] {
        let mut event = event(subject, up, Cause::Quorum);
        event.script = Some(Script { command: "/one".to_owned(), user: None, group: None });
        assert_eq!(words(event), word);
    }
    let mut event = event(Subject::VirtualServer, true, Cause::Quorum);
    let fwmark = Service::Fwmark(Fwmark { mark: 7, family: Family::Inet6 });
    for (service, protocol, name) in [
        (service(), Protocol::Udp, "192.168.1.100:80/udp"),
        (fwmark, Protocol::Tcp, "fwmark 7 inet6"),
        (Service::Group("web".to_owned()), Protocol::Tcp, "group web"),
    ] {
        event.server = (service, protocol);
        let news = told(event.clone(), &Alerts::default());
        assert!(news.scripts.is_empty(), "none is configured");
        let wanted = json!({
            "cluster": "c1", "node": "ds1", "kind": "VS", "virtual_server": name, "state": "UP",
            "epoch": 42, "cause": Cause::Quorum.to_string(),
        });
        assert_eq!(post(&news), wanted);
        assert!(env(&news).contains(&format!("LEASEHOLD_VIRTUAL_SERVER={name}")));
        assert!(env(&news).iter().all(|one| !one.contains("REAL_SERVER")));
    }
}

#[test]
fn mail_is_of_real_servers_where_nobody_says_anything_and_else_of_those_that_are_asked_for() {
    let mut global = Global::default();
    global.alerts.smtp_server = Some(SmtpServer::new("127.0.0.1", 9));
    global.alerts.notification_email = vec!["ops@example.com".to_owned()];
    // Of instances alone.
    global.alerts.smtp_alert = true;
    let subject = |subject, own, global: &Global| {
        let mut event = event(subject, false, Cause::Quorum);
        event.smtp_alert = own;
        let mail = Mailed::default().compose(&told(event, &global.alerts), global);
        mail.map(|mail| mail.subject().to_owned())
    };
    let of_real =
        "[ds1] Realserver [10.0.0.1]:tcp:80 of virtual server [192.168.1.100]:tcp:80 - DOWN";
    let of_quorum = "[ds1] Virtualserver [192.168.1.100]:tcp:80 - DOWN";
    for (own, checker, real_is, quorum_is) in [
        (None, None, true, false),
        (None, Some(true), true, true),
        (None, Some(false), false, false),
        (Some(true), Some(false), true, true),
        (Some(false), Some(true), false, false),
    ] {
        global.alerts.smtp_alert_checker = checker;
        let wanted = |is: bool, text: &str| is.then(|| text.to_owned());
        assert_eq!(subject(real(1), own, &global), wanted(real_is, of_real));
        assert_eq!(subject(Subject::VirtualServer, own, &global), wanted(quorum_is, of_quorum));
    }
}

#[test]
fn a_way_back_that_nobody_wanted_mailed_and_a_stranger_swallow_no_mail() {
    let mut global = Global::default();
    global.alerts.smtp_server = Some(SmtpServer::new("127.0.0.1", 9));
    global.alerts.notification_email = vec!["ops@example.com".to_owned()];
    let is_mailed = |mailed: &mut Mailed, up, wanted| {
        let mut event = event(real(1), up, Cause::Quorum);
        event.smtp_alert = Some(wanted);
        mailed.compose(&told(event, &global.alerts), &global).is_some()
    };
    let mut mailed = Mailed::default();
    assert!(is_mailed(&mut mailed, false, true));
    assert!(!is_mailed(&mut mailed, false, true), "it was the last one mailed");
    assert!(!is_mailed(&mut mailed, true, false));
    assert!(is_mailed(&mut mailed, false, true), "it came back in between");
    // One that was down when it left the configuration is down again where it comes back so.
    mailed.retain(&Arc::default());
    assert!(is_mailed(&mut mailed, false, true));
    assert!(is_mailed(&mut mailed, false, true));
}

#[test]
fn what_left_the_configuration_is_forgotten_and_pipes_have_what_is_theirs() {
    let mut states = States::default();
    let quorum = |cause| told(event(Subject::VirtualServer, true, cause), &Alerts::default());
    let down = |number| change(number, false).news("c1", "ds1", &Alerts::default());
    states.handle_news(&down(2));
    states.handle_news(&down(1));
    states.handle_news(&quorum(Cause::Began));
    states.handle_news(&news("VI_1", State::Backup, 7, &Notify::default()));
    let instance = "INSTANCE \"VI_1\" BACKUP 100\n".to_owned();
    let rs = |number| format!("RS [10.0.0.{number}]:tcp:80 [192.168.1.100]:tcp:80 DOWN\n");
    let vs = "VS [192.168.1.100]:tcp:80 UP\n".to_owned();
    let lines = |states: &States, which| Vec::from(states.of(which).lines());
    let lvs = Which::Of(Field::Lvs);
    assert_eq!(lines(&states, lvs), [rs(1), rs(2), vs.clone()]);
    assert_eq!(lines(&states, Which::Of(Field::Vrrp)).concat(), instance);
    assert_eq!(lines(&states, Which::All), [instance.clone(), rs(1), rs(2), vs.clone()]);

    let mut config = Config::default();
    config.instances.insert("VI_1".to_owned(), Instance::new(1, "eth0"));
    let mut server = VirtualServer::new(service(), Protocol::Tcp);
    server.real_servers.push(RealServer::new("10.0.0.2:80".parse().unwrap()));
    config.virtual_servers.push(server);
    states.retain(&Arc::new(keys(&config)));
    assert_eq!(lines(&states, Which::All), [instance.clone(), rs(2), vs]);
    // Nor is what was seen of it before, and is told after it has left.
    states.handle_news(&down(1));
    assert_eq!(
        lines(&states, Which::All),
        [instance.clone(), rs(2), "VS [192.168.1.100]:tcp:80 UP\n".to_owned()]
    );
    // Its last word comes after the configuration.
    states.handle_news(&quorum(Cause::Removed));
    assert_eq!(lines(&states, Which::All), [instance, rs(2)]);
}

#[tokio::test]
async fn a_line_that_is_full_drops_the_oldest_and_one_that_is_dropped_ends() {
    let (line, changes) = line();
    let port = |number: usize| u16::try_from(number % (1 << 16)).unwrap();
    for number in 0..=WAITING {
        line.push(change(port(number), false));
    }
    drop(line);
    let mut left = Vec::new();
    while let Some(one) = timeout(LONG, changes.pop()).await.expect("nobody waits here") {
        left.push(one.event.subject);
    }
    assert_eq!(left.len(), WAITING);
    assert_eq!(left.last(), Some(&real(port(WAITING))));
    assert_eq!(left.first(), Some(&real(port(1))));
}

#[tokio::test]
async fn real_servers_whose_scripts_hang_hold_up_no_instance() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let global = Global {
        alerts: Alerts { script_user: Some(user().name), ..Alerts::default() },
        ..Global::default()
    };
    let mut ways = Ways::new();
    for number in 0..u16::try_from(2 * PARALLEL).unwrap() {
        let mut one = change(number, false);
        one.event.script = Some(shell("exec tail -f /dev/null"));
        ways.tell(one.news("c1", "ds1", &global.alerts), &global).await;
    }
    let master = Some(shell(&format!("echo $LEASEHOLD_STATE > {}", sink.path())));
    let notify = Notify { notify_master: master, ..Notify::default() };
    let news = std::sync::Arc::unwrap_or_clone(news("VI_1", State::Master, 7, &notify));
    ways.tell(news, &global).await;
    let line = async {
        loop {
            tokio::select! {
                line = sink.next() => return line,
                () = ways.turn() => {}
            }
        }
    };
    // Half of what one that hangs may take.
    let line = timeout(Duration::from_secs(15), line).await.expect("it waits for others");
    assert_eq!(line, "MASTER");
}

#[test]
fn each_subject_has_its_own_key() {
    let key = |number: u16| change(number, false).news("c1", "ds1", &Alerts::default()).key;
    assert_eq!(key(1), change(1, true).news("c1", "ds1", &Alerts::default()).key);
    assert_ne!(key(1), key(2));
    assert!(key(1) > Key::Group("z".to_owned()), "instances are told of first");
}

#[tokio::test]
async fn the_script_of_a_quorum_comes_before_those_of_real_servers_that_wait() {
    let folder = open_folder();
    let mut sink = Sink::new(folder.path());
    let alerts = Alerts { script_user: Some(user().name), ..Alerts::default() };
    let starting = Box::leak(Box::new(Semaphore::new(64)));
    let mut scripts = Scripts::new(LONG, Duration::from_millis(300), starting);
    for subject in [real(1), real(2), Subject::VirtualServer] {
        let mut event = event(subject, false, Cause::Quorum);
        event.script = Some(shell(&format!("echo $LEASEHOLD_KIND > {}", sink.path())));
        scripts.handle_news(&told(event, &alerts), &alerts);
    }
    scripts.finish().await;
    for kind in ["RS", "VS", "RS"] {
        assert_eq!(sink.next().await, kind);
    }
}
