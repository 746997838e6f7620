//! Documents without an error, of every form: what all of a document has, and scripts.

use leasehold_model::{
    Alerts, Config, Dataplane, Garp, Global, LvsTimeouts, Notify, ParamMatch, Script, SmtpServer,
    SyncDaemon, SyncGroup, TrackFile, TrackProcess, TrackScript, Tracking, VrrpVersion, Weight,
};

use super::draw::Draw;
use super::{lvs, vrrp};

pub(super) const DIRECTORS: [&str; 3] = ["ds1", "ds2", "d-s.3"];
pub(super) const SCRIPTS: [&str; 3] = ["chk", "chk two", "include"];
pub(super) const PROCESSES: [&str; 2] = ["proxy", "p{1}"];
pub(super) const FILES: [&str; 2] = ["drain", "@load"];

pub(super) fn config(draw: &mut Draw) -> Config {
    let mut config = Config { global: global(draw), ..Config::default() };
    for name in SCRIPTS.iter().take(index(draw, 3)) {
        config.scripts.insert((*name).to_owned(), track_script(draw));
    }
    for name in PROCESSES.iter().take(index(draw, 2)) {
        config.processes.insert((*name).to_owned(), track_process(draw));
    }
    for name in FILES.iter().take(index(draw, 2)) {
        config.files.insert((*name).to_owned(), track_file(draw));
    }
    vrrp::instances(draw, &mut config);
    sync_groups(draw, &mut config);
    config.global.lvs_sync_daemon = draw.some(|draw| sync_daemon(draw, &config));
    lvs::groups(draw, &mut config);
    lvs::servers(draw, &mut config);
    config
}

pub(super) fn index(draw: &mut Draw, most: u32) -> usize {
    usize::try_from(draw.number(0, most)).unwrap()
}

fn global(draw: &mut Draw) -> Global {
    let mut global = Global {
        vrrp_mcast_group4: draw.some(|draw| [224, 0, 0, byte(draw)].into()),
        vrrp_mcast_group6: draw.some(|draw| draw.pick(&["ff02::112", "ff05::12"]).parse().unwrap()),
        vrrp_version: draw.some(|_| VrrpVersion::V3),
        garp: garp(draw),
        garp_interval_us: draw.some(|draw| draw.number(1, 1_000_000)),
        gna_interval_us: draw.some(|draw| draw.number(1, 1_000_000)),
        alerts: alerts(draw),
        dataplane: draw.pick(&[Dataplane::Auto, Dataplane::Auto, Dataplane::Ipvs]),
        drain_timeout_ms: draw.some(|draw| draw.number(0, 9000)),
        ..Global::default()
    };
    let seconds = |draw: &mut Draw| draw.some(|draw| draw.number(1, 2_147_483));
    let timeouts = LvsTimeouts { tcp: seconds(draw), tcpfin: seconds(draw), udp: seconds(draw) };
    global.lvs_timeouts = Some(timeouts).filter(|one| *one != LvsTimeouts::default());
    for director in DIRECTORS {
        if let Some(id) = draw.some(|draw| draw.pick(&["id", "a b", "#1", "it's", "a\"b"])) {
            global.router_id.insert(director.to_owned(), id.to_owned());
        }
    }
    global
}

pub(super) fn byte(draw: &mut Draw) -> u8 {
    u8::try_from(draw.number(1, 250)).unwrap()
}

pub(super) fn garp(draw: &mut Draw) -> Garp {
    let seconds = |draw: &mut Draw| draw.some(|draw| draw.number(0, 5000));
    Garp {
        master_delay_s: seconds(draw),
        master_repeat: draw.some(|draw| draw.number(1, 1000)),
        master_refresh_s: seconds(draw),
        master_refresh_repeat: draw.some(|draw| draw.number(1, 1000)),
        lower_prio_delay_s: seconds(draw),
        lower_prio_repeat: draw.some(|draw| draw.number(0, 1000)),
    }
}

fn alerts(draw: &mut Draw) -> Alerts {
    let mut text = |all: &[&str]| draw.some(|draw| draw.pick(all).to_owned());
    let mut alerts = Alerts {
        script_user: text(&["nobody", "root"]),
        script_group: text(&["nogroup"]),
        notify_fifo: text(&["/run/fifo", "/run/a fifo"]),
        notification_email_from: text(&["ha@example.org"]),
        smtp_helo_name: text(&["ha.example.org", ""]),
        ..Alerts::default()
    };
    alerts.notify_fifo_script = draw.some(script);
    let all = ["day@example.org", "night+1@example.org"];
    alerts.notification_email =
        all.iter().take(index(draw, 2)).map(|one| (*one).to_owned()).collect();
    let port = draw.pick(&[25, 587]);
    alerts.smtp_server = draw.some(|draw| {
        SmtpServer::new(draw.pick(&["127.0.0.1", "fd00::25", "mail-1.example.org"]), port)
    });
    // keepalived 2.2 counts whole seconds.
    alerts.smtp_connect_timeout_ms =
        draw.some(|draw| draw.number(1, 3600) * 1000).filter(|ms| *ms != 30_000);
    alerts.smtp_alert = draw.rarely(3);
    alerts.no_email_faults = draw.rarely(3);
    alerts.webhook = draw.list(1, |_, _| "http://127.0.0.1:8080/hook".to_owned());
    alerts
}

fn sync_daemon(draw: &mut Draw, config: &Config) -> SyncDaemon {
    let names: Vec<&String> = config.instances.keys().collect();
    let instance = if names.is_empty() { None } else { Some(draw.pick(&names).clone()) };
    SyncDaemon {
        interface: "eth0".to_owned(),
        instance,
        id: byte(draw),
        maxlen: draw.some(|draw| u16::try_from(draw.number(1, 65507)).unwrap()),
        port: draw.some(|draw| u16::try_from(draw.number(1, 65535)).unwrap()),
        ttl: draw.some(byte),
        group: draw.some(|draw| draw.pick(&["224.0.0.82", "ff02::82"]).parse().unwrap()),
    }
}

/// A command, with who runs it or without.
pub(super) fn script(draw: &mut Draw) -> Script {
    let arguments = [
        "-x",
        "a=b",
        "'two words'",
        "\"two more\"",
        "#1",
        "!",
        "{in}",
        "it\\'s",
        "\"it's\"",
        "\\n",
        "$_PWD",
        "é",
        "'\"'",
        "a\\ b",
    ];
    let words = draw.list(2, |draw, _| format!(" {}", draw.pick(&arguments)));
    let command = format!("{}{}", draw.pick(&["/bin/true", "/usr/bin/test"]), words.concat());
    let user = draw.some(|_| "nobody".to_owned());
    let group = user.as_ref().and_then(|_| draw.some(|_| "nogroup".to_owned()));
    Script { command, user, group }
}

pub(super) fn notify(draw: &mut Draw) -> Notify {
    let mut notify = Notify::default();
    for slot in notify.scripts_mut() {
        *slot = draw.some(script);
    }
    notify.notify_priority_changes = draw.some(Draw::flag);
    notify.smtp_alert = draw.some(Draw::flag);
    notify
}

fn weight(draw: &mut Draw, most: u32, otherwise: Option<i16>) -> Weight {
    let sign = draw.pick(&[1, -1]);
    let size = draw.some(|draw| i16::try_from(draw.number(0, most)).unwrap() * sign);
    Weight { weight: size.filter(|size| Some(*size) != otherwise), reverse: draw.rarely(4) }
}

fn track_script(draw: &mut Draw) -> TrackScript {
    // Programs whose words keepalived reads otherwise can't be tracked there.
    let command = draw.pick(&["/bin/true", "/usr/bin/test \"-e\" '/run/a b'", "/bin/true {#}"]);
    let Script { user, group, .. } = script(draw);
    let interval_ms = draw.pick(&[1000, 2000, 500, 4_294_000, 86_400_000]);
    TrackScript {
        script: Script { command: command.to_owned(), user, group },
        interval_ms,
        timeout_ms: draw.some(|draw| draw.number(1, 99) * 1000).filter(|ms| *ms != interval_ms),
        weight: weight(draw, 253, Some(0)),
        rise: draw.number(1, 3),
        fall: draw.number(1, 3),
        init_fail: draw.rarely(3),
    }
}

fn track_process(draw: &mut Draw) -> TrackProcess {
    let process = draw.pick(&["haproxy", "/usr/sbin/nginx", "haproxy -f /etc/a.cfg", "a 'b c'"]);
    let quorum_max = draw.some(|draw| draw.number(0, 9));
    TrackProcess {
        process: process.to_owned(),
        param_match: draw.pick(&[ParamMatch::Exact, ParamMatch::Initial, ParamMatch::Partial]),
        full_command: draw.rarely(3),
        weight: weight(draw, 254, Some(0)),
        quorum: draw.number(0, 3).min(quorum_max.unwrap_or(3)),
        quorum_max,
        fork_delay_ms: draw.pick(&[0, 1, 2500, 3_600_000, 3_700_000]),
        terminate_delay_ms: draw.pick(&[0, 0, 4000, 86_400_000]),
    }
}

fn track_file(draw: &mut Draw) -> TrackFile {
    TrackFile {
        file: draw.pick(&["/run/leasehold-test-file", "/run/leasehold test"]).to_owned(),
        weight: weight(draw, 254, Some(1)),
        init: draw.some(|draw| i32::try_from(draw.number(0, 508)).unwrap() - 254),
        overwrite: draw.rarely(3),
    }
}

pub(super) fn tracking(draw: &mut Draw, config: &Config) -> Tracking {
    let mut tracking = Tracking::default();
    for name in ["eth0", "trk0"] {
        if draw.rarely(4) {
            tracking.interfaces.insert(name.to_owned(), weight(draw, 253, Some(0)));
        }
    }
    for name in config.scripts.keys().filter(|_| draw.flag()).cloned().collect::<Vec<_>>() {
        tracking.scripts.insert(name, weight(draw, 253, None));
    }
    for name in config.processes.keys().filter(|_| draw.flag()).cloned().collect::<Vec<_>>() {
        tracking.processes.insert(name, weight(draw, 254, None));
    }
    for name in config.files.keys().filter(|_| draw.flag()).cloned().collect::<Vec<_>>() {
        tracking.files.insert(name, weight(draw, 254, None));
    }
    tracking
}

fn sync_groups(draw: &mut Draw, config: &mut Config) {
    let mut names: Vec<String> = config.instances.keys().cloned().collect();
    for group in ["G1", "the_group"] {
        if names.len() < 2 || draw.flag() {
            continue;
        }
        let rest = names.split_off(2);
        let members = std::mem::replace(&mut names, rest);
        let (tracking, notify) = (tracking(draw, config), notify(draw));
        config.sync_groups.insert(group.to_owned(), SyncGroup { members, tracking, notify });
    }
}
