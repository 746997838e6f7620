//! A machine with another kernel: Debian's, under emulation, with this machine's files.
//!
//! For what this kernel lacks (IPVS, tunnels, netem) and for what must work on an older one. The
//! root is this machine's, read only, below a layer that is forgotten; a program of this machine
//! runs there as it would here. It is some ten times slower: limits must allow for that.

mod initrd;
mod kernel;
mod qemu;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::owner::{Owner, next_number};
use crate::{LabError, Result};

pub use kernel::Kernel;

/// Set inside, so that a program can tell where it is.
const INSIDE: &str = "LEASEHOLD_VM";

/// From the emulator's start to the first program of the machine, thirty times what it takes.
const UP_WITHIN: Duration = Duration::from_secs(300);

/// A program to run inside, and what it may use.
#[derive(Clone, Debug)]
pub struct Job {
    pub argv: Vec<String>,
    /// Beside the environment of this process.
    pub env: Vec<(String, String)>,
    pub memory_mib: u32,
    /// From the machine's first program to the end of the job.
    pub limit: Duration,
}

/// How a program ended inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status, or 128 and the number of the signal.
    pub status: i32,
    /// The last lines that it printed.
    pub said: String,
}

impl Job {
    /// 3 GiB, and half an hour.
    #[must_use]
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Job {
        Job {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            memory_mib: 3072,
            limit: Duration::from_secs(1800),
        }
    }

    /// Boots, runs the program in this directory with its output on this process's, and switches
    /// off.
    pub fn run(&self) -> Result<Ended> {
        let kernel = Kernel::find()?;
        let shared = Shared::new()?;
        initrd::write(&kernel, &shared.0.join("initrd"))?;
        shared.write("init", INIT)?;
        shared.write("job", &self.script()?)?;
        let said = qemu::boot(self, &kernel, &shared.0)?;
        let status = fs::read_to_string(shared.0.join("status")).unwrap_or_default();
        match status.trim().parse() {
            Ok(status) => Ok(Ended { status, said }),
            Err(_) => Err(LabError::Argument(format!(
                "the machine stopped before the program ended: did it run out of memory? The \
                 program said last:\n{said}\nand the kernel:\n{}",
                qemu::tail(&shared.0)
            ))),
        }
    }

    fn script(&self) -> Result<String> {
        let directory = std::env::current_dir().map_err(LabError::system("the directory"))?;
        let mut text = format!("cd {} || exit 126\n", quoted(&directory.display().to_string()));
        let own = std::env::vars().filter(|(name, _)| name != crate::owner::COOKIE);
        let inside = (INSIDE.to_owned(), "1".to_owned());
        for (name, value) in own.chain(self.env.iter().cloned()).chain([inside]) {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.chars().all(plain) && name != "PATH" {
                text.push_str(&format!("export {name}={}\n", quoted(&value)));
            }
        }
        let words: Vec<String> = self.argv.iter().map(|word| quoted(word)).collect();
        // Written before the machine is switched off, and by nobody else.
        text.push_str(&format!("{}\necho $? >/run/vm/status\n", words.join(" ")));
        Ok(text)
    }
}

/// Runs `body` on a kernel that has `module`: this one, or, where it has not, a machine that runs
/// this test again. `test` is the test's own name.
pub fn with_module(module: &str, test: &str, body: impl FnOnce() -> Result<()>) -> Result<()> {
    if has_module(module) {
        return body();
    }
    if std::env::var_os(INSIDE).is_some() {
        return Err(LabError::Argument(format!("the machine's kernel has no {module} either")));
    }
    let program = std::env::current_exe().map_err(LabError::system("this test's program"))?;
    let program = program.display().to_string();
    let ended = Job::new([program.as_str(), "--exact", test, "--nocapture"]).run()?;
    if ended.status == 0 {
        return Ok(());
    }
    let Ended { status, said } = ended;
    Err(LabError::Argument(format!("{test} ended with {status} in the machine, and said:\n{said}")))
}

/// Whether this kernel has `module`, or loads it now.
#[must_use]
pub fn has_module(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
        || crate::netns::run("modprobe", &["--quiet", module]).is_ok()
}

/// Whether this process runs in such a machine.
#[must_use]
pub fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What the machine and this process both see. Removed at the end.
struct Shared(PathBuf);

impl Shared {
    fn new() -> Result<Shared> {
        let name = format!("leasehold-vm-{}-{}", Owner::this().tag(), next_number());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).map_err(LabError::system(path.display().to_string()))?;
        Ok(Shared(path))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(LabError::system(path.display().to_string()))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A leftover in the directory for temporary files harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The first program on the machine's own root.
const INIT: &str = r#"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/netns /run/lock
hostname vm
ip link set lo up
echo up >/run/vm/up
out=/dev/hvc0; stty -F $out raw -echo
sh /run/vm/job >"$out" 2>&1 </dev/null
sync
/bin/busybox poweroff -f
"#;
