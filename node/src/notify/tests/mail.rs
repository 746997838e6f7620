//! Mail, taken by a relay that speaks just enough SMTP.

use std::time::Duration;

use leasehold_model::{Alerts, Global, Notify, SmtpServer};
use leasehold_node_core::notify::{Kind, State};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::bench::{self, LONG};
use crate::notify::mail::{Mail, Mailed, run};
use crate::notify::queue::Queue;
use crate::notify::transition::Change;

/// Answers MAIL with these, one connection after the other; gives on what each client said.
async fn relay(answers: Vec<&'static str>) -> (SmtpServer, mpsc::Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel(64);
    tokio::spawn(async move {
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            write.write_all(b"220 relay\r\n").await.unwrap();
            let mut lines = BufReader::new(read).lines();
            let (mut said, mut data) = (Vec::new(), false);
            while let Ok(Some(line)) = lines.next_line().await {
                let reply = match line.as_str() {
                    "." => "250 taken",
                    "DATA" => "354 go on",
                    "QUIT" => "221 bye",
                    _ if data => "",
                    text if text.starts_with("MAIL") => answer,
                    _ => "250 ok",
                };
                data = if line == "DATA" { true } else { data && line != "." };
                let ends = line == "QUIT";
                said.push(line);
                if !reply.is_empty() {
                    write.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
                }
                if ends {
                    break;
                }
            }
            tell.send(said).await.unwrap();
        }
    });
    (SmtpServer::Address(address), told)
}

async fn next(told: &mut mpsc::Receiver<Vec<String>>) -> Vec<String> {
    timeout(LONG, told.recv()).await.expect("nothing was mailed").expect("the relay lives")
}

fn global(server: SmtpServer) -> Global {
    let mut global = Global {
        alerts: Alerts {
            notification_email: vec!["ops@example.com".to_owned(), "root@localhost".to_owned()],
            notification_email_from: Some("loadb01@example.com".to_owned()),
            smtp_server: Some(server),
            smtp_helo_name: Some("ds1.example.com".to_owned()),
            smtp_connect_timeout_ms: Some(15_000),
            smtp_alert: true,
            ..Alerts::default()
        },
        ..Global::default()
    };
    global.router_id.insert("ds1".to_owned(), "LVS_DEVEL".to_owned());
    global
}

fn change(state: State) -> Change {
    bench::change("VI_1", state, 42, &Notify::default())
}

fn compose(mailed: &mut Mailed, change: &Change, global: &Global) -> Option<Mail> {
    mailed.compose(&change.news(&global.alerts), global)
}

/// Nobody listens there.
fn nowhere() -> SmtpServer {
    SmtpServer::new("127.0.0.1", 9)
}

fn subject(mailed: &mut Mailed, change: &Change, global: &Global) -> Option<String> {
    compose(mailed, change, global).map(|mail| mail.subject().to_owned())
}

#[test]
fn subjects_are_keepaliveds() {
    let global = global(nowhere());
    let mut mailed = Mailed::default();
    for (state, words) in [
        (State::Backup, "Entering BACKUP state"),
        (State::Master, "Entering MASTER state"),
        (State::Fault, "Entering FAULT state"),
        (State::Deleted, "Deleted"),
        (State::Stop, "Stopping"),
    ] {
        let wanted = Some(format!("[LVS_DEVEL] VRRP Instance VI_1 - {words}"));
        assert_eq!(subject(&mut mailed, &change(state), &global), wanted);
    }
    for state in [State::MasterRxLowerPri, State::MasterPriority, State::BackupPriority] {
        assert_eq!(subject(&mut mailed, &change(state), &global), None);
    }
    let mut group = change(State::Master);
    group.transition.kind = Kind::Group;
    let wanted = Some("[LVS_DEVEL] VRRP Group VI_1 - Entering MASTER state".to_owned());
    assert_eq!(subject(&mut mailed, &group, &global), wanted);
    group.node = "ds2".to_owned();
    group.transition.state = State::Backup;
    let wanted = Some("[ds2] VRRP Group VI_1 - Entering BACKUP state".to_owned());
    assert_eq!(subject(&mut mailed, &group, &global), wanted, "a director without a router_id");
}

#[test]
fn nothing_is_mailed_that_nobody_asked_for() {
    let asked = global(nowhere());
    let composes =
        |global: &Global, one: &Change| subject(&mut Mailed::default(), one, global).is_some();
    assert!(composes(&asked, &change(State::Fault)));
    let without = |change: fn(&mut Alerts)| {
        let mut global = asked.clone();
        change(&mut global.alerts);
        global
    };
    let fault = change(State::Fault);
    assert!(!composes(&without(|one| one.smtp_alert = false), &fault));
    assert!(!composes(&without(|one| one.smtp_server = None), &fault));
    assert!(!composes(&without(|one| one.notification_email.clear()), &fault));
    assert!(!composes(&without(|one| one.no_email_faults = true), &fault));
    assert!(composes(&without(|one| one.no_email_faults = true), &change(State::Master)));
    let says = |smtp_alert| {
        let mut event = change(State::Master);
        event.notify.smtp_alert = smtp_alert;
        event
    };
    assert!(!composes(&asked, &says(Some(false))), "the instance's own word counts");
    assert!(composes(&without(|one| one.smtp_alert = false), &says(Some(true))));
}

#[test]
fn no_state_is_mailed_twice_in_a_row() {
    let mut global = global(nowhere());
    global.alerts.no_email_faults = true;
    let mut mailed = Mailed::default();
    let mut composes = |state| subject(&mut mailed, &change(state), &global).is_some();
    assert!(composes(State::Backup));
    assert!(!composes(State::Fault));
    assert!(!composes(State::Backup), "nobody was told that it was anything else");
    assert!(composes(State::Master));
}

#[tokio::test]
async fn a_mail_reaches_the_relay_whole() {
    let (server, mut told) = relay(vec!["250 ok"]).await;
    let queue = Queue::new("mail", 8);
    let task = tokio::spawn(run(queue.clone()));
    queue.push(compose(&mut Mailed::default(), &change(State::Master), &global(server)).unwrap());
    queue.close();
    let said = next(&mut told).await;
    for line in [
        "EHLO ds1.example.com",
        "RCPT TO:<ops@example.com>",
        "RCPT TO:<root@localhost>",
        "From: loadb01@example.com",
        "Subject: [LVS_DEVEL] VRRP Instance VI_1 - Entering MASTER state",
        "X-Mailer: Leasehold",
        "Why: moved by an operator",
        "Epoch: 42",
        "Addresses: 192.168.1.100 2001:db8::1",
    ] {
        assert!(said.iter().any(|one| one == line), "{line} is missing: {said:#?}");
    }
    assert!(said.iter().any(|one| one.starts_with("MAIL FROM:<loadb01@example.com>")), "{said:#?}");
    timeout(LONG, task).await.expect("it ends when it is closed").unwrap();
}

#[tokio::test]
async fn a_relay_that_says_later_is_asked_again_and_one_that_says_no_is_not() {
    let (server, mut told) = relay(vec!["451 later", "550 no", "250 ok"]).await;
    let queue = Queue::new("mail", 8);
    let task = tokio::spawn(run(queue.clone()));
    let (global, mut mailed) = (global(server), Mailed::default());
    queue.push(compose(&mut mailed, &change(State::Backup), &global).unwrap());
    queue.push(compose(&mut mailed, &change(State::Master), &global).unwrap());
    queue.close();
    let had = |said: &[String], text: &str| said.iter().any(|line| line.contains(text));
    assert!(!had(&next(&mut told).await, "Subject"));
    assert!(!had(&next(&mut told).await, "Subject"));
    assert!(had(&next(&mut told).await, "MASTER state"), "the refused one was tried again");
    timeout(LONG, task).await.expect("it ends when it is closed").unwrap();
}

#[tokio::test]
async fn a_relay_that_never_greets_costs_the_time_that_is_set() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut global = global(SmtpServer::Address(listener.local_addr().unwrap()));
    global.alerts.smtp_connect_timeout_ms = Some(50);
    let queue = Queue::new("mail", 8);
    let task = tokio::spawn(run(queue.clone()));
    queue.push(compose(&mut Mailed::default(), &change(State::Master), &global).unwrap());
    let (first, _) = timeout(LONG, listener.accept()).await.expect("it connects").unwrap();
    // It is asked again only after the first connection was given up.
    let again = timeout(Duration::from_secs(5), listener.accept()).await;
    assert!(again.is_ok(), "one silent relay must not hold up all mail");
    drop(first);
    task.abort();
}
