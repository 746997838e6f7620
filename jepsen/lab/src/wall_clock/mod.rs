//! A wall clock for each member: what its processes take for the time of day.
//!
//! CLOCK_REALTIME has no namespace, and a jump of it would befall the whole machine. So a library
//! that a member's processes load puts an offset on what they read; the clocks that leases are
//! counted on are left alone, as a jump leaves them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use crate::netns::run;
use crate::{LabError, Program, Result};

/// The time of day of one member.
#[derive(Debug)]
pub struct WallClock {
    shim: PathBuf,
    path: PathBuf,
    file: File,
    offset_ns: AtomicI64,
}

impl WallClock {
    /// One that goes right, with its files in `directory`. Needs a C compiler.
    pub(crate) fn make(directory: &Path, name: &str) -> Result<WallClock> {
        let shim = directory.join("wall-clock.so");
        let error = |path: &Path| LabError::system(path.display().to_string());
        if !shim.exists() {
            let source = directory.join("wall-clock.c");
            fs::write(&source, include_str!("shim.c")).map_err(error(&source))?;
            let (from, to) = (source.display().to_string(), shim.display().to_string());
            run("cc", &["-shared", "-fPIC", "-O2", "-o", &to, &from, "-ldl"])?;
        }
        let path = directory.join(format!("wall-clock.{name}"));
        fs::write(&path, 0_i64.to_ne_bytes()).map_err(error(&path))?;
        let file = File::options().write(true).open(&path).map_err(error(&path))?;
        Ok(WallClock { shim, path, file, offset_ns: 0.into() })
    }

    /// Puts it so many nanoseconds forward, beside what others did to it.
    pub fn shift(&self, by_ns: i64) -> Result<()> {
        let offset = self.offset_ns.fetch_add(by_ns, Ordering::SeqCst).wrapping_add(by_ns);
        let written = self.file.write_all_at(&offset.to_ne_bytes(), 0);
        written.map_err(LabError::system(self.path.display().to_string()))
    }

    /// Whether this process goes by it.
    pub fn is_of(&self, pid: i32) -> bool {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        maps.contains(&self.shim.display().to_string())
    }

    pub(crate) fn on(&self, program: Program) -> Program {
        program.env("LD_PRELOAD", &self.shim).env("WALL_CLOCK", &self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::owner::{Owner, next_number};

    fn seconds_of(clock: &WallClock, words: &[&str]) -> i64 {
        let mut command = std::process::Command::new(words[0]);
        command.args(&words[1..]).env("LD_PRELOAD", &clock.shim).env("WALL_CLOCK", &clock.path);
        let output = command.output().expect("it runs").stdout;
        let text = String::from_utf8(output).expect("digits");
        text.split(['.', '\n']).next().and_then(|word| word.parse().ok()).expect("a number")
    }

    #[test]
    fn whoever_loads_it_has_another_time_of_day_and_no_other_uptime() {
        let name = format!("leasehold-lab-{}-{}", Owner::this().tag(), next_number());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a new directory");
        let clock = WallClock::make(&directory, "ds1").expect("a clock");
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let off = |words: &[&str]| {
            let before = i64::try_from(now()).expect("a year of now");
            seconds_of(&clock, words) - before
        };
        let date = ["date", "+%s"];
        let boot = ["python3", "-c", "import time; print(time.clock_gettime(7))"];
        assert!((0..60).contains(&off(&date)));
        let up = seconds_of(&clock, &boot);
        let mut hours = 0;
        for more in [-5_i64, 24 * 400] {
            clock.shift(more * 3_600_000_000_000).expect("its file");
            hours += more;
            assert!((0..60).contains(&(off(&date) - hours * 3600)));
            assert!((0..60).contains(&(seconds_of(&clock, &boot) - up)));
        }
        fs::remove_dir_all(&directory).expect("it is ours");
    }
}
