//! `lvs_sync_daemon` and `lvs_timeouts`.

use std::net::IpAddr;

use leasehold_model::{LvsTimeouts, SyncDaemon};

use super::lex::Word;
use super::lower::{At, Lower};
use super::parse::Statement;
use super::statement::number;
use crate::document::MAX_LVS_TIMEOUT_S;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sync {
    pub(super) daemon: SyncDaemon,
    /// Otherwise the number is the instance's virtual_router_id.
    pub(super) has_id: bool,
}

impl Lower<'_> {
    pub(super) fn sync(&mut self, one: &Statement) -> Option<At<Sync>> {
        self.no_block(one);
        let mut words = one.arguments.iter().peekable();
        let Some(interface) = words.next() else {
            self.report.error(one.keyword.at, "lvs_sync_daemon has no interface", "");
            return None;
        };
        let mut daemon = SyncDaemon {
            interface: interface.text.clone(),
            instance: None,
            id: 0,
            maxlen: None,
            port: None,
            ttl: None,
            group: None,
        };
        let options = ["inst", "id", "maxlen", "port", "ttl", "group"];
        if words.peek().is_some_and(|word| !options.contains(&word.text.as_str())) {
            daemon.instance = words.next().map(|word| word.text.clone());
        }
        let mut has_id = false;
        while let Some(option) = words.next() {
            if let Ok(id) = option.text.parse() {
                // As it was written before there were options.
                (daemon.id, has_id) = (id, true);
                continue;
            }
            let value = words.next();
            match option.text.as_str() {
                "inst" => daemon.instance = self.after(option, value, "a name", read_name),
                "id" => {
                    let id = self.after(option, value, "0 to 255", number(0, 255));
                    has_id = id.is_some();
                    daemon.id = id.unwrap_or(0);
                }
                "maxlen" => {
                    daemon.maxlen = self.after(option, value, "1 to 65507", number(1, 65507));
                }
                "port" => daemon.port = self.after(option, value, "1 to 65535", number(1, 65535)),
                "ttl" => daemon.ttl = self.after(option, value, "1 to 255", number(1, 255)),
                "group" => {
                    let read = |text: &str| text.parse::<IpAddr>().ok();
                    daemon.group = self.after(option, value, "an address", read);
                }
                other => {
                    let message = format!("{other:?} is no option of lvs_sync_daemon");
                    self.report.error(option.at, message, "inst, id, maxlen, port, ttl or group");
                    return None;
                }
            }
        }
        Some(At { value: Sync { daemon, has_id }, at: one.keyword.at })
    }

    pub(super) fn timeouts(&mut self, one: &Statement) -> Option<At<LvsTimeouts>> {
        self.no_block(one);
        let mut timeouts = LvsTimeouts::default();
        let mut words = one.arguments.iter();
        while let Some(option) = words.next() {
            let slot = match option.text.as_str() {
                "tcp" => &mut timeouts.tcp,
                "tcpfin" => &mut timeouts.tcpfin,
                "udp" => &mut timeouts.udp,
                other => {
                    let message = format!("{other:?} is no option of lvs_timeouts");
                    self.report.error(option.at, message, "tcp, tcpfin or udp");
                    return None;
                }
            };
            let wanted = format!("0 to {MAX_LVS_TIMEOUT_S} seconds");
            let read = number(0, MAX_LVS_TIMEOUT_S);
            // 0 leaves it as it is.
            *slot = self.after(option, words.next(), &wanted, read).filter(|value| *value != 0);
        }
        (timeouts != LvsTimeouts::default()).then_some(At { value: timeouts, at: one.keyword.at })
    }

    /// The value that follows an option on its line.
    pub(super) fn after<T>(
        &mut self,
        option: &Word,
        value: Option<&Word>,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(word) = value else {
            self.report.error(option.at, format!("{} has no value", option.text), "");
            return None;
        };
        let value = read(&word.text);
        if value.is_none() {
            let message = format!("{} {} is not {wanted}", option.text, word.text);
            self.report.error(word.at, message, "");
        }
        value
    }
}

fn read_name(text: &str) -> Option<String> {
    Some(text.to_owned())
}
