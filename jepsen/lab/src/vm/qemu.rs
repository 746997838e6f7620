//! The emulator: started, listened to, and ended when it takes too long.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Job, Kernel, UP_WITHIN};
use crate::owner::{COOKIE, Owner, next_number};
use crate::{LabError, Result, until};

const PROGRAM: &str = "qemu-system-x86_64";

/// Lines of the kernel's console that a failure shows.
const SHOWN: usize = 30;

/// Lines of the program's output that a failure shows.
const SAID: usize = 100;
const SAID_BYTES: usize = 256 << 10;

/// Runs the machine to its end, and tells what its program said last.
pub(super) fn boot(job: &Job, kernel: &Kernel, shared: &Path) -> Result<String> {
    let console = shared.join("console");
    let share = |tag: &str, path: &str, more: &str| {
        format!("local,path={path},mount_tag={tag},security_model=none,multidevs=remap{more}")
    };
    let mut command = Command::new(PROGRAM);
    command
        // One processor, on one thread: with a thread for each of several, QEMU 7.2 on a busy host
        // now and then stands still or ends by SIGSEGV while the kernel boots.
        .args(["-accel", "tcg,thread=single", "-cpu", "max"])
        .args(["-smp", "1", "-m", &format!("{}M", job.memory_mib)])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(shared.join("initrd"))
        .args(["-append", "console=ttyS0 panic=-1 mitigations=off tsc=reliable"])
        .args(["-serial", &format!("file:{}", console.display())])
        .args(["-virtfs", &share("host", "/", ",readonly=on")])
        .args(["-virtfs", &share("shared", &shared.display().to_string(), "")])
        .args(["-device", "virtio-serial-pci", "-chardev", "stdio,id=out,signal=off"])
        .args(["-device", "virtconsole,chardev=out,name=out"])
        // A sweep ends it where this process could not.
        .env(COOKIE, format!("{}-{}.", Owner::this().tag(), next_number()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            let install = "apt-get install qemu-system-x86".to_owned();
            return LabError::Missing { program: PROGRAM.to_owned(), install };
        }
        LabError::System { what: PROGRAM.to_owned(), source }
    })?;
    let output = child.stdout.take().expect("standard output was asked to be a pipe");
    let output = std::thread::spawn(move || pass_on(output));
    let mut machine = Machine(child);
    let up = shared.join("up");
    let ended = machine.wait("the machine to come up", UP_WITHIN, || up.exists()).and_then(|end| {
        if end {
            return Ok(true);
        }
        machine.wait("the machine to switch itself off", job.limit, || false)
    });
    // Off, so that its output ends.
    drop(machine);
    let said = output.join().unwrap_or_else(|_| "(its output was not followed)".to_owned());
    match ended {
        Ok(_) => Ok(said),
        Err(error) => {
            let kernel = tail(shared);
            let text =
                format!("{error}; its program said last:\n{said}\nand its kernel:\n{kernel}");
            Err(LabError::Argument(text))
        }
    }
}

/// Writes to this process's output what comes, and keeps the last lines of it.
fn pass_on(mut from: impl Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        // Nobody may be listening; the last lines are kept all the same.
        let mut out = std::io::stdout();
        let _ = out.write_all(&buffer[..read]).and_then(|()| out.flush());
        kept.extend_from_slice(&buffer[..read]);
        let mut lines = kept.iter().rev().enumerate().filter(|(_, byte)| **byte == b'\n');
        if let Some((length, _)) = lines.nth(SAID) {
            kept.drain(..kept.len() - length);
        }
        kept.drain(..kept.len().saturating_sub(SAID_BYTES));
    }
    String::from_utf8_lossy(&kept).into_owned()
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
    /// Until it has ended (true), or `enough` (false).
    fn wait(&mut self, what: &str, limit: Duration, enough: impl Fn() -> bool) -> Result<bool> {
        let status = until(what, limit, || match self.0.try_wait() {
            Ok(Some(status)) => Some(Ok(Some(status))),
            Ok(None) => enough().then_some(Ok(None)),
            Err(error) => Some(Err(error)),
        })?;
        match status.map_err(LabError::system(PROGRAM))? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => Err(LabError::Argument(format!("{PROGRAM} ended with {status}"))),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may be off already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
