//! `doctor`: examines, prints, and exits 1 where something will not work.

use std::path::Path;

use anyhow::{Context, bail};
use leasehold_dataplane::fence::Fence;
use leasehold_proto::control::{ExportRequest, StatusRequest};
use leasehold_raft::identity::Identity;

use super::args::Doctor;
use super::client::Target;
use super::out;
use crate::daemon::{PINS, pin_dir};
use crate::doctor::{self, Finding, Told};

pub(super) fn doctor(target: &Target, args: &Doctor) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("doctor needs root: it loads the fence to see whether it can");
    }
    if let Some(path) = &args.remove_fence {
        return remove(target, path);
    }
    let told = target.call(async |mut client| {
        let status = client.status(StatusRequest {}).await?.into_inner().json;
        let toml =
            client.export(ExportRequest { local: true, revision: None }).await?.into_inner().toml;
        Ok((status, toml))
    });
    let told = match told {
        Ok((status, toml)) => Ok(Told { status: serde_json::from_str(&status)?, toml }),
        Err(error) => Err(error.to_string()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(doctor::examine(target.data_dir(), told));
    if args.json {
        out::data(&serde_json::to_string(&found)?)?;
    } else {
        let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
        out::data(&lines.join("\n"))?;
    }
    match found.iter().filter(|one| one.is_failure()).collect::<Vec<&Finding>>().as_slice() {
        [] => Ok(()),
        [one] => bail!("a check failed: {}", one.text()),
        [first, others @ ..] => bail!("{} checks failed: {}, ...", others.len() + 1, first.text()),
    }
}

fn remove(target: &Target, path: &Path) -> anyhow::Result<()> {
    if path.parent() != Some(Path::new(PINS)) || !path.is_dir() {
        bail!("{} is no fence: give a directory in {PINS}", path.display());
    }
    let own = Identity::read(target.data_dir()).map(|(_, identity)| pin_dir(&identity));
    if own.is_ok_and(|own| own == path) {
        bail!("{} is the fence of this node, which needs it", path.display());
    }
    Fence::remove(path).with_context(|| format!("removing {}", path.display()))?;
    out::data(&format!("{} is removed", path.display()))
}
