//! How a check is written: one line, its kind first, and nothing that would be so anyway.

use leasehold_model::{
    Check, CheckKind, DnsCheck, FileCheck, HttpCheck, HttpVersion, MiscCheck, Pattern, RecordType,
    SmtpCheck, SmtpHost, Sni, Source, TlsCheck, Trust, UdpCheck, UdpReply, Url,
};

use super::virtual_server::{Setting, script};
use super::vrrp::weight_settings;
use super::{inline, list, string};
use crate::document::checks::{self, Kind};
use crate::document::hex;

pub(super) fn check(check: &Check) -> String {
    let Check {
        kind,
        connect,
        source,
        delay_loop_ms,
        connect_timeout_ms,
        retry,
        delay_before_retry_ms,
        warmup_ms,
        rise,
        alpha,
        log_all_failures,
    } = check;
    let of = Kind::of(kind);
    let mut all = vec![("type", string(of.word()))];
    all.extend(asked(kind));
    all.extend(connect.map(|address| {
        let text = if of.has_port() { address.to_string() } else { address.ip().to_string() };
        ("connect", string(&text))
    }));
    all.extend(source_settings(source));
    let every = (*delay_loop_ms != checks::default_delay_loop_ms())
        .then(|| ("delay_loop_ms", delay_loop_ms.to_string()));
    all.extend(every);
    let defaults = checks::defaults(kind.clone(), *delay_loop_ms);
    let numbers = [
        ("connect_timeout_ms", connect_timeout_ms, defaults.connect_timeout_ms),
        ("retry", retry, defaults.retry),
        ("delay_before_retry_ms", delay_before_retry_ms, defaults.delay_before_retry_ms),
        ("rise", rise, defaults.rise),
    ];
    let given = numbers.into_iter().filter(|(_, value, default)| **value != *default);
    all.extend(given.map(|(name, value, _)| (name, value.to_string())));
    all.extend(warmup_ms.map(|warmup| ("warmup_ms", warmup.to_string())));
    all.extend(alpha.then(|| ("alpha", "true".to_owned())));
    all.extend(log_all_failures.then(|| ("log_all_failures", "true".to_owned())));
    inline(&all)
}

/// What its kind alone has.
fn asked(kind: &CheckKind) -> Vec<Setting> {
    match kind {
        CheckKind::Tcp | CheckKind::Ping => Vec::new(),
        CheckKind::Http(one) => http(one),
        CheckKind::Smtp(one) => smtp(one),
        CheckKind::Dns(one) => dns(one),
        CheckKind::Udp(one) => udp(one),
        CheckKind::Misc(one) => misc(one),
        CheckKind::File(one) => file(one),
    }
}

fn source_settings(source: &Source) -> Vec<Setting> {
    let Source { bindto, bind_port, bind_if, fwmark } = source;
    let mut all = Vec::new();
    all.extend(bindto.map(|address| ("bindto", format!("\"{address}\""))));
    all.extend(bind_port.map(|port| ("bind_port", port.to_string())));
    all.extend(bind_if.as_ref().map(|name| ("bind_if", string(name))));
    all.extend(fwmark.map(|mark| ("fwmark", mark.to_string())));
    all
}

/// The name of `value` in a table of choices.
fn word<T: Copy + PartialEq>(choices: &[(&'static str, T)], value: T) -> String {
    let found = choices.iter().find(|(_, one)| *one == value);
    string(found.map_or("", |(name, _)| name))
}

fn http(http: &HttpCheck) -> Vec<Setting> {
    let HttpCheck { urls, version, tls: own } = http;
    let mut all = vec![("url", list(urls.iter().map(url)))];
    let other = *version != HttpVersion::default();
    all.extend(other.then(|| ("version", word(&checks::VERSIONS, *version))));
    all.extend(own.as_ref().map(|own| ("tls", tls(own))));
    all
}

fn tls(tls: &TlsCheck) -> String {
    let TlsCheck { sni, trust } = tls;
    let mut all = Vec::new();
    match sni {
        Sni::Off => {}
        Sni::Virtualhost => all.push(("sni", "true".to_owned())),
        Sni::Name(name) => all.push(("sni", string(name))),
    }
    match trust {
        Trust::Any => {}
        Trust::System => all.push(("trust", string("system"))),
        Trust::File(path) => all.push(("trust", string(path))),
    }
    if all.is_empty() { "true".to_owned() } else { inline(&all) }
}

fn url(url: &Url) -> String {
    let Url { path, status_code, virtualhost, digest, regex } = url;
    let mut all = vec![("path", string(path))];
    if !status_code.is_empty() {
        let ranges = status_code.iter().map(|(first, last)| match first == last {
            true => format!("\"{first}\""),
            false => format!("\"{first}-{last}\""),
        });
        all.push(("status_code", list(ranges)));
    }
    all.extend(virtualhost.as_ref().map(|host| ("virtualhost", string(host))));
    all.extend(digest.as_ref().map(|one| ("digest", string(&hex::write_digest(one)))));
    if let Some(Pattern { regex, no_match, min_offset, max_offset }) = regex {
        all.push(("regex", string(regex)));
        all.extend(no_match.then(|| ("no_match", "true".to_owned())));
        all.extend((*min_offset != 0).then(|| ("min_offset", min_offset.to_string())));
        all.extend((*max_offset != 0).then(|| ("max_offset", max_offset.to_string())));
    }
    inline(&all)
}

fn smtp(smtp: &SmtpCheck) -> Vec<Setting> {
    let SmtpCheck { helo_name, hosts } = smtp;
    let mut all = Vec::new();
    all.extend((helo_name != checks::HELO_NAME).then(|| ("helo_name", string(helo_name))));
    all.extend((!hosts.is_empty()).then(|| ("host", list(hosts.iter().map(host)))));
    all
}

fn host(host: &SmtpHost) -> String {
    let SmtpHost { connect, source } = host;
    let mut all = vec![("connect", format!("\"{connect}\""))];
    all.extend(source_settings(source));
    inline(&all)
}

fn dns(dns: &DnsCheck) -> Vec<Setting> {
    let DnsCheck { record, name } = dns;
    let mut all = Vec::new();
    let other = *record != RecordType::default();
    all.extend(other.then(|| ("record", word(&checks::RECORDS, *record))));
    all.extend((name != checks::DNS_NAME).then(|| ("name", string(name))));
    all
}

fn udp(udp: &UdpCheck) -> Vec<Setting> {
    let UdpCheck { payload, reply: wanted } = udp;
    let mut all = Vec::new();
    all.extend((!payload.is_empty()).then(|| ("payload", string(&hex::write_bytes(payload)))));
    all.extend(wanted.as_ref().map(|wanted| ("reply", reply(wanted))));
    all
}

fn reply(reply: &UdpReply) -> String {
    let UdpReply { begins, min_length, max_length } = reply;
    let text = string(&hex::write_nibbles(begins));
    if (*min_length, *max_length) == (0, checks::DEFAULT_REPLY_LENGTH) {
        return text;
    }
    let mut all = Vec::new();
    all.extend((!begins.is_empty()).then_some(("begins", text)));
    all.extend((*min_length != 0).then(|| ("min_length", min_length.to_string())));
    let other = *max_length != checks::DEFAULT_REPLY_LENGTH;
    all.extend(other.then(|| ("max_length", max_length.to_string())));
    inline(&all)
}

fn misc(misc: &MiscCheck) -> Vec<Setting> {
    let MiscCheck { script: program, timeout_ms, dynamic } = misc;
    let mut all = vec![("script", script(program))];
    all.extend(timeout_ms.map(|timeout| ("timeout_ms", timeout.to_string())));
    all.extend(dynamic.then(|| ("dynamic", "true".to_owned())));
    all
}

fn file(file: &FileCheck) -> Vec<Setting> {
    let FileCheck { track_file, weight } = file;
    let mut all = vec![("track_file", string(track_file))];
    all.extend(weight_settings(weight));
    all
}
