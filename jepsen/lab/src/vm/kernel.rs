//! Debian's kernel as its package installs it, and the modules that the root needs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::netns::run;
use crate::{LabError, Result};

/// What it takes to reach this machine's files, and to write to a port.
const NEEDED: [&str; 5] = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"];

/// A kernel with its modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub release: String,
    pub image: PathBuf,
    /// In the order in which they are loaded.
    pub(super) modules: Vec<PathBuf>,
}

impl Kernel {
    /// The newest one that is installed.
    pub fn find() -> Result<Kernel> {
        let installed = fs::read_dir("/boot").map_err(LabError::system("/boot"))?;
        let mut releases: Vec<String> = installed
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                Some(name.strip_prefix("vmlinuz-")?.to_owned())
            })
            .filter(|release| Path::new("/lib/modules").join(release).exists())
            .collect();
        releases.sort_by_key(|release| version(release));
        let release = releases.pop().ok_or_else(|| LabError::Missing {
            program: "a kernel for the machine".to_owned(),
            install: "apt-get install linux-image-amd64".to_owned(),
        })?;
        let image = PathBuf::from(format!("/boot/vmlinuz-{release}"));
        let modules = modules(&release)?;
        Ok(Kernel { release, image, modules })
    }
}

/// Numbers as numbers: 6.10 is newer than 6.9.
fn version(release: &str) -> Vec<u32> {
    let numbers = release.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

fn modules(release: &str) -> Result<Vec<PathBuf>> {
    let mut all: Vec<PathBuf> = Vec::new();
    for module in NEEDED {
        let lines = run("modprobe", &["-S", release, "--show-depends", module])?;
        for line in lines.lines() {
            // "insmod PATH", or "builtin NAME".
            if let Some(path) = line.strip_prefix("insmod ") {
                let path = PathBuf::from(path.trim());
                if !all.contains(&path) {
                    all.push(path);
                }
            }
        }
    }
    Ok(all)
}
