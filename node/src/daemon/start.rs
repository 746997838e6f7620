//! Bringing the daemon up. What can be refused is refused before anything is held.

use crate::Group;
use leasehold_raft::network::Channels;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use leasehold_dataplane::fence::{Fence, FenceError};
use leasehold_dataplane::service::Health;
use leasehold_model::{Eligibility, NodeId, Role};
use leasehold_raft::group::{GroupError, GroupSettings};
use leasehold_raft::identity::{Directory, Identity, Refusals};
use leasehold_raft::lease::{Profile, Timing};
use leasehold_raft::state::{Command, Outcome};
use leasehold_raft::store;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, watch};

use super::governor;
use super::guard_line;
use super::health;
use super::kernel_thread::{self, KernelThread};
use super::lease_thread::{self, Desired, Fencing, Inputs, OpenLeases};
use super::lifetime;
use super::membership;
use super::stop::{self, Running, Serving};
use super::to_leader::ToLeader;
use super::virtual_servers::VirtualServers;
use crate::api::Loads;
use crate::api::admission::{AT_ONCE, AdmissionService};
use crate::api::control::ControlService;
use crate::api::lease::LeaseService;
use crate::api::serve::{self, Services};
use crate::api::status::View;
use crate::guard;

pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) profile: Option<Profile>,
    pub(crate) engine: Option<store::EngineKind>,
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
    if settings.fence == FenceKind::AddressLifetime && role == Role::Director {
        lifetime::check(&timing)?;
        lifetime::unbind_remainders(&directory).await?;
    }
    let store = open_store(&mut directory, settings.engine)?;
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
    let parts = Parts { directory, timing, role, fencing, incarnation, group, listener, socket };
    let running = assemble(parts)?;
    stop::until_told(running).await
}

struct Parts {
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
    let Parts { directory, timing, role, fencing, incarnation, group, listener, socket } = parts;
    let identity = directory.identity();
    let node = identity.node();
    let governor = governor::spawn(group.clone(), node, timing);
    tokio::spawn(membership::follow(group.clone(), timing));
    tokio::spawn(introduce(group.clone(), directory.settings().clone(), incarnation));

    let (orders, order_queue) = mpsc::channel(ORDERS);
    let (desired, wanted) = watch::channel(Desired::default());
    let (programmed, done) = watch::channel(0);
    let (open, open_leases) = watch::channel(OpenLeases::new());
    let (lateness, worst) = watch::channel(0);
    let (eligibility, reported) = watch::channel(Eligibility::default());
    let pin_dir = matches!(fencing, Fencing::Program(..)).then(|| pin_dir(&identity));
    let (health, loads, services) = balancing(&directory, &group, role)?;
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
    };
    let lease = thread("lease", move || async move { lease_thread::run(inputs).await })?;
    let kernel = match role {
        Role::Witness => None,
        Role::Director => Some(kernel_thread(kernel_thread::Inputs {
            desired: wanted,
            programmed,
            eligibility: eligibility.clone(),
            orders: orders.clone(),
            state: group.state(),
            leases: pin_dir.is_none().then(|| open_leases.clone()),
            pin_dir,
            health: health.clone(),
            services,
        })?),
    };
    let view = View {
        node,
        group: group.clone(),
        governor: governor.clone(),
        open: open_leases,
        lateness: worst,
        health,
        loads,
    };
    let serving = serve(&directory, &group, governor, view, timing, listener, socket);
    Ok(Running {
        directory,
        node,
        group,
        eligibility,
        orders,
        guard: child,
        lease,
        kernel,
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
    let control = ControlService {
        group: group.clone(),
        view,
        ca: identity.ca_fingerprint(),
        channels: identity.clone(),
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
    let peers =
        tokio::spawn(async move { serve::peers(listener, &identity, services, peers_stop).await });
    let local = tokio::spawn(serve::local(socket, control, local_stop));
    Serving { peers, local, stop }
}

fn kernel_thread(inputs: kernel_thread::Inputs) -> anyhow::Result<stop::Thread> {
    thread("kernel", move || async move {
        let thread = match KernelThread::open(inputs) {
            Ok(thread) => thread,
            Err(error) => stop::die(&format!("no netlink: {error}")),
        };
        if let Err(error) = thread.run().await {
            stop::die(&format!("the kernel can't be driven: {error:#}"));
        }
    })
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

/// Starts the checks of real servers; their results, and the virtual servers' way to the kernel.
fn balancing(
    directory: &Directory,
    group: &Group,
    role: Role,
) -> anyhow::Result<(watch::Receiver<Health>, watch::Receiver<Loads>, VirtualServers)> {
    let (health, results) = watch::channel(Health::default());
    let (loads, loaded) = watch::channel(Loads::default());
    if role == Role::Director {
        let state = group.state();
        thread("health", move || health::run(state, health))?;
    }
    let path = directory.services();
    let services = VirtualServers::open(&path, loads);
    Ok((results, loaded, services.with_context(|| path.display().to_string())?))
}

/// A thread with a runtime of its own: nothing that blocks elsewhere holds it up.
fn thread<F, Fut>(name: &str, work: F) -> anyhow::Result<stop::Thread>
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

fn open_store(
    directory: &mut Directory,
    engine: Option<store::EngineKind>,
) -> anyhow::Result<store::Opened> {
    let path = directory.store();
    let found = store::detect(&path)?;
    if found.is_none() && directory.settings().incarnation > 0 {
        bail!(
            "{}: the log of node {} is gone, and without it this node could vote twice; remove it \
             from the cluster (`leasehold member remove {}` on another member), and join again \
             into an empty data directory",
            path.display(),
            directory.settings().node,
            directory.settings().name,
        );
    }
    let opened = store::open(&path, engine.or(found).unwrap_or_default())?;
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
