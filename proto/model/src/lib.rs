//! The words every layer shares: identifiers, instants and the cluster's configuration.
//!
//! Nothing here does I/O, reads a clock or knows how anything is encoded on the wire.

mod cause;
mod check;
mod config;
mod entrance;
mod id;
mod load;
mod member;
mod notify;
mod overriding;
pub mod pairs;
mod route;
mod time;
mod track;
mod virtual_server;
mod vrrp;

pub use cause::Cause;
pub use check::{
    Check, CheckKind, Digest, DnsCheck, FileCheck, HttpCheck, HttpVersion, MiscCheck, Pattern,
    RecordType, SmtpCheck, SmtpHost, Sni, Source, TlsCheck, Trust, UdpCheck, UdpReply, Url,
};
pub use config::{Auth, AuthType, Candidate, Config, Global, Instance, Scope, Unit, Vip};
pub use entrance::{Entrance, Homes};
pub use id::{Epoch, GroupId, NodeId, Revision};
pub use load::{Dataplane, LvsTimeouts, SyncDaemon};
pub use member::{Down, Eligibility, Foreigner, Role};
pub use notify::{Alerts, Notify, SmtpServer};
pub use overriding::{Override, Overrides, RealName};
pub use route::{Network, Route, RouteKind, Rule};
pub use time::BootNanos;
pub use track::{ParamMatch, SyncGroup, TrackFile, TrackProcess, TrackScript, Tracking, Weight};
pub use virtual_server::{
    Damping, Family, Forward, Fwmark, GroupEntry, Persistence, Protocol, RealServer, Scheduler,
    SchedulerFlags, Script, Service, SorryServer, Tunnel, TunnelChecksum, TunnelKind,
    VirtualServer, VirtualServerGroup,
};
pub use vrrp::{Adverts, ForeignMaster, Garp, Vmac, VrrpVersion};
