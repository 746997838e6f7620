//! Removes what dead test processes left behind, and nothing else.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use nix::unistd::Pid;

use crate::netns::{NAMES, PREFIX, remove_namespace};
use crate::owner::{NOTES, Owner, cookie, marked};
use crate::{LabError, Result};

/// The only place below which recorded pins are removed.
const PINS: &str = "/sys/fs/bpf/leasehold";
const BPFFS: &str = "/sys/fs/bpf";

/// Keeps threads from overwriting each other's notes.
static NOTE: Mutex<()> = Mutex::new(());

/// What a sweep removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Processes that were ended.
    pub processes: Vec<i32>,
    /// Namespaces that were removed.
    pub namespaces: Vec<String>,
    /// Directories of BPF pins that were removed.
    pub pins: Vec<PathBuf>,
    /// File systems that were unmounted.
    pub disks: Vec<PathBuf>,
}

/// Ends processes, then removes namespaces and pins, of owners that no longer live.
pub fn sweep() -> Swept {
    let mut swept = Swept::default();
    for process in marked("") {
        let owner = cookie(process.pid).and_then(|c| Owner::parse(&c).map(|(owner, _)| owner));
        if owner.is_some_and(|owner| !owner.is_alive())
            && kill(Pid::from_raw(process.pid), Signal::SIGKILL).is_ok()
        {
            swept.processes.push(process.pid);
        }
    }
    swept.disks = crate::disk::sweep(&std::env::temp_dir());
    for name in names(NAMES) {
        let owner = name.strip_prefix(PREFIX).and_then(Owner::parse).map(|(owner, _)| owner);
        if owner.is_some_and(|owner| !owner.is_alive()) {
            remove_namespace(&name);
            swept.namespaces.push(name);
        }
    }
    for name in names(NOTES) {
        if Owner::parse(&name).is_some_and(|(owner, _)| !owner.is_alive()) {
            let note = Path::new(NOTES).join(&name);
            for line in fs::read_to_string(&note).unwrap_or_default().lines() {
                if remove_pins(Path::new(line)) {
                    swept.pins.push(PathBuf::from(line));
                }
            }
            let _ = fs::remove_file(note);
        }
    }
    swept
}

fn names(directory: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What systemd does at boot, for machines without it. The product mounts nothing.
fn mount_bpffs() -> Result<()> {
    let root = Path::new(BPFFS);
    if statfs(root).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC) {
        return Ok(());
    }
    mount(Some("bpf"), root, Some("bpf"), MsFlags::empty(), None::<&str>)
        .map_err(LabError::errno(format!("mount {BPFFS}")))
}

/// A directory of BPF pins that belongs to a test: gone on drop, or swept if the test died.
#[derive(Debug)]
pub struct PinDir(PathBuf);

impl PinDir {
    /// Takes charge of `path`, which must lie below /sys/fs/bpf/leasehold and need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Result<PinDir> {
        let path = path.into();
        if !is_ours(&path) {
            return Err(LabError::Argument(format!(
                "{} is not below {PINS}; the lab removes pins only there",
                path.display()
            )));
        }
        let _guard = NOTE.lock();
        mount_bpffs()?;
        let note = Owner::this().note_path();
        let noted = fs::create_dir_all(NOTES).and_then(|()| {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&note)?;
            writeln!(file, "{}", path.display())
        });
        noted.map_err(LabError::system(note.display().to_string()))?;
        Ok(PinDir(path))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PinDir {
    fn drop(&mut self) {
        remove_pins(&self.0);
        let _guard = NOTE.lock();
        let note = Owner::this().note_path();
        let line = self.0.display().to_string();
        let noted = fs::read_to_string(&note).unwrap_or_default();
        let kept: Vec<&str> = noted.lines().filter(|noted| *noted != line).collect();
        // What can't be struck out is swept later, and is gone by then.
        let _ = if kept.is_empty() {
            fs::remove_file(note)
        } else {
            fs::write(note, format!("{}\n", kept.join("\n")))
        };
    }
}

fn is_ours(path: &Path) -> bool {
    let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    plain && path.starts_with(PINS)
}

fn remove_pins(path: &Path) -> bool {
    is_ours(path) && fs::remove_dir_all(path).is_ok()
}
