//! What may be said on the command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use leasehold_raft::lease::Profile;

use super::revisions::{Diff, History, Rollback};

use super::words::{
    AddInstance, AddRealServer, AddVirtualServer, RmInstance, RmRealServer, RmVirtualServer,
    SetGlobal, SetInstance, SetRealServer, SetVirtualServer,
};

/// Virtual IPs on a lease: a replacement for the keepalived and LVS pair without split brain.
#[derive(Debug, Parser)]
#[command(
    name = "leasehold",
    bin_name = "leasehold",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,

    /// This node's data directory.
    #[arg(long, global = true, default_value = "/var/lib/leasehold", value_name = "DIR")]
    pub(super) data_dir: PathBuf,

    /// Talk to the node at this address instead of the local daemon.
    #[arg(long, global = true, value_name = "HOST:PORT", requires = "certificate")]
    pub(super) connect: Option<String>,

    /// The client certificate to show to `--connect` (see `leasehold member certificate`).
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) certificate: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make this machine the first node of a new cluster.
    Init(Init),
    /// Join a cluster with a token.
    Join(Join),
    /// Run the daemon; logs go to stderr.
    Run(Run),
    /// Watch over a daemon. `run` starts it.
    #[command(hide = true)]
    Guard(Guard),
    /// Make a join token.
    Token {
        #[command(subcommand)]
        command: Token,
    },
    /// List, promote, demote and remove members.
    Member {
        #[command(subcommand)]
        command: Member,
    },
    /// Replace the cluster's configuration by FILE: TOML, or a keepalived.conf by its .conf name.
    Apply(Apply),
    /// Print one cluster configuration, made of each node's keepalived.conf.
    Import(Import),
    /// Print the configuration in force as TOML, or an earlier one, or one node's keepalived.conf.
    Export(Export),
    /// List the revisions of the configuration that are kept: who made each, when and what for.
    History(History),
    /// Show what changed from revision A to revision B, or to the one in force.
    Diff(Diff),
    /// Put an earlier revision's configuration in force again, as a new revision.
    Rollback(Rollback),
    /// Show members and instances.
    Status(Status),
    /// Show the kernel's table of virtual servers on this node, as ipvsadm -Ln does.
    Ipvs(Ipvs),
    /// Say why an instance is where it is.
    Explain(Explain),
    /// Move an instance to a node. It stays there until that node can't hold it.
    Move {
        instance: String,
        #[arg(long, value_name = "NODE")]
        to: String,
    },
    /// Move everything off a node and give it nothing more.
    Drain { node: String },
    /// Let a drained node hold instances again.
    Undrain { node: String },
    /// Add, change and remove virtual servers, in words of ipvsadm, keepalived and the document.
    Vs {
        #[command(subcommand)]
        command: Vs,
    },
    /// Add, change and remove instances.
    Instance {
        #[command(subcommand)]
        command: Instance,
    },
    /// Change what is global.
    Global {
        #[command(subcommand)]
        command: Global,
    },
    /// Add, change, remove, drain, disable and weigh real servers.
    ///
    /// `add`, `set` and `rm` change the configuration. `drain`, `disable` and `weight` are an
    /// operator's word beside it: it stays so, over failovers and restarts, until `rs enable` or
    /// until the configuration has the real server no more.
    Rs {
        #[command(subcommand)]
        command: Rs,
    },
    /// Check kernel, clock, disk, sysctls, peers and the link for what would not work.
    Doctor(Doctor),
    /// Close the fence and unbind what a daemon and guard that were both killed left.
    ///
    /// For a service manager, after the daemon's end.
    Close,
    /// Make this machine a real server, or undo that.
    Realserver {
        #[command(subcommand)]
        command: RealServer,
    },
    /// Make a new cluster of this node's data, after a majority of the members is lost for good.
    ///
    /// For a node whose daemon is down. Asks for the names of the lost nodes to be typed.
    Recover,
    /// Show failovers of three directors in network namespaces on this machine.
    Demo,
}

#[derive(Debug, Args)]
pub(super) struct Init {
    /// This node's name.
    #[arg(long)]
    pub(super) name: String,
    /// Where this node listens, and its peers reach it.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: String,
    /// How quickly the cluster reacts, and how much jitter it bears.
    #[arg(long, default_value = "default", value_name = "default|fast|wan|lifetime")]
    pub(super) profile: Profile,
}

#[derive(Debug, Args)]
pub(super) struct Join {
    /// This node's name.
    #[arg(long)]
    pub(super) name: String,
    /// Where this node listens, and its peers reach it.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: String,
    /// What `leasehold token create` printed.
    #[arg(long)]
    pub(super) token: String,
    /// A member of the cluster.
    #[arg(value_name = "PEER:PORT")]
    pub(super) peer: String,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Refuse to start unless the cluster was made with this timing.
    #[arg(long, value_name = "default|fast|wan|lifetime")]
    pub(super) profile: Option<Profile>,
    /// What stops this node's answers when a lease ends: a BPF program, or, where the kernel gives
    /// none, the addresses' lifetime, which is coarser and less safe and needs the lifetime profile.
    #[arg(long, value_enum, default_value = "bpf", value_name = "bpf|address-lifetime")]
    pub(super) fence: Fence,
}

#[derive(Debug, Args)]
pub(super) struct Guard {
    #[arg(long)]
    pub(super) daemon: i32,
    #[arg(long)]
    pub(super) hung_after_ms: u64,
    #[arg(long)]
    pub(super) pin_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Fence {
    Bpf,
    AddressLifetime,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Role {
    Director,
    Witness,
}

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Print a token that lets one machine join once.
    Create {
        #[arg(long, default_value = "director")]
        role: Role,
        /// How long the token is good for, in seconds: 1 to 604800.
        #[arg(long, default_value = "3600", value_name = "SECONDS",
              value_parser = clap::value_parser!(u64).range(1..=604_800))]
        expires: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Member {
    /// List the members.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Give a member a vote.
    Promote { node: String },
    /// Take a member's vote.
    Demote { node: String },
    /// Remove a member for good. Wipe its data directory then: it holds keys of the cluster.
    Remove { node: String },
    /// Print a client certificate, for `--connect` from elsewhere. Needs a director's data
    /// directory. Keep it secret.
    Certificate { name: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum Vs {
    /// Add a virtual server.
    Add(AddVirtualServer),
    /// Change settings of a virtual server.
    Set(SetVirtualServer),
    /// Remove a virtual server with its real servers.
    Rm(RmVirtualServer),
    /// List virtual servers and their real servers, in the words that `add` takes.
    List {
        /// This one only.
        #[arg(value_name = "VS")]
        name: Vec<String>,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Instance {
    /// Add an instance.
    Add(AddInstance),
    /// Change settings of an instance.
    Set(SetInstance),
    /// Remove an instance with its virtual addresses.
    Rm(RmInstance),
    /// List instances, in the words that `add` takes.
    List {
        /// This one only.
        name: Option<String>,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Global {
    /// Change settings of `[global]`.
    Set(SetGlobal),
    /// List the settings, in the words that `set` takes.
    List {
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Rs {
    /// Add a real server to a virtual server.
    Add(AddRealServer),
    /// Change settings of a real server.
    Set(SetRealServer),
    /// Remove a real server: what it has is drained.
    Rm(RmRealServer),
    /// Give it no new connections; those that it has go on.
    Drain(Named),
    /// Treat it as one that is down, whatever its checks say.
    Disable(Named),
    /// End what `drain`, `disable` or `weight` began.
    Enable(Named),
    /// Give it this weight instead of any other: 0 to 65535.
    Weight {
        /// The virtual server, as status shows it, and the real server; then the weight.
        #[arg(required = true, num_args = 3..=5, value_names = ["VS", "RS", "N"])]
        words: Vec<String>,
    },
}

/// Words, as the name of a virtual server may be several: `fwmark 7`.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The virtual server, as status shows it: ADDRESS:PORT[/udp|/sctp], fwmark N, group NAME; and
    /// the real server: ADDRESS:PORT.
    #[arg(required = true, num_args = 2..=4, value_names = ["VS", "RS"])]
    pub(super) words: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RealServer {
    /// Take packets to the VIP in, without answering for it.
    Up {
        #[command(flatten)]
        options: RealServerOptions,
        /// As the virtual server forwards: dr, tun or nat.
        #[arg(long, value_enum)]
        mode: RealServerMode,
        /// With nat: the director's address on this side, for the default route.
        #[arg(long, value_name = "IP")]
        gateway: Option<IpAddr>,
    },
    /// Undo what `up` did, and nothing else.
    Down {
        #[command(flatten)]
        options: RealServerOptions,
        /// What was given to `up`; it is remembered, and need not be given.
        #[arg(long, value_enum)]
        mode: Option<RealServerMode>,
    },
}

#[derive(Debug, Args)]
pub(super) struct RealServerOptions {
    /// May be given several times.
    #[arg(long, required = true, value_name = "IP")]
    pub(super) vip: Vec<IpAddr>,
    /// Print the commands, and run none.
    #[arg(long)]
    pub(super) print: bool,
    /// Where to remember what was changed: /run/leasehold/realserver.
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RealServerMode {
    Dr,
    Tun,
    Nat,
}

#[derive(Debug, Args)]
pub(super) struct Apply {
    pub(super) file: PathBuf,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Take every VIP away, where FILE configures none.
    #[arg(long)]
    pub(super) allow_empty: bool,
    /// Refuse unless the configuration in force has this revision.
    #[arg(long, value_name = "N")]
    pub(super) if_revision: Option<u64>,
    /// What the change is for, at most 1024 bytes: `history` shows it.
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub(super) message: String,
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// What this node has, which may be old: for when there is no quorum.
    #[arg(long)]
    pub(super) local: bool,
    /// Of this revision instead of the one in force.
    #[arg(long, value_name = "N")]
    pub(super) revision: Option<u64>,
    /// With its revision, for `apply --if-revision`: {"revision": N, "toml": "..."}.
    #[arg(long)]
    pub(super) json: bool,
    /// As the keepalived.conf of this director; what it has no word for is told.
    #[arg(long, value_name = "NODE", conflicts_with = "json")]
    pub(super) keepalived: Option<String>,
    /// Of a TOML file instead: no daemon is asked.
    #[arg(long, value_name = "FILE", requires = "keepalived", conflicts_with_all = ["local", "revision"])]
    pub(super) from: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// NODE=FILE for each node that ran keepalived.
    #[arg(required = true, value_name = "NODE=FILE", value_parser = node_and_file)]
    pub(super) files: Vec<(String, PathBuf)>,
}

fn node_and_file(argument: &str) -> Result<(String, PathBuf), String> {
    match argument.split_once('=') {
        Some((node, file)) if !node.is_empty() && !file.is_empty() => {
            Ok((node.to_owned(), PathBuf::from(file)))
        }
        Some(_) | None => {
            Err("write NODE=FILE, as in ds1=/etc/keepalived/keepalived.conf".to_owned())
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Status {
    #[arg(long)]
    pub(super) json: bool,
    /// Print again every second until interrupted.
    #[arg(long)]
    pub(super) watch: bool,
}

#[derive(Debug, Args)]
pub(super) struct Ipvs {
    /// Connections, packets and bytes a second.
    #[arg(long, conflicts_with = "stats")]
    rate: bool,
    /// Connections, packets and bytes in all.
    #[arg(long)]
    stats: bool,
    #[arg(long, conflicts_with_all = ["rate", "stats"])]
    pub(super) json: bool,
}

/// Which numbers a table shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbers {
    Connections,
    Totals,
    Rates,
}

impl Ipvs {
    pub(super) fn numbers(&self) -> Numbers {
        match (self.rate, self.stats) {
            (true, _) => Numbers::Rates,
            (false, true) => Numbers::Totals,
            (false, false) => Numbers::Connections,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    pub(super) instance: String,
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Instead of all checks: take down the fence pinned here, of a node that is no more.
    #[arg(long, value_name = "PATH", conflicts_with = "json")]
    pub(super) remove_fence: Option<PathBuf>,
    #[arg(long)]
    pub(super) json: bool,
}
