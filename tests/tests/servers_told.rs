//! What a director tells when real servers and quorums come and go, end to end: scripts, pipes and
//! mail, where it is served, and whatever hangs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use leasehold_lab::cluster::{Cluster, Plan, SOON, instance};
use leasehold_lab::peers::web::Web;
use leasehold_lab::{Host, Result, Signal, find_binary};

const VIP: &str = "192.168.1.100";
const REAL: &str = "192.168.1.9";

/// A folder that scripts of any user may write to.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("leasehold-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("its mode");
        Self(path)
    }

    /// A pipe in it, which scripts may write to, and its lines from now on.
    fn sink(&self, name: &str) -> (PathBuf, Receiver<String>) {
        self.pipe(name, "666")
    }

    /// One that nobody else may write to.
    fn own(&self, name: &str) -> (PathBuf, Receiver<String>) {
        self.pipe(name, "600")
    }

    fn pipe(&self, name: &str, mode: &str) -> (PathBuf, Receiver<String>) {
        let path = self.0.join(name);
        let made = Command::new("mkfifo").args(["-m", mode]).arg(&path).status();
        assert!(made.expect("mkfifo").success());
        let file = fs::OpenOptions::new().read(true).write(true).open(&path).expect("the pipe");
        let (tell, told) = sync_channel(1024);
        std::thread::spawn(move || {
            for line in BufReader::new(file.take(1 << 20)).lines().map_while(std::io::Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        (path, told)
    }

    /// A script that says by whom it was run, with how many arguments, as which user, and why.
    fn script(&self, sink: &Path) -> String {
        let path = self.0.join("told");
        let text = format!(
            "#!/bin/sh\nwho=$1\nshift\n\
             echo \"$who $# $LEASEHOLD_KIND $LEASEHOLD_VIRTUAL_SERVER ${{LEASEHOLD_REAL_SERVER:--}} \
             $LEASEHOLD_STATE $LEASEHOLD_NODE $LEASEHOLD_EPOCH $(id -un) $LEASEHOLD_CAUSE\" > {}\n",
            sink.display()
        );
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn next(told: &Receiver<String>) -> String {
    told.recv_timeout(SOON).expect("nothing was told")
}

/// So many in a row; where some are missing, says what came.
fn several(told: &Receiver<String>, number: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    while all.len() < number {
        let line = told.recv_timeout(SOON);
        all.push(line.unwrap_or_else(|_| panic!("no more was told than {all:#?}")));
    }
    all
}

/// What a pipe had left when its writers ended.
fn rest(path: &Path, told: &Receiver<String>) -> Vec<String> {
    const END: &str = "the end";
    fs::write(path, format!("{END}\n")).expect("the pipe");
    std::iter::repeat_with(|| next(told)).take_while(|line| line != END).collect()
}

/// Scripts of different subjects run side by side: in any order.
fn next_two(told: &Receiver<String>) -> [String; 2] {
    let mut two = [next(told), next(told)];
    two.sort();
    two
}

/// A relay at port 25 of a host; the subjects of what it takes.
fn relay(host: &Host) -> Result<Receiver<String>> {
    let listener = host.enter(|| TcpListener::bind("0.0.0.0:25"))?.expect("a port");
    let (tell, told) = sync_channel(1024);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever hangs up is tried again by its own side.
            let _ = stream.and_then(|stream| take_mail(&stream, &tell));
        }
    });
    Ok(told)
}

fn take_mail(mut stream: &TcpStream, tell: &SyncSender<String>) -> std::io::Result<()> {
    stream.write_all(b"220 relay\r\n")?;
    let (mut data, mut subject) = (false, None);
    for line in BufReader::new(stream).lines() {
        let line = line?;
        // A header goes on in lines that begin with a blank (RFC 5322, 2.2.3).
        match (&mut subject, line.strip_prefix("Subject: ")) {
            (None, Some(text)) => subject = Some(text.to_owned()),
            (Some(text), _) if line.starts_with(' ') => text.push_str(&line),
            _ => {
                if let Some(text) = subject.take() {
                    let _ = tell.send(text);
                }
            }
        }
        let reply = match line.as_str() {
            "." => "250 taken",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ if data => continue,
            _ => "250 ok",
        };
        data = line == "DATA";
        stream.write_all(format!("{reply}\r\n").as_bytes())?;
    }
    Ok(())
}

/// With `wan`, a busy machine costs no lease: a test that counts what is told wants none lost.
/// Two have a witness, or one that stops would leave no majority behind.
fn start(directors: usize, profile: &'static str) -> Result<Cluster> {
    let witness = directors == 2;
    let plan = Plan { directors, witness, profile, ..Plan::new(find_binary()?) };
    let cluster = Cluster::start(&plan)?;
    for node in cluster.nodes() {
        node.host.sysctl("net.ipv4.ip_forward", "1")?;
    }
    Ok(cluster)
}

/// The address that a host has on the LAN.
fn address(host: &Host) -> Result<String> {
    let all = host.ip("-4 -o addr show dev eth0")?;
    let mine = all.split_whitespace().find_map(|word| word.split_once('/'));
    Ok(mine.expect("an address").0.to_owned())
}

fn epoch(cluster: &Cluster, instance: &str) -> u64 {
    let one = cluster.instance(instance).expect("a status");
    one["epoch"].as_u64().expect("an epoch")
}

#[test]
fn a_real_server_that_goes_and_comes_back_is_told_once_in_every_way() -> Result<()> {
    let folder = Folder::new("servers-told");
    let ((sink, scripts), (all, all_lines)) = (folder.sink("sink"), folder.own("all"));
    let (pipe, lines) = folder.own("pipe");
    let mut cluster = start(1, "wan")?;
    let real = Host::new("rs1")?;
    cluster.lan.attach(&real, "eth0", 9)?;
    let web = Web::start(&real)?;
    let mails = relay(&cluster.client)?;
    let told = folder.script(&sink);
    let text = format!(
        "[global.alerts]\nscript_user = \"nobody\"\nnotify_fifo = \"{}\"\nlvs_notify_fifo = \"{}\"\n\
         smtp_server = \"{}\"\nnotification_email = [\"ops@example.com\"]\nsmtp_alert_checker = true\n\
         {}[[virtual_server]]\naddress = \"{VIP}:80\"\nlb_algo = \"rr\"\n\
         quorum_up = \"{told} quorum_up\"\nquorum_down = \"{told} quorum_down\"\n\
         [[virtual_server.real_server]]\naddress = \"{REAL}:80\"\n\
         notify_up = \"{told} notify_up\"\nnotify_down = \"{told} notify_down\"\n\
         check = [{{ type = \"tcp\", delay_loop_ms = 100, retry = 0 }}]\n",
        all.display(),
        pipe.display(),
        address(&cluster.client)?,
        instance("VI_1", 51, &[VIP.parse().expect("an address")]),
    );
    cluster.apply("toml", &text)?;
    let (rs, vs) = (format!("[{REAL}]:tcp:80"), format!("[{VIP}]:tcp:80"));
    // A real server that is up from the beginning goes without saying.
    assert_eq!(next(&lines), format!("VS {vs} UP"));
    assert!(next(&scripts).starts_with(&format!("quorum_up 0 VS {VIP}:80 - UP ds1 ")));
    assert_eq!(next(&mails), format!("[ds1] Virtualserver {vs} - UP"));
    // Granted is not open yet: that is told.
    let master = "INSTANCE \"VI_1\" MASTER 100";
    let mut every = Vec::new();
    while every.last().is_none_or(|line| line != master) {
        every.push(next(&all_lines));
    }
    let epoch = epoch(&cluster, "VI_1");

    let check = |up: bool, why: &str| {
        let (word, state) = if up { ("up", "UP") } else { ("down", "DOWN") };
        let wanted = [format!("RS {rs} {vs} {state}"), format!("VS {vs} {state}")];
        assert_eq!([next(&lines), next(&lines)], wanted);
        let [notify, quorum] = next_two(&scripts);
        let start =
            format!("notify_{word} 0 RS {VIP}:80 {REAL}:80 {state} ds1 {epoch} nobody {why}");
        assert!(notify.starts_with(&start), "{notify:?} does not begin with {start:?}");
        let start = format!("quorum_{word} 0 VS {VIP}:80 - {state} ds1 {epoch} nobody the weight");
        assert!(quorum.starts_with(&start), "{quorum:?} does not begin with {start:?}");
        let mailed = [
            format!("[ds1] Realserver {rs} of virtual server {vs} - {state}"),
            format!("[ds1] Virtualserver {vs} - {state}"),
        ];
        assert_eq!([next(&mails), next(&mails)], mailed);
    };
    drop(web);
    // With what the check has to say.
    check(false, "a check of it fails: ");
    let web = Web::start(&real)?;
    check(true, "its checks pass");
    cluster.cli(0, &["rs", "disable", &format!("{VIP}:80"), &format!("{REAL}:80")])?;
    check(false, "an operator disabled it");
    cluster.cli(0, &["rs", "enable", &format!("{VIP}:80"), &format!("{REAL}:80")])?;
    check(true, "its checks pass");

    // Without omega, the stop is no news of them; and nothing was told twice.
    cluster.daemon(0)?.kill(Signal::SIGTERM)?;
    cluster.daemon(0)?.wait(SOON)?;
    cluster.mark_down(0);
    drop(web);
    assert!(rest(&sink, &scripts).is_empty(), "a script too many");
    assert!(rest(&pipe, &lines).is_empty(), "a line too many");
    // A mail is sent on as soon as it was taken, and the daemon has ended.
    assert_eq!(mails.try_recv().ok(), None, "a mail too many");
    // `notify_fifo` has both kinds.
    every.extend(rest(&all, &all_lines));
    let of_servers = every.iter().filter(|line| !line.starts_with("INSTANCE"));
    assert_eq!(of_servers.count(), 9, "{every:?}");
    Ok(())
}

#[test]
fn with_omega_it_is_told_where_it_is_served_and_goes_down_where_it_is_given_up() -> Result<()> {
    let folder = Folder::new("servers-omega");
    let ((sink, scripts), (pipe, lines)) = (folder.sink("sink"), folder.own("pipe"));
    let mut cluster = start(2, "wan")?;
    let real = Host::new("rs1")?;
    cluster.lan.attach(&real, "eth0", 9)?;
    let _web = Web::start(&real)?;
    let told = folder.script(&sink);
    let text = format!(
        "[global.alerts]\nscript_user = \"nobody\"\nvrrp_notify_fifo = \"{}\"\n{}\
         [[virtual_server]]\naddress = \"{VIP}:80\"\nlb_algo = \"rr\"\n\
         omega = true\nquorum_up = \"{told} quorum_up\"\nquorum_down = \"{told} quorum_down\"\n\
         [[virtual_server.real_server]]\naddress = \"{REAL}:80\"\n\
         notify_up = \"{told} notify_up\"\nnotify_down = \"{told} notify_down\"\n\
         check = [{{ type = \"tcp\", delay_loop_ms = 100, retry = 0 }}]\n",
        pipe.display(),
        instance("VI_1", 51, &[VIP.parse().expect("an address")]),
    );
    cluster.apply("toml", &text)?;
    let holder = cluster.wait_for_holder("VI_1")?;
    // Granted is not open yet: that is told.
    let master = "INSTANCE \"VI_1\" MASTER ";
    assert!(std::iter::repeat_with(|| next(&lines)).any(|line| line.starts_with(master)));
    let name = |index: usize| cluster.nodes()[index].name.clone();
    let (first, second) = (name(holder), name(1 - holder));
    let began = epoch(&cluster, "VI_1");
    let up = |who: &str, epoch: u64| {
        format!("quorum_up 0 VS {VIP}:80 - UP {who} {epoch} nobody this director began")
    };
    let down = |who: &str, epoch: u64| {
        let rest = format!("DOWN {who} {epoch} nobody it is served here no more");
        [
            format!("notify_down 0 RS {VIP}:80 {REAL}:80 {rest}"),
            format!("quorum_down 0 VS {VIP}:80 - {rest}"),
        ]
    };
    assert_eq!(next(&scripts), up(&first, began));

    cluster.cli(holder, &["move", "VI_1", "--to", &second])?;
    let moved = cluster.wait_for("the move", |this| {
        (this.holder("VI_1")? == 1 - holder).then(|| epoch(this, "VI_1"))
    })?;
    let three: BTreeSet<_> = several(&scripts, 3).into_iter().collect();
    let wanted: BTreeSet<_> = down(&first, began).into_iter().chain([up(&second, moved)]).collect();
    assert_eq!(three, wanted);

    // The stop gives it up too, and these scripts are waited for.
    cluster.daemon(1 - holder)?.kill(Signal::SIGTERM)?;
    cluster.daemon(1 - holder)?.wait(SOON)?;
    let mut all = several(&scripts, 4);
    let gone = down(&second, moved);
    for line in &gone {
        assert!(all.contains(line), "{line:?} is missing: {all:?}");
    }
    all.retain(|line| !gone.contains(line));
    all.sort();
    let [notify, quorum] = &all[..] else { panic!("the first serves again, and no more: {all:?}") };
    assert!(notify.starts_with(&format!("notify_up 0 RS {VIP}:80 {REAL}:80 UP {first} ")));
    assert!(quorum.starts_with(&format!("quorum_up 0 VS {VIP}:80 - UP {first} ")), "{quorum}");
    cluster.mark_down(1 - holder);
    Ok(())
}

/// More real servers than scripts may run at once, and each of these hangs.
#[test]
fn scripts_that_hang_delay_no_check_no_lease_and_no_news_of_instances() -> Result<()> {
    const MANY: u16 = 70;
    let folder = Folder::new("servers-hang");
    let ((sink, scripts), (pipe, lines)) = (folder.sink("sink"), folder.own("pipe"));
    let mut cluster = start(2, "default")?;
    let real = Host::new("rs1")?;
    cluster.lan.attach(&real, "eth0", 9)?;
    let web = Web::start(&real)?;
    let one = |port: u16| {
        format!(
            "[[virtual_server.real_server]]\naddress = \"{REAL}:{port}\"\n\
             notify_down = \"/usr/bin/sleep 60\"\n\
             check = [{{ type = \"tcp\", delay_loop_ms = 100, warmup_ms = 0, retry = 0 }}]\n"
        )
    };
    let hanging: String = (1000..1000 + MANY).chain([80]).map(one).collect();
    let text = format!(
        "[global.alerts]\nscript_user = \"nobody\"\nlvs_notify_fifo = \"{}\"\n{}\
         notify = \"{}\"\n[[virtual_server]]\naddress = \"{VIP}:80\"\nlb_algo = \"rr\"\n{hanging}",
        pipe.display(),
        instance("VI_1", 51, &[VIP.parse().expect("an address")]),
        folder.script(&sink),
    );
    cluster.apply("toml", &text)?;
    // Both directors find all of them down, and say so.
    let down = |line: &String| line.starts_with("RS ") && line.ends_with(" DOWN");
    let told = std::iter::repeat_with(|| next(&lines)).filter(down).take(2 * usize::from(MANY));
    assert_eq!(told.collect::<BTreeSet<_>>().len(), usize::from(MANY));
    let holder = cluster.wait_for_holder("VI_1")?;
    let began = epoch(&cluster, "VI_1");
    // Checks go on.
    drop(web);
    let began_at = Instant::now();
    for _ in 0..2 {
        let line = format!("RS [{REAL}]:tcp:80 [{VIP}]:tcp:80 DOWN");
        assert!(std::iter::repeat_with(|| next(&lines)).take(4).any(|one| one == line));
    }
    // Each check comes ten times a second; a script that is waited for takes 30 s.
    assert!(began_at.elapsed() < Duration::from_secs(5), "{:?}", began_at.elapsed());
    assert_eq!(epoch(&cluster, "VI_1"), began, "the lease is the same");
    // And so does what is told of instances.
    let other = cluster.nodes()[1 - holder].name.clone();
    cluster.cli(holder, &["move", "VI_1", "--to", &other])?;
    let words = format!(" MASTER {other} ");
    assert!(std::iter::repeat_with(|| next(&scripts)).any(|line| line.contains(&words)));
    // What hangs is not waited for longer than it may be.
    cluster.daemon(holder)?.kill(Signal::SIGTERM)?;
    cluster.daemon(holder)?.wait(SOON)?;
    cluster.mark_down(holder);
    Ok(())
}
