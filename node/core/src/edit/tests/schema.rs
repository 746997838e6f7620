//! The table of settings is the document's.

use std::collections::BTreeSet;

use super::super::schema::{self, Kind, Table};
use super::super::{Listed, list};
use super::*;

/// The settings that reading knows where `text` stands: it lists them when it meets another.
fn known(text: &str) -> BTreeSet<String> {
    let (_, faults) = document::parse_toml("a.toml", text);
    let hints = faults.iter().filter_map(|one| one.hint.as_deref());
    let lists = hints.filter_map(|hint| hint.strip_prefix("settings are "));
    let lists: Vec<&str> = lists.collect();
    assert_eq!(lists.len(), 1, "{text}: {faults:?}");
    lists[0].split(", ").map(str::to_owned).collect()
}

fn table(all: &'static Table, path: &[&str]) -> &'static Table {
    path.iter().fold(all, |table, name| {
        let key = table.key(name).unwrap_or_else(|| panic!("{name}"));
        let mut kind = &key.kind;
        while let Kind::Map(inner) = kind {
            kind = inner;
        }
        let (Kind::Table(table) | Kind::Tables(table)) = kind else { panic!("{name}: {kind:?}") };
        table
    })
}

fn ours(all: &'static Table, path: &[&str]) -> BTreeSet<String> {
    table(all, path).names().into_iter().map(str::to_owned).collect()
}

#[test]
fn every_setting_of_the_document_is_a_word() {
    const ODD: &str = "qqqqqqqqq = 1";
    let all: [(&'static Table, &[&str], &str, &str); 20] = [
        (&schema::SERVER, &[], "[[virtual_server]]\n", ""),
        (&schema::SERVER, &["damping"], "[[virtual_server]]\ndamping = { ", " }"),
        (&schema::SERVER, &["sorry_server"], "[[virtual_server]]\nsorry_server = { ", " }"),
        (&schema::SERVER, &["lb_kind"], "[[virtual_server]]\nlb_kind = { ", " }"),
        (&schema::SERVER, &["quorum_up"], "[[virtual_server]]\nquorum_up = { ", " }"),
        (&schema::REAL, &[], "[[virtual_server]]\n[[virtual_server.real_server]]\n", ""),
        (&schema::INSTANCE, &[], "[instance.a]\n", ""),
        (&schema::INSTANCE, &["garp"], "[instance.a.garp]\n", ""),
        (&schema::INSTANCE, &["use_vmac"], "[instance.a.use_vmac]\n", ""),
        (&schema::INSTANCE, &["authentication"], "[instance.a.authentication]\n", ""),
        (&schema::INSTANCE, &["virtual_ipaddress"], "[[instance.a.virtual_ipaddress]]\n", ""),
        (&schema::INSTANCE, &["track_file"], "[instance.a.track_file.b]\n", ""),
        (&schema::INSTANCE, &["director"], "[instance.a.director.b]\n", ""),
        (&schema::INSTANCE, &["notify"], "[instance.a.notify]\n", ""),
        (&schema::GLOBAL, &[], "[global]\n", ""),
        (&schema::GLOBAL, &["garp"], "[global.garp]\n", ""),
        (&schema::GLOBAL, &["alerts"], "[global.alerts]\n", ""),
        (&schema::GLOBAL, &["lvs_timeouts"], "[global.lvs_timeouts]\n", ""),
        (&schema::GLOBAL, &["lvs_sync_daemon"], "[global.lvs_sync_daemon]\n", ""),
        (
            &schema::GLOBAL,
            &["alerts", "notify_fifo_script"],
            "[global.alerts.notify_fifo_script]\n",
            "",
        ),
    ];
    for (start, path, before, after) in all {
        let text = format!("{before}{ODD}{after}\n");
        assert_eq!(ours(start, path), known(&text), "{path:?} of {text}");
    }
}

#[test]
fn every_setting_of_every_check_is_a_word() {
    let of = |rest: &str| {
        let server = "[[virtual_server]]\n[[virtual_server.real_server]]\n";
        known(&format!("{server}[[virtual_server.real_server.check]]\n{rest}\n"))
    };
    let types = ["tcp", "http", "smtp", "dns", "udp", "ping", "misc", "file"];
    let all: BTreeSet<String> =
        types.iter().flat_map(|one| of(&format!("type = \"{one}\"\nqqqqqqqqq = 1"))).collect();
    assert_eq!(ours(&schema::REAL, &["check"]), all);
    let inside: [(&[&str], &str); 4] = [
        (&["check", "url"], "type = \"http\"\nurl = [{ qqqqqqqqq = 1 }]"),
        (&["check", "tls"], "type = \"http\"\ntls = { qqqqqqqqq = 1 }"),
        (&["check", "host"], "type = \"smtp\"\nhost = [{ qqqqqqqqq = 1 }]"),
        (&["check", "reply"], "type = \"udp\"\nreply = { qqqqqqqqq = 1 }"),
    ];
    for (path, text) in inside {
        assert_eq!(ours(&schema::REAL, path), of(text), "{path:?}");
    }
}

#[test]
fn keepalived_s_keywords_lead_to_settings() {
    for noun in [Noun::VirtualServer, Noun::RealServer, Noun::Instance, Noun::Global] {
        for (word, key, _) in super::super::alias::rows(noun) {
            let path: Vec<&str> = key.split('.').collect();
            let (last, before) = path.split_last().unwrap();
            let own = table(super::super::words::table(noun), before);
            assert!(own.key(last).is_some(), "{word}: {key}");
        }
    }
}

/// Every document that another test expects of a file.
fn documents() -> Vec<Config> {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let folders = ["toml", "keepalived"].map(|name| data.join(name).read_dir().unwrap());
    let cases = folders.into_iter().flatten();
    let files = cases.map(|case| case.unwrap().path().join("expected.toml"));
    files.filter_map(|file| Some(config(&std::fs::read_to_string(file).ok()?))).collect()
}

fn line(command: &str, one: &Listed, name: &str) -> String {
    let words: Vec<String> =
        one.words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    format!("{command} {name} {}", words.join(" "))
}

/// Takes a virtual server away and makes it again; how many commands that took.
fn server_again(whole: &Config, nth: usize, one: &Listed) -> usize {
    let mut now = whole.clone();
    now.virtual_servers.remove(nth);
    let add = line("vs add", one, &one.name);
    let bare = edited(&now, &add);
    now = bare.config;
    for real in &one.below {
        now = edited(&now, &line(&format!("rs add {}", one.name), real, &real.name)).config;
    }
    assert_eq!(now, *whole, "{}", one.to_text());
    let text = one.to_text();
    let (noun, verb, words) = read(&format!("vs add {}", text.lines().next().unwrap()));
    assert_eq!(Edit::of(noun, verb, &words), {
        let (noun, verb, words) = read(&add);
        Edit::of(noun, verb, &words)
    });
    1 + one.below.len()
}

/// Whatever a document says can be said in words; and what is listed can be pasted.
#[test]
fn what_is_listed_makes_it_again() {
    let mut count = 0;
    for whole in documents() {
        for (nth, one) in list(&whole, Noun::VirtualServer).iter().enumerate() {
            count += server_again(&whole, nth, one);
        }
        for one in list(&whole, Noun::Instance) {
            let mut without = whole.clone();
            without.instances.remove(&one.name);
            let now = edited(&without, &line("instance add", &one, &one.name)).config;
            assert_eq!(now, whole, "{}", one.to_text());
            count += 1;
        }
        let global = &list(&whole, Noun::Global)[0];
        if !global.words.is_empty() {
            let without = Config { global: leasehold_model::Global::default(), ..whole.clone() };
            assert_eq!(edited(&without, &line("global set", global, "")).config, whole);
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}
