//! The number that generic netlink gave to IPVS, and the module behind it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::attribute::{self, Writer};
use crate::client::Channel;

/// Generic netlink's own family (`GENL_ID_CTRL`), its question and its attributes.
const CONTROL: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

const NAME: &str = "IPVS";
const MODULE: &str = "ip_vs";

/// How long loading the module may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Finds the family; loads the module where it is missing.
pub(crate) fn resolve(channel: &mut Channel) -> Result<u16, Error> {
    if let Some(id) = ask(channel)? {
        return Ok(id);
    }
    // The kernel loads a family's module by an alias, which this one has not. Where there is no
    // modprobe, or no module, the second question tells.
    modprobe();
    ask(channel)?.ok_or(Error::NoIpvs)
}

/// Loads the module, where that takes no longer than it may.
fn modprobe() {
    let child = Command::new("modprobe")
        .args(["--quiet", MODULE])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else { return };
    end_within(child, LIMIT);
}

/// Waits for the end of a program that says nothing; kills it where it does not come in time.
fn end_within(mut child: Child, limit: Duration) {
    let (tell, ended) = sync_channel(1);
    let stdout = child.stdout.take();
    thread::spawn(move || {
        // Closed by the end of the program.
        let _ = stdout.map(|mut pipe| pipe.read_to_end(&mut Vec::new()));
        let _ = tell.send(());
    });
    if ended.recv_timeout(limit).is_err() {
        let _ = child.kill();
    }
    // The kernel may hold it in a call that no signal ends: nobody waits for that.
    thread::spawn(move || child.wait());
}

fn ask(channel: &mut Channel) -> Result<Option<u16>, Error> {
    let mut attributes = Writer::default();
    attributes.string(FAMILY_NAME, NAME);
    let mut id = None;
    let asked = channel.ask(CONTROL, GET_FAMILY, 0, &attributes, |answer| {
        for attribute in attribute::read(answer) {
            let one = attribute?;
            if one.kind == FAMILY_ID {
                id = Some(one.u16()?);
            }
        }
        Ok(())
    });
    match asked {
        Ok(()) => Ok(id),
        Err(Error::Refused(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn one_that_does_not_end_is_killed() {
        let mut command = Command::new("tail");
        command.args(["-f", "/dev/null"]).stdout(Stdio::piped());
        let begun = Instant::now();
        let child = command.spawn().expect("tail");
        let process = std::path::PathBuf::from(format!("/proc/{}", child.id()));
        end_within(child, Duration::from_millis(100));
        while process.exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it is still there");
            thread::yield_now();
        }
    }
}
