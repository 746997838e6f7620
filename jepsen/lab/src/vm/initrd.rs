//! The first root: a shell, a few modules, and how to get to the second one.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::Kernel;
use crate::{LabError, Result};

const BUSYBOX: &str = "/bin/busybox";

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

pub(super) fn write(kernel: &Kernel, to: &Path) -> Result<()> {
    let busybox = fs::read(BUSYBOX).map_err(|_| LabError::Missing {
        program: "busybox".to_owned(),
        install: "apt-get install busybox-static".to_owned(),
    })?;
    let mut archive = Archive::default();
    for directory in ["bin", "proc", "sys", "host", "over", "root", "modules"] {
        archive.add(directory, DIRECTORY, &[]);
    }
    archive.add("bin/busybox", PROGRAM, &busybox);
    let mut script = String::from(BEFORE);
    for path in &kernel.modules {
        let module = fs::read(path).map_err(LabError::system(path.display().to_string()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        archive.add(&format!("modules/{name}"), PROGRAM, &module);
        script.push_str(&format!("insmod /modules/{name}\n"));
    }
    script.push_str(AFTER);
    archive.add("init", PROGRAM, script.as_bytes());
    let bytes = archive.finish();
    let mut file = fs::File::create(to).map_err(LabError::system(to.display().to_string()))?;
    file.write_all(&bytes).map_err(LabError::system(to.display().to_string()))
}

const BEFORE: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
";

/// Whatever goes wrong on the way, the machine goes off: nobody is there to look at it. The kernel
/// runs `modprobe` where its first process has its root: so that one changes it.
const AFTER: &str = "
o=trans=virtio,version=9p2000.L,cache=loose,msize=524288
mount -t 9p -o ro,$o host /host || poweroff -f
mount -t tmpfs -o size=75% over /over
mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work over /root
mount -t tmpfs run /root/run
mkdir /root/run/vm
mount -t 9p -o trans=virtio,version=9p2000.L,cache=none,msize=524288 shared /root/run/vm
umount /proc /sys
exec switch_root /root /bin/sh /run/vm/init
";

/// A `cpio` archive as the kernel reads it (`Documentation/driver-api/early-userspace`).
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.count += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        self.entry(name, [self.count, mode, 0, 0, links, 0], content);
    }

    fn entry(&mut self, name: &str, head: [u32; 6], content: &[u8]) {
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let rest = [length(content.len()), 0, 0, 0, 0, length(name.len() + 1), 0];
        self.bytes.extend_from_slice(b"070701");
        for number in head.iter().chain(&rest) {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", [0, 0, 0, 0, 1, 0], &[]);
        self.bytes
    }
}
