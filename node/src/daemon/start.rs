//! Bringing the daemon up. What can be refused is refused before anything is held.

use crate::Group;
use crate::paced::paced;
use leasehold_raft::network::Channels;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use leasehold_dataplane::address::Addresses;
use leasehold_dataplane::fence::{Fence, FenceError};
use leasehold_dataplane::links;
use leasehold_model::{Eligibility, NodeId, Role};
use leasehold_raft::group::{GroupError, GroupSettings};
use leasehold_raft::identity::{Directory, Identity, Refusals};
use leasehold_raft::lease::{Profile, Timing};
use leasehold_raft::state::{Command, Outcome};
use leasehold_raft::store;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, watch};

use super::desired::Desired;
use super::director::{self, Director};
use super::governor;
use super::guard_line;
use super::lateness::Lateness;
use super::lease_thread::{self, Fencing, Inputs, OpenLeases};
use super::lifetime;
use super::membership;
use super::remainders;
use super::stop::{self, Running, Serving};
use super::to_leader::ToLeader;
use crate::api::admission::{AT_ONCE, AdmissionService};
use crate::api::author::Authors;
use crate::api::control::ControlService;
use crate::api::lease::LeaseService;
use crate::api::serve::{self, Services};
use crate::api::standard;
use crate::api::status::View;
use crate::api::watch::{WATCHERS, Watching};
use crate::guard;

pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) profile: Option<Profile>,
    pub(crate) fence: FenceKind,
}

/// What stops a director's answers whatever has become of its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FenceKind {
    Bpf,
    AddressLifetime,
}

/// Orders that may wait for the lease thread.
const ORDERS: usize = 4096;

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "run needs root: it binds addresses and loads the fence; start it as root or by systemd"
        );
    }
    let mut directory = Directory::open(&settings.data_dir)?;
    guard::wait_for_predecessor(&settings.data_dir).await?;
    let timing = timing(&mut directory, settings.profile)?;
    let role = directory.settings().role;
    if role == Role::Director {
        clear_remainders(&directory, &timing, settings.fence).await?;
    }
    let store = open_store(&mut directory)?;
    let incarnation = directory.settings().incarnation;
    let listener = bind(&directory.settings().listen)?;
    let socket = directory.listen_for_clients()?;
    // Last of what can be refused, and before anything that could take a lease up.
    let fencing = match (role, settings.fence) {
        (Role::Director, FenceKind::Bpf) => fence(&directory)?,
        (Role::Director, FenceKind::AddressLifetime) => Fencing::Lifetime,
        (Role::Witness, _) => Fencing::Nothing,
    };
    let group = Group::start(
        GroupSettings {
            node: directory.settings().node,
            name: directory.settings().name.clone(),
            address: directory.settings().listen.clone(),
            heartbeat: timing.heartbeat,
            election_min: timing.election_min,
            election_max: timing.election_max,
        },
        store,
        directory.identity() as Arc<dyn Channels>,
    )
    .await?;
    // Heard before it is known, it would be a director without interfaces.
    let interfaces_up = match role {
        Role::Director => links::interfaces_up(Addresses::open()?.handle()).await?,
        Role::Witness => BTreeSet::new(),
    };
    let fitness = Eligibility { interfaces_up, ..Eligibility::default() };
    let parts =
        Parts { fitness, directory, timing, role, fencing, incarnation, group, listener, socket };
    let running = assemble(parts)?;
    // As a task: the thread that is here now would be woken at each change of openraft's metrics.
    tokio::spawn(stop::until_told(running)).await.context("what waits for the daemon's end")?
}

/// Before the log hears of this start, which ends every lease of earlier ones.
async fn clear_remainders(
    directory: &Directory,
    timing: &Timing,
    fence: FenceKind,
) -> anyhow::Result<()> {
    if fence == FenceKind::AddressLifetime {
        lifetime::check(timing)?;
    }
    let pins = pin_dir(&directory.identity());
    remainders::strip_program(&pins, |why| tracing::warn!("{why}")).await?;
    remainders::unbind(directory).await?;
    match fence {
        FenceKind::Bpf => Ok(()),
        FenceKind::AddressLifetime => remainders::take_program_down(&pins),
    }
}

struct Parts {
    /// What this node says of itself at first.
    fitness: Eligibility,
    directory: Directory,
    timing: Timing,
    role: Role,
    fencing: Fencing,
    incarnation: u64,
    group: Group,
    listener: TcpListener,
    socket: UnixListener,
}

/// Starts the tasks and threads.
fn assemble(parts: Parts) -> anyhow::Result<Running> {
    let Parts { directory, timing, role, fencing, incarnation, group, .. } = parts;
    let (identity, node) = (directory.identity(), directory.identity().node());
    let governor = governor::spawn(group.clone(), node, timing);
    tokio::spawn(membership::follow(group.clone(), timing));
    tokio::spawn(introduce(group.clone(), directory.settings().clone(), incarnation));

    let (orders, order_queue) = mpsc::channel(ORDERS);
    let (desired, wanted) = watch::channel(Desired::default());
    let (programmed, done) = watch::channel(0);
    let (open, open_leases) = watch::channel(OpenLeases::new());
    let (lateness, so_late) = watch::channel(Lateness::default());
    let (farewells, last_words) = watch::channel(Arc::default());
    let (eligibility, reported) = watch::channel(parts.fitness);
    let pin_dir = matches!(fencing, Fencing::Program(..)).then(|| pin_dir(&identity));
    let (line, child) = guard(&directory, &timing, pin_dir.clone())?;
    let inputs = Inputs {
        node,
        name: directory.settings().name.clone(),
        incarnation,
        timing,
        state: group.state(),
        leadership: group.leadership(),
        eligibility: reported,
        orders: order_queue,
        fencing,
        to_leader: ToLeader::new(governor.clone(), &group, identity.clone(), timing.ttl),
        guard: line,
        desired,
        programmed: done,
        open,
        lateness,
        farewells: last_words,
    };
    let lease = thread("lease", move || async move { lease_thread::run(inputs).await })?;
    let wired = director::Parts {
        identity: identity.clone(),
        name: directory.settings().name.clone(),
        state: paced(group.state()),
        leadership: group.leadership(),
        desired: wanted,
        programmed,
        open: open_leases.clone(),
        eligibility: eligibility.clone(),
        orders: orders.clone(),
        farewells,
        pin_dir,
    };
    let director = match role {
        Role::Witness => Director::default(),
        Role::Director => director::start(wired)?,
    };
    let view = View {
        node,
        group: group.clone(),
        governor: governor.clone(),
        open: open_leases,
        lateness: so_late,
        seen: director.seen,
    };
    let serving = serve(&directory, &group, governor, view, timing, parts.listener, parts.socket);
    Ok(Running {
        directory,
        node,
        group,
        eligibility,
        orders,
        guard: child,
        lease,
        threads: director.threads,
        serving,
    })
}

fn serve(
    directory: &Directory,
    group: &Group,
    governor: governor::Handle,
    view: View,
    timing: Timing,
    listener: TcpListener,
    socket: UnixListener,
) -> Serving {
    let identity = directory.identity();
    let (ending, ends) = watch::channel(false);
    let seats = Arc::new(Semaphore::new(WATCHERS));
    let control = ControlService {
        watching: Watching { state: group.state(), ending: ends, seats },
        group: group.clone(),
        view,
        ca: identity.ca_fingerprint(),
        channels: identity.clone(),
        authors: Authors::default(),
        settled: membership::settled(&timing),
    };
    let services = Services {
        state: group.state(),
        lease: LeaseService { group: group.clone(), governor },
        admission: AdmissionService {
            group: group.clone(),
            identity: identity.clone(),
            timing: directory.settings().timing.clone(),
            refusals: Refusals::default(),
            at_once: Semaphore::new(AT_ONCE),
        },
        control: control.clone(),
        group: group.clone(),
    };
    let (stop, stopped) = watch::channel(false);
    let wait = |mut stopped: watch::Receiver<bool>| async move {
        // A sender that is gone means the same.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let (peers_stop, local_stop) = (wait(stopped.clone()), wait(stopped));
    let health = {
        let group = group.clone();
        standard::health(move || group.has_leader())
    };
    let local = tokio::spawn(serve::local(socket, control, health.clone(), local_stop));
    let peers = tokio::spawn(async move {
        serve::peers(listener, &identity, services, health, peers_stop).await
    });
    Serving { peers, local, stop, ending }
}

fn guard(
    directory: &Directory,
    timing: &Timing,
    pin_dir: Option<PathBuf>,
) -> anyhow::Result<(guard_line::GuardLine, std::process::Child)> {
    let settings = guard::Settings {
        data_dir: directory.path().to_owned(),
        daemon: i32::try_from(std::process::id()).context("this process's id")?,
        pin_dir,
        hung_after: timing.ttl,
    };
    guard_line::spawn(directory.identity().node(), &settings)
}

/// Where what is in the kernel on this node's account is noted. It ends with the boot, as that
/// does, and no disk can hold it up.
const JOURNALS: &str = "/run/leasehold";

pub(crate) fn services_journal(identity: &Identity) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(JOURNALS).context(JOURNALS)?;
    let name = format!("{}-{}.services", identity.cluster(), identity.node());
    Ok(Path::new(JOURNALS).join(name))
}

/// A thread with a runtime of its own: nothing that blocks elsewhere holds it up.
pub(super) fn thread<F, Fut>(name: &str, work: F) -> anyhow::Result<stop::Thread>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let builder = std::thread::Builder::new().name(name.to_owned());
    let handle = builder.spawn(move || runtime.block_on(work()));
    handle.with_context(|| format!("starting the {name} thread"))
}

/// The cluster's timing, or the profile asked for, which must be safe.
fn timing(directory: &mut Directory, profile: Option<Profile>) -> anyhow::Result<Timing> {
    let timing: Timing = serde_json::from_value(directory.settings().timing.clone())
        .with_context(|| format!("the timing in {}/node.json", directory.path().display()))?;
    if let Some(profile) = profile
        && Timing::profile(profile) != timing
    {
        bail!(
            "--profile {profile}: the cluster was made with other timing, and a lease is safe only \
             where every node counts alike; leave --profile out, or make the cluster anew"
        );
    }
    if let Err(unsafe_settings) = timing.check() {
        let list: Vec<_> = unsafe_settings.iter().map(ToString::to_string).collect();
        bail!("these settings are unsafe: {}", list.join("; "));
    }
    Ok(timing)
}

/// Where every node of this machine pins its fence.
pub(crate) const PINS: &str = "/sys/fs/bpf/leasehold";

pub(crate) fn pin_dir(identity: &Identity) -> PathBuf {
    Path::new(PINS).join(format!("{}-{}", identity.cluster(), identity.node()))
}

/// Loads the fence, or adopts the one that an earlier start left, and closes it: nothing that
/// start held may answer once this one says so.
fn fence(directory: &Directory) -> anyhow::Result<Fencing> {
    let mut fence = Fence::open(&pin_dir(&directory.identity())).map_err(|error| {
        if matches!(error, FenceError::Load(_)) {
            anyhow!("{error}; or run with --fence address-lifetime, which promises less")
        } else {
            error.into()
        }
    })?;
    let mut gate = fence.gate()?;
    gate.close_all()?;
    fence.attach_all()?;
    Ok(Fencing::Program(Box::new((fence, gate))))
}

fn open_store(directory: &mut Directory) -> anyhow::Result<store::Opened> {
    let path = directory.store();
    if !store::exists(&path)? && directory.settings().incarnation > 0 {
        bail!(
            "{}: the log of node {} is gone, and without it this node could vote twice; remove it \
             from the cluster (`leasehold member remove {}` on another member), and join again \
             into an empty data directory",
            path.display(),
            directory.settings().node,
            directory.settings().name,
        );
    }
    let opened = store::open(&path)?;
    directory.update(|settings| settings.incarnation += 1)?;
    Ok(opened)
}

fn bind(listen: &str) -> anyhow::Result<TcpListener> {
    use std::net::ToSocketAddrs;
    let addresses: Vec<SocketAddr> = listen
        .to_socket_addrs()
        .with_context(|| format!("{listen}: not an address of this machine"))?
        .collect();
    let listener = std::net::TcpListener::bind(&addresses[..]).with_context(|| {
        format!(
            "can't listen on {listen}: is another process using the port, and is the address one \
             of this machine's?"
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

/// Tells the log of the cluster's founding, where this is it, and of this start.
async fn introduce(group: Group, settings: leasehold_raft::identity::Settings, incarnation: u64) {
    let pause = Duration::from_millis(100);
    if settings.node == NodeId(1) {
        match group.found().await {
            // Founded by an earlier start.
            Ok(()) | Err(GroupError::Founded) => {}
            Err(error) => stop::die(&format!("founding the cluster: {error}")),
        }
    }
    let mut state = group.state();
    loop {
        let (founded, started) = {
            let state = state.borrow_and_update();
            let own = state.members.get(&settings.node);
            (!state.cluster.is_empty(), own.is_some_and(|one| one.incarnation >= incarnation))
        };
        if founded && started {
            return;
        }
        let command = if founded || settings.node != NodeId(1) {
            Command::Started { node: settings.node, incarnation }
        } else {
            Command::Found {
                cluster: settings.cluster.clone(),
                name: settings.name.clone(),
                address: settings.listen.clone(),
            }
        };
        match group.propose(command).await {
            // This node may have a long log to apply before it sees its own entry.
            Ok(proposed) => {
                if state.wait_for(|state| state.applied >= proposed.index).await.is_err() {
                    return;
                }
                // A refusal is no answer yet: the entry that admitted this node may lie ahead.
                if matches!(proposed.outcome, Outcome::Refused(_)) {
                    tokio::time::sleep(pause).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no leader has heard of this start yet");
                tokio::time::sleep(pause).await;
            }
        }
    }
}
