//! The kernel and what else runs on it.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use leasehold_dataplane::fence::{Fence, Hook};
use leasehold_dataplane::sysctl;
use nix::sys::utsname::uname;
use nix::time::{ClockId, clock_getres, clock_gettime};

use super::Finding;

/// What else moves addresses about.
const RIVALS: [&str; 6] = ["keepalived", "ucarp", "vrrpd", "corosync", "pacemakerd", "kube-vip"];

/// A tick of the slowest kernels is ten times this.
const COARSE: Duration = Duration::from_millis(1);

pub(super) fn examine() -> Vec<Finding> {
    let mut found = vec![kernel(), fence(), clocksource(), synchronised(), security()];
    found.extend(virtual_machine());
    found.extend(rivals());
    found
}

fn kernel() -> Finding {
    let release = uname().map(|name| name.release().to_string_lossy().into_owned());
    let hook = match Hook::of_kernel() {
        Hook::Tcx => "tcx",
        Hook::Clsact => "clsact",
    };
    Finding::ok(
        "kernel",
        format!("Linux {}: the fence hangs on {hook}", release.unwrap_or_default()),
    )
}

/// Loads the fence, hangs it nowhere, and takes it down again.
fn fence() -> Finding {
    let probe = format!("/sys/fs/bpf/leasehold/doctor-{}", std::process::id());
    let path = Path::new(&probe);
    let tried = Fence::open(path).map(drop);
    let removed = Fence::remove(path);
    match tried.and(removed) {
        Ok(()) => Finding::ok("fence", "the kernel takes the fence's programs and pins them"),
        Err(error) => Finding::failure("fence", error.to_string()),
    }
}

/// Other fences that guard one of these addresses here: a packet must pass them all.
pub(super) fn other_fences(pin_dir: &Path, vips: &BTreeSet<IpAddr>) -> Vec<Finding> {
    match Fence::obstructing(pin_dir, vips) {
        Err(error) => vec![Finding::warning("fence", error.to_string())],
        Ok(others) => {
            let told = others.into_iter().map(|(other, guarded)| {
                let other = other.display();
                Finding::failure(
                    "fence",
                    format!(
                        "{other} guards {} here too, and drops it: if the node that it names is no \
                         more, run leasehold doctor --remove-fence {other}",
                        guarded[0]
                    ),
                )
            });
            told.collect()
        }
    }
}

/// Leases are measured in `CLOCK_BOOTTIME`, whatever the wall clock does.
fn clocksource() -> Finding {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = fs::read_to_string(path).unwrap_or_default();
    let source = source.trim();
    let resolution = clock_getres(ClockId::CLOCK_BOOTTIME).map(Duration::from);
    let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    if source == "jiffies" || resolution.is_ok_and(|one| one > COARSE) {
        let text = format!("CLOCK_BOOTTIME is coarse (clocksource {source}): deadlines are late");
        return Finding::failure("clock", text);
    }
    Finding::ok("clock", format!("clocksource {source}, up for {} h", uptime.as_secs() / 3600))
}

/// The wall clock: for people, and for the expiry of tokens.
fn synchronised() -> Finding {
    let signs = ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid"];
    if signs.iter().any(|path| Path::new(path).exists()) {
        return Finding::ok("clock", "the wall clock is kept by an NTP client");
    }
    Finding::warning(
        "clock",
        "no NTP client was seen: leases do not need one, the expiry of tokens and dates in logs do",
    )
}

fn security() -> Finding {
    let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    if read("/sys/kernel/security/lockdown").contains("[confidentiality]") {
        let text = "kernel lockdown is at `confidentiality`: BPF programs may be refused; boot with \
                    lockdown=integrity";
        return Finding::warning("security", text);
    }
    match read("/sys/fs/selinux/enforce").as_str() {
        "1" => Finding::warning(
            "security",
            "SELinux is enforcing: if `fence` or `peers` fail, `ausearch -m avc -c leasehold` tells \
             what it denied",
        ),
        "0" => Finding::ok("security", "SELinux is permissive"),
        _ => Finding::ok("security", "neither SELinux nor lockdown is in the way"),
    }
}

fn virtual_machine() -> Option<Finding> {
    let cpu = fs::read_to_string("/proc/cpuinfo").ok()?;
    let flags = cpu.lines().find(|line| line.starts_with("flags"))?;
    flags.split_whitespace().any(|flag| flag == "hypervisor").then(|| {
        Finding::warning(
            "clock",
            "this is a virtual machine: one that is paused together with its clocks, for a snapshot \
             or a migration, may answer for its VIPs once more when it wakes; drain it first",
        )
    })
}

fn rivals() -> Vec<Finding> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let here = fs::read_link("/proc/self/ns/net").ok();
    let mut found = Vec::new();
    for process in processes.flatten() {
        let path = process.path();
        let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
        let name = name.trim();
        if RIVALS.contains(&name) && fs::read_link(path.join("ns/net")).ok() == here {
            let pid = process.file_name();
            found.push(Finding::warning(
                "rivals",
                format!(
                    "{name} runs here too (pid {}): it must not manage the same addresses",
                    pid.display()
                ),
            ));
        }
    }
    found
}

/// What is to be said about an interface that VIPs go on.
pub(super) fn sysctls(interface: &str) -> Vec<Finding> {
    if !Path::new("/sys/class/net").join(interface).exists() {
        let text = format!("there is no interface {interface}, which VIPs should go on");
        return vec![Finding::failure("sysctl", text)];
    }
    let findings = sysctl::check(interface);
    if findings.is_empty() {
        return vec![Finding::ok("sysctl", format!("{interface} is set up for VIPs"))];
    }
    let findings = findings.into_iter().map(|one| {
        let sysctl::Finding { name, is, should_be, why } = one;
        Finding::warning("sysctl", format!("{name} is {is}, better {should_be}: {why}"))
    });
    findings.collect()
}
