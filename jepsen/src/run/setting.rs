//! The stage of a run: cluster, real servers, observer and clients, set up and taken down.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan, SOON};
use leasehold_lab::disk::Make;
use leasehold_lab::peers::web::Web;
use leasehold_lab::{Host, LabError, Lan, Observation, Observer, until};
use tokio::runtime::Runtime;

use super::{Report, Settings, end, granted};
use crate::history::{Director, Limits, Recorder, Setup, Told, Version};
use crate::nemesis::{Active, Site, Subject, World};
use crate::workload::document::{Document, Layout, Values};
use crate::workload::register::{Address, Clients, Shared};
use crate::workload::told::Listening;
use crate::workload::web::Browser;

/// By name, its VIP, and its virtual router's number.
pub(super) const INSTANCES: [(&str, &str, u8); 2] =
    [("VI_1", "192.168.1.100", 51), ("VI_2", "192.168.1.101", 52)];

/// Goes from one instance to another.
const WANDERER: &str = "192.168.1.102";

/// Through which real servers answer.
const GATEWAY: &str = "10.9.0.254";

/// How many change and read the configuration.
const CLIENTS: usize = 6;

/// Of a director's data, each on its own.
const DISK_MIB: u64 = 96;

/// How far a date of the observer's may be off: the kernel dates arrivals by the wall clock, and
/// both clocks are read one after the other.
pub(super) const ERROR_BOUND_NS: u64 = 1_000_000;

/// A daemon's start, an election and a lease, on a machine that is busy with all of them at once.
const AFTER_HEAL_NS: u64 = 30_000_000_000;

/// A machine that keeps a thread waiting for so long can't keep leases of a second.
const LATE_NS: u64 = 300_000_000;

/// How quickly the cluster reacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    Default,
    Fast,
}

impl Profile {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Profile::Default => "default",
            Profile::Fast => "fast",
        }
    }

    /// docs/SPECIFICATION.md, "Time".
    #[must_use]
    pub fn ttl(self) -> Duration {
        match self {
            Profile::Default => Duration::from_secs(1),
            Profile::Fast => Duration::from_millis(250),
        }
    }
}

/// What each start of each daemon printed, in the run's folder.
pub(super) const LOGS: &str = "logs";

/// What directors keep their data on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DiskKind {
    /// The lab's own, which fails and forgets on demand
    Layer,
    /// The kernel's: full and stalled at most
    Ext4,
}

impl DiskKind {
    fn make(self) -> Make {
        match self {
            DiskKind::Layer => Make::Layer,
            DiskKind::Ext4 => Make::Ext4,
        }
    }
}

/// All that runs beside the cluster itself.
pub(super) struct Stage {
    pub(super) folder: PathBuf,
    pub(super) runtime: Runtime,
    pub(super) recorder: Arc<Recorder>,
    pub(super) vips: Vec<IpAddr>,
    pub(super) setup: Setup,
    pub(super) shared: Option<Arc<Shared>>,
    clients: Option<Clients>,
    listening: Option<Listening>,
    observer: Option<Observer>,
    browser: Option<Browser>,
    /// Dropped after the cluster.
    _back: Option<Lan>,
    _real: Vec<(Host, Web)>,
}

/// What was seen beside the history.
pub(super) struct Seen {
    pub(super) observation: Observation,
    pub(super) told: Vec<Told>,
    pub(super) failures: Vec<LabError>,
}

impl Stage {
    pub(super) fn build(settings: &Settings, recorder: &Arc<Recorder>) -> Result<Stage, LabError> {
        let folder = folder(settings)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| LabError::Argument(format!("starting tokio: {error}")))?;
        let vips = INSTANCES.iter().map(|(_, vip, _)| *vip).chain([WANDERER]);
        let vips: Result<Vec<IpAddr>, LabError> = vips.map(address).collect();
        Ok(Stage {
            folder,
            runtime,
            recorder: Arc::clone(recorder),
            vips: vips?,
            setup: Setup::default(),
            shared: None,
            clients: None,
            listening: None,
            observer: None,
            browser: None,
            _back: None,
            _real: Vec::new(),
        })
    }

    /// The cluster, with real servers behind it and its first configuration in force.
    pub(super) fn world(
        &mut self,
        settings: &Settings,
        recorder: &Arc<Recorder>,
    ) -> Result<World, LabError> {
        let plan = Plan {
            directors: settings.directors,
            witness: settings.witness,
            profile: settings.profile.name(),
            logs: Some(self.folder.join(LOGS)),
            disk: Some((settings.disk.make(), DISK_MIB)),
            wall_clocks: true,
            ..Plan::new(settings.binary.clone())
        };
        let cluster = Cluster::start(&plan)?;
        let back = Lan::new("back", "10.9.0.0/24", None)?;
        for (nth, node) in (11..).zip(&cluster.nodes()[..settings.directors]) {
            back.attach(&node.host, "eth1", nth)?;
            node.host.sysctl("net.ipv4.ip_forward", "1")?;
            node.host.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
            node.host.sysctl("net.ipv4.conf.all.promote_secondaries", "1")?;
        }
        for nth in [1, 2] {
            let host = Host::new(&format!("rs{nth}"))?;
            back.attach(&host, "eth0", nth)?;
            host.ip(&format!("route add default via {GATEWAY}"))?;
            let web = Web::start(&host)?;
            self._real.push((host, web));
        }
        self._back = Some(back);
        cluster.apply("toml", &configuration())?;
        for (name, ..) in INSTANCES {
            cluster.wait_for_holder(name)?;
        }
        let subjects = INSTANCES.iter().zip(&self.vips);
        let subjects = subjects
            .map(|((name, ..), vip)| Subject { name: (*name).to_owned(), vip: *vip })
            .collect();
        let site = Site {
            directors: settings.directors,
            members: cluster.nodes().len(),
            instances: INSTANCES.len(),
            ttl: settings.profile.ttl(),
        };
        let world = World::new(cluster, subjects, site, Arc::clone(recorder));
        self.describe(settings, &world)?;
        Ok(world)
    }

    /// Starts everybody who looks and asks.
    pub(super) fn open(&mut self, settings: &Settings, world: &mut World) -> Result<(), LabError> {
        let cluster = &world.cluster;
        let observer = cluster.lan.observe(&cluster.client, &self.vips)?;
        observer.wait_for_all(SOON)?;
        self.observer = Some(observer);
        let members = addresses(cluster);
        let layout = Layout {
            instances: INSTANCES.iter().map(|(name, ..)| (*name).to_owned()).collect(),
            directors: members.iter().take(settings.directors).map(|it| it.name.clone()).collect(),
            wanderer: format!("{WANDERER}/24"),
        };
        let values = Values::after(self.setup.first.value);
        let recorder = Arc::clone(&self.recorder);
        let shared = Shared::new(members.clone(), recorder, values, layout);
        world.orders = Some(shared.orders.clone());
        self.listening = Some(Listening::start(&self.runtime, &members, &world.runs));
        self.clients = Some(Clients::start(&self.runtime, &shared, CLIENTS, settings.seed));
        self.shared = Some(shared);
        // In a host of its own: the answers that an observer draws would hide a lost announcement.
        let surfer = Host::new("surfer")?;
        cluster.lan.attach(&surfer, "eth0", 51)?;
        self.browser = Some(Browser::start(&surfer, self.vips[0], &self.recorder));
        Ok(())
    }

    /// Waits for rest, reads what is there, ends everything and judges.
    pub(super) fn close(
        mut self,
        settings: &Settings,
        mut world: World,
        active: Active,
        unhealed: Vec<LabError>,
    ) -> Result<Report, LabError> {
        let rest = end::come_to_rest(&mut world, &self);
        let mut seen = self.stop(unhealed);
        let last = end::look(&world, &self, &mut seen.failures);
        // Last, when nobody is watched any more: no answer is from after what is read here.
        match granted::all(&self.folder.join(LOGS)) {
            Ok(grants) => {
                self.setup.grants_complete = granted::has_all(&grants, &seen.told);
                seen.told.extend(grants);
            }
            Err(error) => {
                seen.failures.push(LabError::Argument(format!("the daemons' logs: {error}")));
            }
        }
        self.setup.refused = self.recorder.refused();
        if active.late_ns > LATE_NS {
            // Silences are the machine's own then; judges of safety ask for no such allowance.
            self.setup.limits = Limits::default();
        }
        end::judge(settings, &self, &active, seen, rest, last)
    }

    /// Ends whoever looks and asks; what fails is no reason to judge nothing.
    fn stop(&mut self, mut failures: Vec<LabError>) -> Seen {
        let clients = self.clients.take();
        failures.extend(clients.and_then(|them| them.stop(&self.runtime).err()));
        failures.extend(self.browser.take().and_then(|it| it.stop().err()));
        let told = self.listening.take().map(|it| it.stop(&self.runtime)).unwrap_or_default();
        let observation = match self.observer.take().map(Observer::stop) {
            Some(Ok(observation)) => observation,
            Some(Err(error)) => {
                failures.push(error);
                Observation::default()
            }
            None => Observation::default(),
        };
        Seen { observation, told, failures }
    }

    /// The last of the VIPs.
    pub(super) fn wanderer(&self) -> IpAddr {
        self.vips[INSTANCES.len()]
    }

    pub(super) fn observer(&self) -> Option<&Observer> {
        self.observer.as_ref()
    }

    fn describe(&mut self, settings: &Settings, world: &World) -> Result<(), LabError> {
        let nodes = world.cluster.nodes();
        let director = |nth: usize| {
            let node = &nodes[nth];
            Director { name: node.name.clone(), macs: vec![node.port.mac] }
        };
        // A leader may be chosen anew once more before all is quiet.
        let desk = world.cluster.desk(0);
        let (revision, document) =
            until("the first configuration", SOON, || end::export(&desk, false).ok())?;
        let groups = INSTANCES.iter().map(|(name, ..)| (*name).to_owned());
        self.setup = Setup {
            command: settings.command(),
            seed: settings.seed,
            profile: settings.profile.name().to_owned(),
            ttl_ns: super::nanos(settings.profile.ttl()),
            drift_ppm: 10_000,
            error_bound_ns: ERROR_BOUND_NS,
            directors: (0..settings.directors).map(director).collect(),
            voters: nodes.iter().map(|node| node.name.clone()).collect(),
            vips: self.vips.iter().copied().zip(groups).collect(),
            grants_complete: false,
            quickest_return_ns: 10_000_000,
            first: Version { revision, value: document.value() },
            limits: Limits { after_heal_ns: Some(AFTER_HEAL_NS), ..Limits::default() },
            refused: 0,
        };
        Ok(())
    }
}

/// Where a run keeps everything, with room for the logs: a folder of one run alone.
pub(super) fn folder(settings: &Settings) -> Result<PathBuf, LabError> {
    let folder = settings.keep.clone().unwrap_or_else(|| {
        let name = format!("leasehold-chaos-{}-{}", settings.seed, std::process::id());
        std::env::temp_dir().join(name)
    });
    let logs = folder.join(LOGS);
    if logs.exists() {
        let text = format!("{} is of another run: keep this one elsewhere", folder.display());
        return Err(LabError::Argument(text));
    }
    fs::create_dir_all(&logs)
        .map_err(|error| LabError::Argument(format!("{}: {error}", logs.display())))?;
    Ok(folder)
}

fn addresses(cluster: &Cluster) -> Vec<Address> {
    let one = |node: &leasehold_lab::cluster::Node| Address {
        name: node.name.clone(),
        data_dir: node.data_dir.clone(),
    };
    cluster.nodes().iter().map(one).collect()
}

pub(super) fn address(text: &str) -> Result<IpAddr, LabError> {
    text.parse().map_err(|error| LabError::Argument(format!("{text}: {error}")))
}

fn configuration() -> String {
    let mut text = String::new();
    for (nth, (name, vip, vrid)) in INSTANCES.iter().enumerate() {
        let more = if nth == 0 {
            format!(", {{ address = \"{GATEWAY}/24\", dev = \"eth1\" }}, \"{WANDERER}/24\"")
        } else {
            String::new()
        };
        // Each is preferred elsewhere, so that they are seldom on one director.
        text += &format!(
            "[instance.{name}]\nvirtual_router_id = {vrid}\ninterface = \"eth0\"\n\
             virtual_ipaddress = [\"{vip}/24\"{more}]\n\
             [instance.{name}.director.ds{}]\npriority = 200\n",
            nth + 1
        );
    }
    text += &format!(
        "[[virtual_server]]\naddress = \"{}:80\"\nlb_algo = \"rr\"\nlb_kind = \"NAT\"\n\
         real_server = [{{ address = \"10.9.0.1:80\" }}, {{ address = \"10.9.0.2:80\" }}]\n",
        INSTANCES[0].1
    );
    let first = Document::parse(&text).map(|document| document.with_value(1).text());
    first.unwrap_or(text)
}
