//! What can go wrong for each checker, and the words in which either system is told to check.

use std::net::Ipv4Addr;

use leasehold_lab::peers::faulty::{Behaviour, PAGE_MD5, Protocol};

/// The plain pages behind TLS, and the pages alone.
pub(super) const HTTP: u16 = 80;
pub(super) const HTTPS: u16 = 443;
/// Where a connection ends that was to be one of TLS.
pub(super) const NO_TLS: u16 = 81;

const PAYLOAD: &str = "6c61620a";

/// keepalived's checkers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Checker {
    Tcp,
    Http,
    Digest,
    Ssl,
    Smtp,
    Dns,
    Udp,
    Ping,
    Misc,
}

/// What happens to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Refused,
    BlackHole,
    SlowAccept,
    SlowBody,
    Trickle,
    Error,
    OtherAnswer,
    ResetMidBody,
    NoTls,
    Hang,
}

/// A checker and a fault, at an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub checker: Checker,
    pub fault: Fault,
    pub(super) nth: u8,
}

/// What does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The server, which goes on.
    Behave(Behaviour),
    /// The server, which ends.
    End,
    /// The script, which is another one then.
    Script,
    /// The packet filter: its set of addresses.
    Filter(&'static str),
}

impl Checker {
    pub const ALL: [Checker; 9] = [
        Checker::Tcp,
        Checker::Http,
        Checker::Digest,
        Checker::Ssl,
        Checker::Smtp,
        Checker::Dns,
        Checker::Udp,
        Checker::Ping,
        Checker::Misc,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Checker::Tcp => "TCP_CHECK",
            Checker::Http => "HTTP_GET",
            Checker::Digest => "HTTP_GET, digest",
            Checker::Ssl => "SSL_GET",
            Checker::Smtp => "SMTP_CHECK",
            Checker::Dns => "DNS_CHECK",
            Checker::Udp => "UDP_CHECK",
            Checker::Ping => "PING_CHECK",
            Checker::Misc => "MISC_CHECK",
        }
    }

    fn faults(self) -> &'static [Fault] {
        use Fault::{
            BlackHole, Error, Hang, NoTls, OtherAnswer, Refused, ResetMidBody, SlowAccept,
            SlowBody, Trickle,
        };
        match self {
            Checker::Tcp => &[Refused, BlackHole, SlowAccept],
            Checker::Http => {
                &[Refused, BlackHole, SlowAccept, SlowBody, Trickle, Error, ResetMidBody]
            }
            Checker::Digest => &[OtherAnswer, SlowBody, ResetMidBody],
            Checker::Ssl => &[Refused, BlackHole, NoTls, SlowBody, Error, ResetMidBody],
            Checker::Smtp => &[Refused, BlackHole, SlowAccept, SlowBody, Error, ResetMidBody],
            Checker::Dns => &[Refused, BlackHole, Error],
            Checker::Udp => &[Refused, BlackHole, OtherAnswer],
            Checker::Ping => &[BlackHole],
            Checker::Misc => &[Error, Hang],
        }
    }

    /// What serves behind the checker, if a server does.
    pub(super) fn protocol(self) -> Option<Protocol> {
        match self {
            Checker::Tcp => Some(Protocol::Tcp),
            Checker::Http | Checker::Digest | Checker::Ssl => Some(Protocol::Http),
            Checker::Smtp => Some(Protocol::Smtp),
            Checker::Dns => Some(Protocol::Dns),
            Checker::Udp => Some(Protocol::Udp),
            Checker::Ping | Checker::Misc => None,
        }
    }

    /// Of the real server.
    fn port(self) -> u16 {
        match self {
            Checker::Tcp => 7,
            Checker::Http | Checker::Digest => HTTP,
            Checker::Ssl => HTTPS,
            Checker::Smtp => 25,
            Checker::Dns => 53,
            Checker::Udp => 514,
            Checker::Ping | Checker::Misc => 9,
        }
    }

    fn transport(self) -> &'static str {
        match self {
            Checker::Dns | Checker::Udp => "UDP",
            Checker::Tcp
            | Checker::Http
            | Checker::Digest
            | Checker::Ssl
            | Checker::Smtp
            | Checker::Ping
            | Checker::Misc => "TCP",
        }
    }
}

impl Fault {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fault::Refused => "refused",
            Fault::BlackHole => "black hole",
            Fault::SlowAccept => "slow accept",
            Fault::SlowBody => "slow body: it stops half-way",
            Fault::Trickle => "slow body: a byte each 0.5 s",
            Fault::Error => "an error (500, 421, SERVFAIL, exit 1)",
            Fault::OtherAnswer => "another answer",
            Fault::ResetMidBody => "reset half-way",
            Fault::NoTls => "no TLS",
            Fault::Hang => "hangs",
        }
    }
}

impl Case {
    /// Each fault of these checkers, in order.
    pub(super) fn all(checkers: &[Checker]) -> Vec<Case> {
        let pairs = checkers
            .iter()
            .flat_map(|checker| checker.faults().iter().map(move |fault| (*checker, *fault)));
        (1..).zip(pairs).map(|(nth, (checker, fault))| Case { checker, fault, nth }).collect()
    }

    pub(super) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 200, 0, self.nth)
    }

    /// Of what serves, which is behind TLS where there is any.
    pub(super) fn server_port(self) -> u16 {
        if self.checker == Checker::Ssl { HTTP } else { self.checker.port() }
    }

    /// How the fault comes about.
    pub(super) fn way(self) -> Way {
        match self.fault {
            Fault::Refused if self.checker == Checker::Ssl => Way::Filter("refused"),
            Fault::Refused => Way::End,
            Fault::BlackHole => Way::Filter("dropped"),
            Fault::NoTls => Way::Filter("no_tls"),
            Fault::Error if self.checker == Checker::Misc => Way::Script,
            Fault::Hang => Way::Script,
            Fault::SlowAccept => Way::Behave(Behaviour::Deaf),
            Fault::SlowBody => Way::Behave(Behaviour::Stalling),
            Fault::Trickle => Way::Behave(Behaviour::Trickling),
            Fault::Error => Way::Behave(Behaviour::Refusing),
            Fault::OtherAnswer => Way::Behave(Behaviour::Other),
            Fault::ResetMidBody => Way::Behave(Behaviour::Resetting),
        }
    }

    fn virtual_port(self) -> u16 {
        1000 + u16::from(self.nth)
    }

    /// keepalived's virtual server; `script` is that of a MISC_CHECK.
    pub(super) fn keepalived(self, vip: Ipv4Addr, script: &str) -> String {
        let (checker, page) = (self.checker, "url {\n path /\n status_code 200\n }\n");
        let (name, more) = match checker {
            Checker::Tcp => ("TCP_CHECK", String::new()),
            Checker::Http => ("HTTP_GET", page.to_owned()),
            Checker::Digest => ("HTTP_GET", format!("url {{\n path /\n digest {PAGE_MD5}\n }}\n")),
            Checker::Ssl => ("SSL_GET", page.to_owned()),
            Checker::Smtp => ("SMTP_CHECK", "helo_name lab\n".to_owned()),
            Checker::Dns => ("DNS_CHECK", "type A\n name lab.example\n".to_owned()),
            Checker::Udp => ("UDP_CHECK", format!("payload {PAYLOAD}\n require_reply {PAYLOAD}\n")),
            Checker::Ping => ("PING_CHECK", String::new()),
            Checker::Misc => {
                ("MISC_CHECK", format!("misc_path {script}\n misc_timeout 1\n user root\n"))
            }
        };
        let patience = if checker == Checker::Misc { "" } else { "connect_timeout 1\n" };
        let (port, transport) = (checker.port(), checker.transport());
        format!(
            "virtual_server {vip} {} {{\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol \
             {transport}\n real_server {} {port} {{\n {name} {{\n {more} {patience} retry 2\n \
             delay_before_retry 0.5\n }}\n }}\n}}\n",
            self.virtual_port(),
            self.address()
        )
    }

    /// The same for Leasehold.
    pub(super) fn leasehold(self, vip: Ipv4Addr, script: &str) -> String {
        let (checker, page) = (self.checker, "url = [{ path = \"/\", status_code = [\"200\"] }]");
        let kind = match checker {
            Checker::Tcp => "type = \"tcp\"".to_owned(),
            Checker::Http => format!("type = \"http\", {page}"),
            Checker::Digest => {
                format!("type = \"http\", url = [{{ path = \"/\", digest = \"md5:{PAGE_MD5}\" }}]")
            }
            Checker::Ssl => format!("type = \"http\", tls = true, {page}"),
            Checker::Smtp => "type = \"smtp\", helo_name = \"lab\"".to_owned(),
            Checker::Dns => "type = \"dns\", record = \"A\", name = \"lab.example\"".to_owned(),
            Checker::Udp => format!(
                "type = \"udp\", payload = \"{PAYLOAD}\", reply = {{ begins = \"{PAYLOAD}\" }}"
            ),
            Checker::Ping => "type = \"ping\"".to_owned(),
            Checker::Misc => format!(
                "type = \"misc\", script = {{ command = \"{script}\", user = \"root\" }}, \
                 timeout_ms = 1000"
            ),
        };
        let patience = if checker == Checker::Misc { "" } else { "connect_timeout_ms = 1000, " };
        format!(
            "[[virtual_server]]\naddress = \"{vip}:{}\"\nprotocol = \"{}\"\nlb_algo = \"rr\"\n\
             [[virtual_server.real_server]]\naddress = \"{}:{}\"\ncheck = [{{ {kind}, {patience}\
             delay_loop_ms = 1000, retry = 2, delay_before_retry_ms = 500 }}]\n",
            self.virtual_port(),
            checker.transport().to_lowercase(),
            self.address(),
            checker.port()
        )
    }
}
