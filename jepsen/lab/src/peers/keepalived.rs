//! Debian's keepalived in a host, with files of its own so that many can run on one machine.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::netns::run;
use crate::owner::{Owner, next_number};
use crate::vm::has_module;
use crate::{Host, LabError, Process, Program, Result};

/// A running keepalived. Dropping it ends it and removes its files.
#[derive(Debug)]
pub struct Keepalived {
    process: Process,
    directory: PathBuf,
}

/// The one VRRP instance of a director, as a configuration.
#[derive(Clone, Debug)]
pub struct Vrrp<'a> {
    /// The interface that carries adverts and addresses.
    pub interface: &'a str,
    /// 2 or 3.
    pub version: u8,
    /// The advert interval in seconds; version 3 takes fractions down to 0.01.
    pub advert_int: f64,
    /// 1 to 254.
    pub priority: u8,
    /// The virtual addresses, all of one family.
    pub vips: &'a [IpAddr],
}

impl Vrrp<'_> {
    /// The text of keepalived.conf.
    pub fn config(&self) -> String {
        let addresses: String =
            self.vips.iter().map(|vip| format!("        {vip} dev {}\n", self.interface)).collect();
        let (version, interface) = (self.version, self.interface);
        let (advert_int, priority) = (self.advert_int, self.priority);
        // More than 20 addresses fit no VRRP packet; the excluded ones move along all the same.
        let block = if self.vips.len() > 20 {
            let first = self.vips[0];
            format!(
                "    virtual_ipaddress {{\n        {first} dev {interface}\n    }}\n    \
                 virtual_ipaddress_excluded {{\n{}    }}\n",
                addresses.split_once('\n').map_or("", |(_, rest)| rest)
            )
        } else {
            format!("    virtual_ipaddress {{\n{addresses}    }}\n")
        };
        format!(
            "global_defs {{\n    vrrp_version {version}\n    vrrp_garp_master_delay 1\n}}\n\
             vrrp_instance lab {{\n    state BACKUP\n    interface {interface}\n    \
             virtual_router_id 51\n    priority {priority}\n    advert_int {advert_int}\n{block}}}\n"
        )
    }
}

impl Keepalived {
    /// Starts keepalived in `host` with this configuration, for VRRP alone.
    pub fn start(host: &Host, config: &str) -> Result<Keepalived> {
        Self::begin(host, config, "--vrrp")
    }

    /// Starts its checker alone. Where this kernel has no IPVS, one is feigned: what it checks
    /// and how is the same, and what it would change is only said in its log.
    pub fn check(host: &Host, config: &str) -> Result<Keepalived> {
        Self::begin(host, config, "--check")
    }

    fn begin(host: &Host, config: &str, part: &str) -> Result<Keepalived> {
        let program = Path::new("/usr/sbin/keepalived");
        if !program.exists() {
            return Err(LabError::Missing {
                program: "keepalived".to_owned(),
                install: "apt-get install keepalived".to_owned(),
            });
        }
        let name = format!("leasehold-lab-{}-{}", Owner::this().tag(), next_number());
        let directory = std::env::temp_dir().join(name);
        let file = directory.join("keepalived.conf");
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&file, config))
            .map_err(LabError::system(file.display().to_string()))?;
        let path = |name: &str| directory.join(name).into_os_string();
        let mut program = Program::new(&format!("keepalived in {}", host.label()), program)
            .args(["--dont-fork", "--log-console", "--log-detail", part])
            .arg("--use-file")
            .arg(&file)
            .arg("--pid")
            .arg(path("main.pid"))
            .arg("--vrrp_pid")
            .arg(path("vrrp.pid"))
            .arg("--checkers_pid")
            .arg(path("checkers.pid"));
        if part == "--check" && !has_module("ip_vs") {
            program = program.env("LD_PRELOAD", feigned_ipvs(&directory)?);
        }
        let process = program.start(host)?;
        Ok(Keepalived { process, directory })
    }

    /// Its processes.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// The library that answers for IPVS, made by this machine's compiler.
fn feigned_ipvs(directory: &Path) -> Result<PathBuf> {
    let (source, library) = (directory.join("ipvs_stub.c"), directory.join("ipvs_stub.so"));
    fs::write(&source, include_str!("ipvs_stub.c"))
        .map_err(LabError::system(source.display().to_string()))?;
    let (from, to) = (source.display().to_string(), library.display().to_string());
    run("cc", &["-shared", "-fPIC", "-O2", "-o", &to, &from])?;
    Ok(library)
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        // A pid file left behind would keep the next one from starting.
        let _ = self.process.kill_tree();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
