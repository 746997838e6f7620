//! `realserver up|down`: this machine as a real server.

use std::net::IpAddr;
use std::path::Path;

use anyhow::bail;
use leasehold_dataplane::real::{Done, Mode, Use, things};
use leasehold_dataplane::realserver::{RealServers, default_routes};

use super::args::{RealServer, RealServerMode, RealServerOptions};
use super::out;

/// What is remembered here is the kernel's state, which ends with the boot.
const STATE: &str = "/run/leasehold/realserver";

pub(super) fn realserver(command: &RealServer) -> anyhow::Result<()> {
    match command {
        RealServer::Up { options, mode, gateway } => up(options, *mode, *gateway),
        RealServer::Down { options, .. } => down(options),
    }
}

fn up(
    options: &RealServerOptions,
    mode: RealServerMode,
    gateway: Option<IpAddr>,
) -> anyhow::Result<()> {
    let mode = match mode {
        RealServerMode::Dr => Mode::Dr,
        RealServerMode::Tun => Mode::Tun,
        RealServerMode::Nat => Mode::Nat,
    };
    if gateway.is_some() && mode != Mode::Nat {
        bail!("--gateway is for --mode nat: with dr and tun, answers go straight to the client");
    }
    let of = Use { mode, gateway };
    check(&options.vip)?;
    if options.print {
        for vip in &options.vip {
            for thing in things(*vip, of) {
                out::data(&thing.to_string())?;
            }
        }
        return Ok(());
    }
    need_root()?;
    let mut servers = RealServers::open(directory(options))?;
    let mut told = Vec::new();
    for vip in &options.vip {
        told.extend(servers.up(*vip, of)?);
    }
    tell(&told)?;
    if let (Mode::Nat, None, Some(vip)) = (mode, gateway, options.vip.first()) {
        let routes = default_routes(*vip)?;
        let routes = if routes.is_empty() { "there is none".to_owned() } else { routes };
        out::note(&format!(
            "answers must go by the director's own address here; the default route now: {routes} \
             (--gateway IP sets it)"
        ));
    }
    Ok(())
}

fn down(options: &RealServerOptions) -> anyhow::Result<()> {
    check(&options.vip)?;
    if options.print {
        let servers = RealServers::open(directory(options))?;
        let mut memory = servers.memory().clone();
        memory.vips.retain(|vip, _| !options.vip.contains(vip));
        for command in memory.superfluous().iter().flat_map(Done::undoing) {
            out::data(&command)?;
        }
        return Ok(());
    }
    need_root()?;
    let mut servers = RealServers::open(directory(options))?;
    let mut told = Vec::new();
    for vip in &options.vip {
        told.extend(servers.down(*vip)?);
    }
    tell(&told)
}

fn directory(options: &RealServerOptions) -> &Path {
    options.state_dir.as_deref().unwrap_or(Path::new(STATE))
}

fn check(vips: &[IpAddr]) -> anyhow::Result<()> {
    for vip in vips {
        let broadcast = matches!(vip, IpAddr::V4(v4) if v4.is_broadcast());
        if vip.is_loopback() || vip.is_multicast() || vip.is_unspecified() || broadcast {
            bail!("{vip} can't be a VIP: it is a unicast address that clients can reach");
        }
    }
    Ok(())
}

fn need_root() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("realserver needs root: it changes addresses and settings of this machine");
    }
    Ok(())
}

fn tell(told: &[String]) -> anyhow::Result<()> {
    if told.is_empty() {
        return out::data("nothing to do");
    }
    told.iter().try_for_each(|line| out::data(line))
}
