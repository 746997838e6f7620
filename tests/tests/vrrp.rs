//! VRRP beside Debian's keepalived: each believes the other, and the lease decides among ours.

use std::net::IpAddr;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan, SOON};
use leasehold_lab::peers::keepalived::Keepalived;
use leasehold_lab::{Host, Port, Result, Returns, Signal, find_binary, until};

const INSTANCE: &str = "VI_1";
/// keepalived's master-down interval at priority 100, and room for a busy machine.
const PATIENT: Duration = Duration::from_secs(4);

/// One way to speak VRRP.
struct Kind {
    name: &'static str,
    vip: &'static str,
    /// In our instance.
    ours: &'static str,
    /// In theirs.
    theirs: &'static str,
    unicast: bool,
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "version 2 with a password",
        vip: "192.168.1.100",
        ours: "authentication = { auth_type = \"PASS\", auth_pass = \"1111\" }\n",
        theirs: "    version 2\n    advert_int 1\n    authentication {\n        auth_type PASS\n        \
                 auth_pass 1111\n    }\n",
        unicast: false,
    },
    Kind {
        name: "version 2 with an authentication header",
        vip: "192.168.1.101",
        ours: "authentication = { auth_type = \"AH\", auth_pass = \"1111\" }\n",
        theirs: "    version 2\n    advert_int 1\n    authentication {\n        auth_type AH\n        \
                 auth_pass 1111\n    }\n",
        unicast: false,
    },
    Kind {
        name: "version 3",
        vip: "192.168.1.102",
        ours: "version = 3\nadvert_int_ms = 500\n",
        theirs: "    version 3\n    advert_int 0.5\n",
        unicast: false,
    },
    Kind {
        name: "version 3 over IPv6",
        vip: "fd77::100",
        ours: "version = 3\n",
        theirs: "    version 3\n    advert_int 1\n",
        unicast: false,
    },
    Kind {
        name: "version 2 to peers",
        vip: "192.168.1.103",
        ours: "",
        theirs: "    version 2\n    advert_int 1\n",
        unicast: true,
    },
];

/// A cluster, and a host for keepalived on the same wire.
struct Wire {
    cluster: Cluster,
    host: Host,
    port: Port,
}

impl Wire {
    fn start() -> Result<Self> {
        let plan = Plan { subnet6: Some("fd77::/64"), ..Plan::new(find_binary()?) };
        let cluster = Cluster::start(&plan)?;
        let host = Host::new("neighbour")?;
        let port = cluster.lan.attach(&host, "eth0", 60)?;
        Ok(Self { cluster, host, port })
    }

    /// Ours, of priority 150.
    fn apply(&self, kind: &Kind, more: &str) -> Result<()> {
        let prefix = if kind.vip.contains(':') { 64 } else { 24 };
        let peers = if kind.unicast {
            let ours = self.cluster.nodes().iter().filter_map(|node| node.port.v4);
            let all: Vec<_> = ours.chain(self.port.v4).map(|one| format!("\"{one}\"")).collect();
            format!("unicast_peer = [{}]\n", all.join(", "))
        } else {
            String::new()
        };
        let text = format!(
            "[instance.{INSTANCE}]\nvirtual_router_id = 51\ninterface = \"eth0\"\n\
             priority = 150\nvirtual_ipaddress = [\"{}/{prefix}\"]\n{}{peers}{more}",
            kind.vip, kind.ours
        );
        self.cluster.apply("toml", &text).map(drop)
    }

    fn neighbour(&self, kind: &Kind, priority: u8) -> Result<Keepalived> {
        let peers = match (kind.unicast, self.port.v4) {
            (true, Some(own)) => {
                let ours = self.cluster.nodes().iter().filter_map(|node| node.port.v4);
                let ours: String = ours.map(|one| format!("        {one}\n")).collect();
                format!("    unicast_src_ip {own}\n    unicast_peer {{\n{ours}    }}\n")
            }
            (true | false, _) => String::new(),
        };
        let prefix = if kind.vip.contains(':') { 64 } else { 24 };
        let text = format!(
            "vrrp_instance {INSTANCE} {{\n    state BACKUP\n    interface eth0\n    \
             virtual_router_id 51\n    priority {priority}\n{}{peers}    virtual_ipaddress {{\n        \
             {}/{prefix}\n    }}\n}}\n",
            kind.theirs, kind.vip
        );
        Keepalived::start(&self.host, &text)
    }

    /// Our directors let go of it.
    fn release(&self) -> Result<()> {
        let other = "[instance.OTHER]\nvirtual_router_id = 7\ninterface = \"eth0\"\n\
                     virtual_ipaddress = [\"192.168.1.200/24\"]\n";
        self.cluster.apply("toml", other).map(drop)
    }

    fn is_ours(&self) -> Result<usize> {
        self.cluster.wait_for_holder(INSTANCE)
    }
}

/// It stays backup while we hold; takes over when we release; gives way to us; makes us give way;
/// and when it stops, we have it again. At no time do two directors of ours answer.
fn beside_keepalived(wire: &Wire, kind: &Kind) -> Result<()> {
    let vip: IpAddr = kind.vip.parse().expect("an address");
    wire.apply(kind, "foreign_master = \"yield\"\n")?;
    let observer = wire.cluster.lan.observe(&wire.cluster.client, &[vip])?;
    let holder = wire.is_ours()?;
    observer.wait_for(vip, Some(wire.cluster.nodes()[holder].port.mac), SOON)?;

    let theirs = wire.neighbour(kind, 100)?;
    theirs.process().wait_for_line("Entering BACKUP STATE", SOON)?;
    let early = theirs.process().wait_for_line("Entering MASTER STATE", PATIENT);
    assert!(early.is_err(), "{}: it took what we hold: {early:?}", kind.name);

    let mark = theirs.process().mark();
    wire.release()?;
    theirs.process().wait_for_line_after(mark, "Entering MASTER STATE", SOON)?;
    observer.wait_for(vip, Some(wire.port.mac), SOON)?;

    let mark = theirs.process().mark();
    wire.apply(kind, "foreign_master = \"yield\"\n")?;
    theirs.process().wait_for_line_after(mark, "Entering BACKUP STATE", SOON)?;
    let holder = wire.is_ours()?;
    observer.wait_for(vip, Some(wire.cluster.nodes()[holder].port.mac), SOON)?;
    drop(theirs);

    let theirs = wire.neighbour(kind, 200)?;
    theirs.process().wait_for_line("Entering MASTER STATE", SOON)?;
    observer.wait_for(vip, Some(wire.port.mac), SOON)?;
    let explained = wire.cluster.wait_for("nobody of ours to hold it", |this| {
        let text = this.cli(0, &["explain", INSTANCE]).ok()?;
        (text.contains("held by nobody") && text.contains("it yields to a router from outside"))
            .then_some(text)
    })?;
    assert!(explained.contains("with priority 200"), "{explained}");

    theirs.process().kill(Signal::SIGTERM)?;
    let holder = wire.is_ours()?;
    observer.wait_for(vip, Some(wire.cluster.nodes()[holder].port.mac), SOON)?;
    theirs.process().wait(SOON)?;

    let seen = observer.stop()?;
    // It goes to and fro, some ms apart at least.
    let among_ours = seen.duplicates(vip, Returns::Settled(50_000_000));
    let theirs = wire.port.mac;
    let among_ours: Vec<_> =
        among_ours.iter().filter(|one| one.mac != theirs && one.holder != theirs).collect();
    assert!(among_ours.is_empty(), "{}: {among_ours:#?}\n{:#?}", kind.name, seen.reigns(vip));
    Ok(())
}

#[test]
fn keepalived_and_we_take_turns() -> Result<()> {
    let wire = Wire::start()?;
    for kind in &KINDS {
        beside_keepalived(&wire, kind)?;
    }
    Ok(())
}

/// The line that `tcpdump` makes of the adverts of a network whose group and number are its own.
#[test]
fn a_network_s_own_group_and_number_are_on_the_wire() -> Result<()> {
    let wire = Wire::start()?;
    wire.cluster.apply(
        "toml",
        "[global]\nvrrp_mcast_group4 = \"224.100.100.100\"\n\
         [instance.VI_1]\nvirtual_router_id = 88\ninterface = \"eth0\"\n\
         virtual_ipaddress = [\"192.168.1.100/24\"]\n\
         authentication = { auth_type = \"PASS\", auth_pass = \"1111\" }\n\
         [instance.VI_1.director.ds1]\npriority = 100\n\
         [instance.VI_1.director.ds2]\npriority = 90\n",
    )?;
    wire.cluster.wait_for("the first by priority", |this| {
        (this.holder(INSTANCE) == Some(0)).then_some(())
    })?;
    let listen = || {
        let words = ["-nn", "-t", "-i", "eth0", "-c", "2", "ip", "proto", "112"];
        wire.cluster.client.run("tcpdump", &words)
    };
    let line = |director: usize, priority: u8| {
        let source = wire.cluster.nodes()[director].port.v4.expect("an address");
        format!(
            "IP {source} > 224.100.100.100: VRRPv2, Advertisement, vrid 88, prio {priority}, \
             authtype simple, intvl 1s, length 20"
        )
    };
    let heard = listen()?;
    assert_eq!(heard.trim().lines().collect::<Vec<_>>(), [line(0, 100), line(0, 100)]);
    wire.cluster.daemon(0)?.kill_tree()?;
    let heard = until("the second by priority", SOON, || {
        let heard = listen().ok()?;
        heard.lines().all(|one| one == line(1, 90)).then_some(heard)
    })?;
    assert_eq!(heard.lines().count(), 2, "nobody else speaks: {heard}");
    Ok(())
}

/// The guard says it where the daemon can't.
#[test]
fn priority_0_follows_a_kill_of_the_daemon() -> Result<()> {
    let wire = Wire::start()?;
    wire.apply(&KINDS[0], "")?;
    let holder = wire.is_ours()?;
    let source = wire.cluster.nodes()[holder].port.v4.expect("an address").to_string();
    let client = wire.cluster.client.clone();
    std::thread::scope(|scope| {
        let words = ["-nn", "-t", "-l", "-i", "eth0", "-c", "1", "ip", "src", &source];
        let filter = ["and", "proto", "112", "and", "ip[22]", "==", "0"];
        let all: Vec<String> = words.iter().chain(&filter).map(|word| (*word).to_owned()).collect();
        let heard = scope.spawn(move || {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            client.run("timeout", &[&["20", "tcpdump"], &all[..]].concat())
        });
        // It listens when it hears an ordinary advert.
        let words = ["-nn", "-t", "-i", "eth0", "-c", "2", "ip", "proto", "112"];
        wire.cluster.client.run("tcpdump", &words)?;
        wire.cluster.daemon(holder)?.kill(Signal::SIGKILL)?;
        let heard = heard.join().expect("a thread")?;
        assert!(heard.contains("vrid 51, prio 0, authtype simple"), "{heard}");
        Ok(())
    })
}

/// With `warn`, the default, a stranger is told of and nothing is given up.
#[test]
fn a_stranger_is_told_of() -> Result<()> {
    let wire = Wire::start()?;
    let kind = &KINDS[2];
    wire.apply(kind, "")?;
    let holder = wire.is_ours()?;
    let theirs = wire.neighbour(kind, 200)?;
    theirs.process().wait_for_line("Entering MASTER STATE", SOON)?;
    let heard = wire.cluster.wait_for("the stranger in the status", |this| {
        let status = this.status(holder)?;
        let master = status["instances"][0]["vrrp"]["foreign_master"].clone();
        (!master.is_null()).then_some(master)
    })?;
    assert_eq!(heard["priority"], 200);
    assert_eq!(heard["address"], wire.port.v4.expect("an address").to_string());
    let text = wire.cluster.cli(holder, &["status"])?;
    assert!(text.contains("which is no director, speaks for it with priority 200"), "{text}");
    assert_eq!(wire.cluster.holder(INSTANCE), Some(holder));
    Ok(())
}
