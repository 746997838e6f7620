//! `recover`: a new cluster from one member's data, after a majority is lost for good.
//!
//! Nothing is changed before the operator has typed who is gone. The new cluster has a CA and an
//! id of its own, so a lost member that comes back can't disturb it; what can't be prevented from
//! here is that enough of them come back to be the old cluster again. Hence the typing.

use std::fs::File;
use std::io::BufRead;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use leasehold_dataplane::fence::Fence;
use leasehold_model::{NodeId, Role};
use leasehold_raft::Peer;
use leasehold_raft::identity::{Directory, Identity, Settings, found};
use leasehold_raft::state::{Member, State};
use leasehold_raft::store::{self, Survey};

use super::out;
use crate::daemon::{pin_dir, remainders};
use crate::guard;

/// A member that is up answers a handshake within this.
const HANDSHAKE: Duration = Duration::from_secs(2);

pub(super) fn recover(data_dir: &Path) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("recover needs root: it takes down the fence of the lost cluster");
    }
    let directory = Directory::open(data_dir)?;
    // A path that ends in `..` has no name to put another beside.
    let data_dir = &data_dir.canonicalize().with_context(|| data_dir.display().to_string())?;
    refuse_mount_point(data_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        guard::wait_for_predecessor(data_dir).await?;
        let survey = store::survey(&directory.store()).await?;
        let others = others(directory.settings(), &survey.state)?;
        refuse_living(&directory.identity(), &others).await?;
        explain(directory.settings(), &survey, &others);
        confirm(&others)?;
        let made = rebuild(data_dir, &directory, &survey)?;
        take_down(&pin_dir(&directory.identity())).await?;
        swap(data_dir, &made)
    })
}

fn refuse_mount_point(data_dir: &Path) -> anyhow::Result<()> {
    let parent = data_dir.parent().context("the root directory is no data directory")?;
    let device = |path: &Path| {
        std::fs::metadata(path).map(|one| one.dev()).with_context(|| path.display().to_string())
    };
    if device(data_dir)? != device(parent)? {
        bail!(
            "{} is a mount point, and can't be replaced as a whole: copy it with `cp -a` to a \
             directory beside it, and recover there",
            data_dir.display()
        );
    }
    Ok(())
}

type Others<'a> = Vec<(NodeId, &'a Member)>;

fn others<'a>(settings: &Settings, state: &'a State) -> anyhow::Result<Others<'a>> {
    let Settings { node, name, .. } = settings;
    if settings.role == Role::Witness {
        bail!(
            "{name} is a witness: recover on a director, which can hold VIPs and sign for others"
        );
    }
    if !state.members.contains_key(node) {
        bail!(
            "{name} is no member according to its own log: it was removed, or never quite joined"
        );
    }
    let others: Others<'a> =
        state.members.iter().filter(|(id, _)| *id != node).map(|(id, one)| (*id, one)).collect();
    if others.is_empty() {
        bail!("{name} is the cluster's only member: nobody is lost; start it with `leasehold run`");
    }
    Ok(others)
}

/// Whoever answers may be half of a living cluster.
async fn refuse_living(identity: &Arc<Identity>, others: &Others<'_>) -> anyhow::Result<()> {
    for (id, member) in others {
        let endpoint = identity.endpoint(*id, &member.address)?;
        if let Ok(Ok(_)) = tokio::time::timeout(HANDSHAKE, endpoint.connect()).await {
            bail!(
                "{} answers at {}: if a majority can still be had, start it instead; if not, stop \
                 the daemon of {} first",
                member.name,
                member.address,
                member.name
            );
        }
    }
    Ok(())
}

fn explain(settings: &Settings, survey: &Survey, others: &Others<'_>) {
    let Survey { state, last, committed } = survey;
    let list: Vec<_> =
        others.iter().map(|(_, one)| format!("{} ({})", one.name, one.address)).collect();
    out::note(&format!(
        "{} has the log of cluster {} up to entry {}; up to {committed} it knows that a majority \
         had it.\nConfiguration: revision {}, {} instances.\nLeft behind for good: {}.\nIf enough \
         of them run again they are the old cluster, and hold the VIPs that the new one holds too.",
        settings.name,
        settings.cluster,
        last.index,
        state.revision,
        state.config.instances.len(),
        list.join(", ")
    ));
}

/// Reads the names of the lost from stdin.
fn confirm(others: &Others<'_>) -> anyhow::Result<()> {
    let names: Vec<_> = others.iter().map(|(_, one)| one.name.as_str()).collect();
    let expected = names.join(" ");
    out::note(&format!("To go on, type the names of the nodes that are gone for good: {expected}"));
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed).context("reading the names")?;
    if typed.split_whitespace().ne(names) {
        bail!("`{}` is not `{expected}`: nothing was changed", typed.trim());
    }
    Ok(())
}

/// The lost cluster's fence would go on dropping the VIPs that the new one opens.
async fn take_down(pin_dir: &Path) -> anyhow::Result<()> {
    remainders::strip_program(pin_dir, out::note).await?;
    Fence::remove(pin_dir).context("removing the lost cluster's fence")
}

struct Made {
    path: PathBuf,
    cluster: String,
    old_cluster: String,
    name: String,
}

/// Makes the new node beside the old one.
fn rebuild(data_dir: &Path, old: &Directory, survey: &Survey) -> anyhow::Result<Made> {
    let path = data_dir.with_added_extension("recovering");
    if path.exists() {
        bail!("{} is left of an earlier attempt: remove it, then try again", path.display());
    }
    let Settings { node, name, listen, timing, cluster: old_cluster, .. } = old.settings().clone();
    let mut founded = found(&path, &name, &listen, timing)?;
    let state = survey.state.clone().recovered(node, &founded.cluster);
    let state = state.context("this node is no member")?;
    let peer = Peer { name: name.clone(), address: listen };
    let store = founded.directory.store();
    store::transplant(&store, (founded.node, peer), survey.last, state)?;
    // From here on a missing store is a lost one. The write makes the store's name durable too.
    founded.directory.update(|settings| settings.incarnation = 1)?;
    Ok(Made { path, cluster: founded.cluster, old_cluster, name })
}

/// Puts the new directory in the old one's place, and keeps the old one.
fn swap(data_dir: &Path, made: &Made) -> anyhow::Result<()> {
    let kept = data_dir.with_added_extension(&made.old_cluster);
    let rename = |from: &Path, to: &Path| {
        std::fs::rename(from, to)
            .with_context(|| format!("renaming {} to {}", from.display(), to.display()))
    };
    rename(data_dir, &kept)?;
    if let Err(error) = rename(&made.path, data_dir) {
        rename(&kept, data_dir)?;
        return Err(error);
    }
    let parent = data_dir.canonicalize()?;
    let parent = parent.parent().context("the data directory has a parent")?;
    File::open(parent)?.sync_all().with_context(|| format!("syncing {}", parent.display()))?;
    out::data(&format!(
        "{} is node 1 of the new cluster {}; the old data is kept in {}; next: leasehold run \
         --data-dir {}, then let the others join anew, each into an empty data directory",
        made.name,
        made.cluster,
        kept.display(),
        data_dir.display()
    ))
}
