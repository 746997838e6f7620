//! The number that generic netlink gave to IPVS, and the module behind it.

use std::process::{Command, Stdio};

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

/// Finds the family; loads the module where it is missing.
pub(crate) fn resolve(channel: &mut Channel) -> Result<u16, Error> {
    if let Some(id) = ask(channel)? {
        return Ok(id);
    }
    // The kernel loads a family's module by an alias, which this one has not. Where there is no
    // modprobe, or no module, the second question tells.
    let _ = Command::new("modprobe")
        .args(["--quiet", MODULE])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ask(channel)?.ok_or(Error::NoIpvs)
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
