//! What words make of a configuration.

mod bad;
mod good;
mod schema;

use leasehold_model::Config;

use super::*;
use crate::document;

/// What most tests begin with.
const BASE: &str = r#"
[instance.VI_1]
virtual_router_id = 51
interface = "eth0"
virtual_ipaddress = ["192.168.1.100/24"]

[instance.VI_1.director.ds1]
priority = 150

[virtual_server_group.web]
entries = ["192.168.1.100:8080"]

[[virtual_server]]
address = "192.168.1.100:80"
real_server = [{ address = "10.0.0.8:80" }, { address = "10.0.0.9:80", check = [{ type = "tcp" }] }]
"#;

fn config(text: &str) -> Config {
    let (config, faults) = document::parse_toml("base.toml", text);
    config.unwrap_or_else(|| panic!("{faults:?}"))
}

/// A command line as a shell and clap take it apart.
fn read(line: &str) -> (Noun, Verb, Vec<Word>) {
    let mut words = crate::words::split(line).unwrap().into_iter();
    let noun = match words.next().unwrap().as_str() {
        "vs" => Noun::VirtualServer,
        "rs" => Noun::RealServer,
        "instance" => Noun::Instance,
        "global" => Noun::Global,
        other => panic!("{other}"),
    };
    let verb = match words.next().unwrap().as_str() {
        "add" => Verb::Add,
        "set" => Verb::Set,
        "rm" => Verb::Rm,
        other => panic!("{other}"),
    };
    let mut all = Vec::new();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let is = |flag: &&Flag| {
            let short = flag.short.is_some_and(|short| word == format!("-{short}"));
            short || word == format!("--{}", flag.long)
        };
        let Some(flag) = flags(noun, verb).find(is) else {
            all.push(Word::Plain(word));
            continue;
        };
        let follows = words.peek().is_some_and(|next| !next.starts_with('-'));
        let value = match (flag.value, flag.otherwise) {
            (None, _) => None,
            (Some(_), Some(otherwise)) if !follows => Some(otherwise.to_owned()),
            (Some(_), _) => Some(words.next().unwrap()),
        };
        all.push(Word::Flag { long: flag.long.to_owned(), value });
    }
    (noun, verb, all)
}

/// What becomes of `before`, and what was said.
fn edited(before: &Config, line: &str) -> Edited {
    let (noun, verb, words) = read(line);
    let edit = Edit::of(noun, verb, &words).unwrap_or_else(|why| panic!("{line}: {why}"));
    edit.of_config(before).unwrap_or_else(|why| panic!("{line}: {why}"))
}

/// Why it is refused, and whether whatever the configuration.
fn refused(before: &Config, line: &str) -> String {
    let (noun, verb, words) = read(line);
    match Edit::of(noun, verb, &words) {
        Err(usage) => format!("usage: {usage}"),
        Ok(edit) => match edit.of_config(before) {
            Err(refused) => refused.to_string(),
            Ok(edited) => format!("{}, and warned of {:?}", edited.done, edited.warnings),
        },
    }
}
