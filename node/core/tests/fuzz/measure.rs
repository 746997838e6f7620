//! What an input costs, and the inputs that cost most.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::Duration;

/// The most memory the process has had since the last look, in KiB.
pub(super) fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let _ = fs::write("/proc/self/clear_refs", "5");
    peak.unwrap_or(0)
}

/// The processor's time that this thread has had: a machine that does other things too hides
/// nothing, and accuses nobody.
pub(super) fn spent() -> Duration {
    spent_by(Path::new("/proc/thread-self"))
}

fn spent_by(thread: &Path) -> Duration {
    let nanoseconds = fs::read_to_string(thread.join("schedstat")).ok();
    let nanoseconds = nanoseconds.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| ticks(thread), Duration::from_nanos)
}

/// The same in hundredths of a second (`USER_HZ`), where the kernel counts no finer.
fn ticks(thread: &Path) -> Duration {
    let stat = fs::read_to_string(thread.join("stat")).unwrap();
    let after = stat.rsplit(')').next().unwrap();
    let ticks = after.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Ends the process where an input does not end: nobody else would.
pub(super) struct Watchdog(SyncSender<(bool, String)>);

impl Watchdog {
    /// Of inputs that this thread will try, each of which may take so long.
    pub(super) fn new(folder: PathBuf, limit: Duration) -> Self {
        let (sender, inputs) = mpsc::sync_channel::<(bool, String)>(1);
        let thread = Path::new("/proc").join(fs::read_link("/proc/thread-self").unwrap());
        std::thread::spawn(move || {
            let Ok((mut toml, mut text)) = inputs.recv() else { return };
            let mut begun = spent_by(&thread);
            loop {
                match inputs.recv_timeout(limit) {
                    Ok(next) => ((toml, text), begun) = (next, spent_by(&thread)),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        let spent = spent_by(&thread) - begun;
                        if spent >= limit {
                            let kept = keep(&folder, "hangs", toml, &text);
                            let said = format!("no end after {spent:?}; the input is {kept}\n");
                            // Not by a macro: what a test prints is shown when it has ended.
                            let _ = std::io::stderr().write_all(said.as_bytes());
                            std::process::exit(1);
                        }
                    }
                }
            }
        });
        Self(sender)
    }

    pub(super) fn begins(&self, toml: bool, text: &str) {
        self.0.send((toml, text.to_owned())).unwrap();
    }
}

/// Writes an input down, and says where.
pub(super) fn keep(folder: &Path, name: &str, toml: bool, text: &str) -> String {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name).with_extension(if toml { "toml" } else { "conf" });
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// The slowest and the largest input of each parser, keepalived.conf first.
pub(super) struct Records {
    folder: PathBuf,
    keeps: bool,
    slowest: [Duration; 2],
    largest: [u64; 2],
}

impl Records {
    /// Where `keeps` is false, they are only counted.
    pub(super) fn new(folder: PathBuf, keeps: bool) -> Self {
        Self { folder, keeps, slowest: [Duration::ZERO; 2], largest: [0; 2] }
    }

    pub(super) fn note(&mut self, toml: bool, text: &str, took: Duration, memory: u64) {
        let index = usize::from(toml);
        if took > self.slowest[index] {
            self.slowest[index] = took;
            self.keep("slowest", toml, text);
        }
        if memory > self.largest[index] {
            self.largest[index] = memory;
            self.keep("largest", toml, text);
        }
    }

    fn keep(&self, name: &str, toml: bool, text: &str) {
        if self.keeps {
            keep(&self.folder, name, toml, text);
        }
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in ["keepalived.conf", "TOML"].into_iter().enumerate() {
            let (slowest, largest) = (self.slowest[index], self.largest[index]);
            writeln!(f, "{name}: slowest {slowest:.0?}, most memory {largest} KiB")?;
        }
        if self.keeps {
            write!(f, "these inputs are in {}", self.folder.display())?;
        }
        Ok(())
    }
}
