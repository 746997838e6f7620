//! The emulator: started, listened to, and ended when it takes too long.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Job, Kernel};
use crate::{LabError, Result, until};

const PROGRAM: &str = "qemu-system-x86_64";

/// Lines of the kernel's console that a failure shows.
const SHOWN: usize = 30;

/// Runs the machine to its end.
pub(super) fn boot(job: &Job, kernel: &Kernel, shared: &Path) -> Result<()> {
    let console = shared.join("console");
    let share = |tag: &str, path: &str, more: &str| {
        format!("local,path={path},mount_tag={tag},security_model=none,multidevs=remap{more}")
    };
    let mut command = Command::new(PROGRAM);
    command
        .args(["-accel", "tcg,thread=multi", "-cpu", "max"])
        .args(["-smp", &job.cpus.to_string(), "-m", &format!("{}M", job.memory_mib)])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(shared.join("initrd"))
        .args(["-append", "console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable"])
        .args(["-serial", &format!("file:{}", console.display())])
        .args(["-virtfs", &share("host", "/", ",readonly=on")])
        .args(["-virtfs", &share("shared", &shared.display().to_string(), "")])
        .args(["-device", "virtio-serial-pci", "-chardev", "stdio,id=out,signal=off"])
        .args(["-device", "virtconsole,chardev=out,name=out"])
        .stdin(Stdio::null());
    let child = command.spawn().map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            let install = "apt-get install qemu-system-x86".to_owned();
            return LabError::Missing { program: PROGRAM.to_owned(), install };
        }
        LabError::System { what: PROGRAM.to_owned(), source }
    })?;
    let mut machine = Machine(child);
    machine.wait(job.limit).map_err(|error| {
        LabError::Argument(format!("{error}; its kernel said last:\n{}", tail(shared)))
    })
}

/// The last that the kernel said.
pub(super) fn tail(shared: &Path) -> String {
    let text = fs::read(shared.join("console")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

/// Switched off, at the latest, when it is dropped.
struct Machine(Child);

impl Machine {
    fn wait(&mut self, limit: Duration) -> Result<()> {
        let status =
            until("the machine to switch itself off", limit, || match self.0.try_wait() {
                Ok(ended) => ended.map(Ok),
                Err(error) => Some(Err(error)),
            })?;
        let status = status.map_err(LabError::system(PROGRAM))?;
        if status.success() {
            return Ok(());
        }
        Err(LabError::Argument(format!("{PROGRAM} ended with {status}")))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may be off already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
