//! What another's hand does to a director's kernel.

use std::fs;
use std::path::{Path, PathBuf};

use leasehold_lab::LabError;

use super::{Broken, Package, Site, Skipped, Target, World};
use crate::history::{Effect, Outcome};
use crate::random::Random;

pub(super) fn address_removed(random: &mut Random, site: &Site) -> Box<dyn Package> {
    Box::new(AddressRemoved { instance: random.below(site.instances) })
}

pub(super) fn fence_detached(random: &mut Random, site: &Site) -> Box<dyn Package> {
    Box::new(FenceDetached { target: Target::director(random, site) })
}

/// `ip addr del` of a VIP where it is held.
#[derive(Debug)]
struct AddressRemoved {
    instance: usize,
}

impl Package for AddressRemoved {
    fn legend(&self) -> String {
        format!("ip addr del of the VIP of instance {}", self.instance + 1)
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let holder = world.resolve(Target::Holder(self.instance))?;
        let vip = world.subjects[self.instance].vip;
        let done = world.host(holder).ip(&format!("addr del {vip}/24 dev eth0"));
        done.map_err(|error| Skipped::because(error.to_string()))?;
        Ok(Broken::installed(vec![world.name(holder)], Effect::default()))
    }

    fn heal(&mut self, _: &mut World) -> Result<Outcome, LabError> {
        // To put it back is the director's own part.
        Ok(Outcome::Installed)
    }
}

/// The fence's programs taken off a director's interfaces.
#[derive(Debug)]
struct FenceDetached {
    target: Target,
}

impl Package for FenceDetached {
    fn legend(&self) -> String {
        format!("bpftool link detach, {:?}", self.target).to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let member = world.resolve(self.target)?;
        let Ok(pins) = world.cluster.pin_dir(member) else {
            return Err(Skipped::because("it has no data directory"));
        };
        let links = links(&pins);
        if links.is_empty() {
            return Err(Skipped::because("no link is pinned: a kernel without tcx, or a witness"));
        }
        let names = vec![world.name(member)];
        for link in links {
            let link = link.display().to_string();
            let words = ["link", "detach", "pinned", &link];
            match world.host(member).run("bpftool", &words) {
                Ok(_) => {}
                Err(error) if error.to_string().contains("failed to execute bpftool") => {
                    return Err(Skipped::because("bpftool is not installed"));
                }
                Err(error) => return Ok(Broken::in_doubt(names, &error)),
            }
        }
        Ok(Broken::installed(names, Effect::default()))
    }

    fn heal(&mut self, _: &mut World) -> Result<Outcome, LabError> {
        Ok(Outcome::Installed)
    }
}

/// Links to interfaces: pins named by number and side.
fn links(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(links(&path));
        } else if path.to_string_lossy().ends_with("_in")
            || path.to_string_lossy().ends_with("_out")
        {
            found.push(path);
        }
    }
    found
}
