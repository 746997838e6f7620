//! `real_server`: addresses, weights and what checks it.

use std::net::{IpAddr, SocketAddr};

use leasehold_model::{Forward, RealServer, Script, Tunnel, TunnelChecksum, TunnelKind};

use super::checker::{self, Around, CHECKERS, Times};
use super::draft::Draft;
use super::lex::{Pos, Word};
use super::lower::{At, Lower};
use super::parse::Statement;
use super::statement::number;
use crate::document::DEFAULT_GUE_PORT;

/// A real server as one file has it.
pub(super) struct Real {
    pub(super) value: RealServer,
    /// Whether the file gives it a port.
    pub(super) has_port: bool,
    pub(super) alpha: Option<bool>,
    pub(super) inhibit_on_failure: Option<bool>,
    /// Of each check, whether it says so.
    pub(super) check_alphas: Vec<Option<bool>>,
    pub(super) places: Vec<(Vec<String>, Pos)>,
}

impl Real {
    /// Whether every check of it is to pass first, `outer` being what the virtual server says.
    pub(super) fn is_alpha(&self, outer: bool) -> bool {
        self.alpha.unwrap_or(outer) && self.check_alphas.iter().all(|said| *said != Some(false))
    }
}

impl Lower<'_> {
    /// `port` is the service's, for one that gives none.
    pub(super) fn real_server(
        &mut self,
        one: &Statement,
        draft: &Draft,
        port: u16,
    ) -> Option<Real> {
        let (address, own_port) = self.socket(&one.keyword, &one.arguments)?;
        let address = SocketAddr::new(address, own_port.unwrap_or(port));
        let mut value = RealServer::new(address);
        value.weight = draft.weight.as_ref().map_or(1, |weight| weight.value);
        let mut real = Real {
            value,
            has_port: own_port.is_some(),
            alpha: None,
            inhibit_on_failure: None,
            check_alphas: Vec::new(),
            places: vec![(vec!["address".to_owned()], one.keyword.at)],
        };
        let mut times = Times::default();
        let lines = self.block(one)?;
        self.repeated(lines, &CHECKERS);
        for line in lines {
            if self.is_placeholder(line) {
                continue;
            }
            if !self.time(line, 1, &mut times) && self.setting_of_real(line, &mut real) {
                real.places.push((vec![line.keyword.text.clone()], line.keyword.at));
            }
        }
        let times = times.within(&draft.times);
        let around = Around { times: &times, draft, target: address };
        for line in lines {
            let Some(kind) = checker::kind_of(line) else { continue };
            let Some(found) = self.checker(line, kind, &around) else { continue };
            let index = real.value.checks.len().to_string();
            let path = vec!["check".to_owned(), index];
            real.places.push((path.clone(), found.at));
            for (inner, at) in found.places {
                real.places.push((path.iter().cloned().chain(inner).collect(), at));
            }
            real.value.checks.push(found.check);
            real.check_alphas.push(found.alpha);
        }
        Some(real)
    }

    fn setting_of_real(&mut self, one: &Statement, real: &mut Real) -> bool {
        match one.keyword.text.as_str() {
            "weight" => {
                if let Some(weight) = self.value(one, "0 to 65535", number(0, 65535)) {
                    real.value.weight = weight.value;
                }
            }
            "lvs_method" => real.value.lb_kind = self.forward(one).map(|kind| kind.value),
            "uthreshold" | "lthreshold" => {
                let value = self.value(one, "a number", number(0, u32::MAX));
                let slot = match one.keyword.text.as_str() {
                    "uthreshold" => &mut real.value.uthreshold,
                    _ => &mut real.value.lthreshold,
                };
                *slot = value.map_or(0, |value| value.value);
            }
            "inhibit_on_failure" => real.inhibit_on_failure = self.flag(one).map(|flag| flag.value),
            "alpha" => real.alpha = self.flag(one).map(|flag| flag.value),
            "virtualhost" => {
                real.value.virtualhost = self.argument(one).map(|word| word.text.clone());
            }
            "smtp_alert" => real.value.smtp_alert = self.flag(one).map(|flag| flag.value),
            "notify_up" => real.value.notify_up = self.script(one),
            "notify_down" => real.value.notify_down = self.script(one),
            _ => return false,
        }
        true
    }
}

/// Values that virtual servers and real servers share.
impl Lower<'_> {
    /// An address and, where it is given, a port.
    pub(super) fn socket(
        &mut self,
        keyword: &Word,
        words: &[Word],
    ) -> Option<(IpAddr, Option<u16>)> {
        let read = |text: &str| text.parse().ok();
        let address = self.after(keyword, words.first(), "an address", read)?;
        if let Some(extra) = words.get(2) {
            let message = format!("{:?} after the port is ignored", extra.text);
            self.report.warn(extra.at, message, "an address and a port");
        }
        let port = match words.get(1) {
            Some(word) => Some(self.after(&words[0], Some(word), "a port", number(0, 65535))?),
            None => None,
        };
        Some((address, port))
    }

    /// `NAT`, `DR` or `TUN`, the latter with the kind of tunnel.
    pub(super) fn forward(&mut self, one: &Statement) -> Option<At<Forward>> {
        self.no_block(one);
        let mut words = one.arguments.iter();
        let Some(word) = words.next() else {
            let message = format!("{} has no value", one.keyword.text);
            self.report.error(one.keyword.at, message, "NAT, DR or TUN");
            return None;
        };
        let mut kind = match word.text.as_str() {
            "NAT" => Forward::Nat,
            "DR" => Forward::Dr,
            "TUN" => Forward::Tun(Tunnel::default()),
            other => {
                let message = format!("{} {other} is not NAT, DR or TUN", one.keyword.text);
                self.report.error(word.at, message, "in capitals");
                return None;
            }
        };
        while let Some(option) = words.next() {
            let Forward::Tun(tunnel) = &mut kind else {
                let message = format!("{:?} after {} is ignored", option.text, word.text);
                self.report.warn(option.at, message, "only TUN has options");
                break;
            };
            match option.text.as_str() {
                "type" => {
                    let gue = TunnelKind::Gue { port: DEFAULT_GUE_PORT };
                    let read = |text: &str| match text {
                        "ipip" => Some(TunnelKind::Ipip),
                        "gue" => Some(gue),
                        "gre" => Some(TunnelKind::Gre),
                        _ => None,
                    };
                    tunnel.kind = self.after(option, words.next(), "ipip, gue or gre", read)?;
                }
                "port" => {
                    let read = number(1, 65535);
                    let port = self.after(option, words.next(), "1 to 65535", read)?;
                    tunnel.kind = TunnelKind::Gue { port };
                }
                "nocsum" => tunnel.checksum = TunnelChecksum::Nocsum,
                "csum" => tunnel.checksum = TunnelChecksum::Csum,
                "remcsum" => tunnel.checksum = TunnelChecksum::Remcsum,
                other => {
                    let message = format!("{other:?} is no option of TUN");
                    let hint = "type ipip, type gue port N, type gre, nocsum, csum or remcsum";
                    self.report.error(option.at, message, hint);
                    return None;
                }
            }
        }
        Some(At { value: kind, at: one.keyword.at })
    }

    /// A quoted command may be followed by a user and a group; without quotes every word belongs
    /// to the command. Escapes are those of C, as keepalived has them in scripts.
    pub(super) fn script(&mut self, one: &Statement) -> Option<Script> {
        self.no_block(one);
        let words: Vec<String> = one.arguments.iter().map(Word::unescaped).collect();
        let quoted = one.arguments.first().is_some_and(|word| word.quoted);
        let script = |command: &str, user: Option<&String>, group: Option<&String>| Script {
            command: command.to_owned(),
            user: user.cloned(),
            group: group.cloned(),
        };
        match words.as_slice() {
            [] => {
                let message = format!("{} has no value", one.keyword.text);
                self.report.error(one.keyword.at, message, "the path of a program");
                None
            }
            [command, rest @ ..] if (quoted || command.contains(' ')) && rest.len() <= 2 => {
                Some(script(command, rest.first(), rest.get(1)))
            }
            words => Some(script(&words.join(" "), None, None)),
        }
    }
}
