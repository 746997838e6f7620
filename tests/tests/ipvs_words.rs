//! Every scheduler, flag, protocol, family and method: set through Leasehold, read by `ipvsadm`.

use leasehold_lab::cluster::{Cluster, Plan, instance};
use leasehold_lab::site::LATER;
use leasehold_lab::vm::with_module;
use leasehold_lab::{Result, find_binary, until};

/// A virtual server in TOML, and what `ipvsadm -Sn` should say of it, line by line.
struct Word {
    toml: String,
    ipvsadm: Vec<String>,
}

fn word(toml: &str, ipvsadm: &[&str]) -> Word {
    Word {
        toml: format!("[[virtual_server]]\n{toml}\n"),
        ipvsadm: ipvsadm.iter().map(|line| (*line).to_owned()).collect(),
    }
}

/// One TCP service after the other, each on a port of its own.
fn schedulers() -> Vec<Word> {
    let all =
        ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq"];
    let one = |(port, name): (u16, &str)| {
        let toml = format!(
            "address = \"192.168.1.100:{port}\"\nlb_algo = \"{name}\"\nlb_kind = \"DR\"\n\
             real_server = [{{ address = \"192.168.1.7:{port}\", weight = 3 }}]"
        );
        word(
            &toml,
            &[
                &format!("-A -t 192.168.1.100:{port} -s {name}"),
                &format!("-a -t 192.168.1.100:{port} -r 192.168.1.7:{port} -g -w 3"),
            ],
        )
    };
    (1000..).zip(all).map(one).collect()
}

fn flags() -> Vec<Word> {
    let cases = [
        (1100, "sh", "\"sh-port\"", "sh-port"),
        (1101, "sh", "\"sh-fallback\", \"sh-port\"", "sh-fallback,sh-port"),
        (1102, "mh", "\"mh-fallback\"", "mh-fallback"),
        (1103, "mh", "\"mh-port\"", "mh-port"),
        (1104, "rr", "\"flag-3\"", "flag-3"),
    ];
    let one = |(port, name, flags, read): (u16, &str, &str, &str)| {
        let toml = format!(
            "address = \"192.168.1.100:{port}\"\nlb_algo = \"{name}\"\nflags = [{flags}]\n\
             real_server = []"
        );
        word(&toml, &[&format!("-A -t 192.168.1.100:{port} -s {name} -b {read}")])
    };
    cases.map(one).into()
}

fn persistence() -> Vec<Word> {
    vec![
        word(
            "address = \"192.168.1.100:1200\"\nlb_algo = \"rr\"\npersistence_timeout = 50\n\
             real_server = []",
            &["-A -t 192.168.1.100:1200 -s rr -p 50"],
        ),
        word(
            "address = \"192.168.1.100:1201\"\nlb_algo = \"rr\"\npersistence_timeout = 360\n\
             persistence_granularity = \"255.255.255.0\"\nreal_server = []",
            &["-A -t 192.168.1.100:1201 -s rr -p 360 -M 255.255.255.0"],
        ),
        word(
            "address = \"[fd00::100]:1202\"\nlb_algo = \"rr\"\npersistence_timeout = 60\n\
             persistence_granularity = 64\nreal_server = []",
            &["-A -t [fd00::100]:1202 -s rr -p 60 -M 64"],
        ),
        word(
            "address = \"192.168.1.100:5060\"\nprotocol = \"udp\"\nlb_algo = \"rr\"\n\
             persistence_timeout = 60\npersistence_engine = \"sip\"\nops = true\nreal_server = []",
            &["-A -u 192.168.1.100:5060 -s rr -p 60 --pe sip -o"],
        ),
        word(
            "address = \"192.168.1.100:0\"\nlb_algo = \"rr\"\npersistence_timeout = 60\n\
             real_server = []",
            &["-A -t 192.168.1.100:0 -s rr -p 60"],
        ),
    ]
}

fn protocols_and_families() -> Vec<Word> {
    vec![
        word(
            "address = \"192.168.1.100:1300\"\nprotocol = \"udp\"\nlb_algo = \"rr\"\nops = true\n\
             real_server = [{ address = \"10.9.0.1:53\" }]",
            &[
                "-A -u 192.168.1.100:1300 -s rr -o",
                "-a -u 192.168.1.100:1300 -r 10.9.0.1:53 -m -w 1",
            ],
        ),
        word(
            "address = \"192.168.1.100:1301\"\nprotocol = \"sctp\"\nlb_algo = \"rr\"\n\
             real_server = [{ address = \"10.9.0.1:1301\" }]",
            &[
                "-A --sctp-service 192.168.1.100:1301 -s rr",
                "-a --sctp-service 192.168.1.100:1301 -r 10.9.0.1:1301 -m -w 1",
            ],
        ),
        word(
            "address = \"[fd00::100]:1302\"\nlb_algo = \"wrr\"\n\
             real_server = [{ address = \"[fd00::7]:80\", weight = 9 }]",
            &["-A -t [fd00::100]:1302 -s wrr", "-a -t [fd00::100]:1302 -r [fd00::7]:80 -m -w 9"],
        ),
        word(
            "fwmark = 7\ninstance = \"VI_1\"\nlb_algo = \"rr\"\nlb_kind = \"DR\"\n\
             real_server = [{ address = \"192.168.1.7:0\" }]",
            &["-A -f 7 -s rr", "-a -f 7 -r 192.168.1.7:0 -g -w 1"],
        ),
        word(
            "fwmark = 8\nfamily = \"inet6\"\ninstance = \"VI_6\"\nlb_algo = \"rr\"\n\
             lb_kind = \"DR\"\nreal_server = [{ address = \"[fd00::7]:0\" }]",
            &["-A -f 8 -6 -s rr", "-a -f 8 -6 -r [fd00::7]:0 -g -w 1"],
        ),
    ]
}

fn methods() -> Vec<Word> {
    let tunnel = |port: u16, kind: &str, read: &str| {
        let toml = format!(
            "address = \"192.168.1.100:{port}\"\nlb_algo = \"rr\"\nlb_kind = {kind}\n\
             real_server = [{{ address = \"10.9.0.1:{port}\" }}]"
        );
        let real = format!("-a -t 192.168.1.100:{port} -r 10.9.0.1:{port} -i -w 1{read}");
        word(&toml, &[&format!("-A -t 192.168.1.100:{port} -s rr"), &real])
    };
    vec![
        tunnel(1400, "\"TUN\"", " --tun-type ipip"),
        tunnel(
            1401,
            "{ tunnel = \"gue\", port = 6080, checksum = \"remcsum\" }",
            " --tun-type gue --tun-port 6080 --tun-remcsum",
        ),
        tunnel(1402, "{ tunnel = \"gre\", checksum = \"csum\" }", " --tun-type gre --tun-csum"),
        word(
            "address = \"192.168.1.100:1403\"\nlb_algo = \"rr\"\nreal_server = [\n\
             { address = \"192.168.1.8:1403\", lb_kind = \"DR\" },\n\
             { address = \"10.9.0.1:80\", weight = 0, uthreshold = 100, lthreshold = 50 }]",
            &[
                "-A -t 192.168.1.100:1403 -s rr",
                "-a -t 192.168.1.100:1403 -r 10.9.0.1:80 -m -w 0",
                "-a -t 192.168.1.100:1403 -r 192.168.1.8:1403 -g -w 1",
            ],
        ),
        word(
            "address = \"192.168.1.100:1404\"\nlb_algo = \"rr\"\n\
             sorry_server = \"10.9.0.9:80\"\n\
             real_server = [{ address = \"10.9.0.1:80\", weight = 0 }]",
            &["-A -t 192.168.1.100:1404 -s rr", "-a -t 192.168.1.100:1404 -r 10.9.0.9:80 -m -w 1"],
        ),
    ]
}

fn all() -> Vec<Word> {
    [schedulers(), flags(), persistence(), protocols_and_families(), methods()]
        .into_iter()
        .flatten()
        .collect()
}

/// The lines of `ipvsadm -Sn`, sorted.
fn saved(cluster: &Cluster) -> Option<Vec<String>> {
    let text = cluster.nodes()[0].host.run("ipvsadm", &["-Sn"]).ok()?;
    let mut lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    Some(lines)
}

#[test]
fn what_is_set_is_what_ipvsadm_reads() -> Result<()> {
    with_module("ip_vs", "what_is_set_is_what_ipvsadm_reads", || {
        let cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
        let v4 = "192.168.1.100".parse().expect("an address");
        let v6 = "fd00::100".parse().expect("an address");
        let mut toml = instance("VI_1", 51, &[v4]);
        toml.push_str(&instance("VI_6", 52, &[v6]).replace("/24", "/64"));
        toml.push_str("[global]\nlvs_timeouts = { tcp = 901, tcpfin = 121, udp = 301 }\n");
        let words = all();
        words.iter().for_each(|word| toml.push_str(&word.toml));
        let mut wanted: Vec<String> =
            words.iter().flat_map(|word| word.ipvsadm.iter().cloned()).collect();
        wanted.sort();
        cluster.apply("toml", &toml)?;
        let mut is = Vec::new();
        let done = until("every service", LATER, || {
            is = saved(&cluster)?;
            (is == wanted).then_some(())
        });
        println!("{}", is.join("\n"));
        assert_eq!(is, wanted, "{done:?}");
        let timeouts = cluster.nodes()[0].host.run("ipvsadm", &["-L", "--timeout"])?;
        assert!(timeouts.contains("901 121 301"), "{timeouts}");
        // The saved form leaves them out.
        let limits = cluster.nodes()[0].host.run("ipvsadm", &["-Ln", "--thresholds"])?;
        let mut limits = limits.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let wanted = ["->", "10.9.0.1:80", "100", "50", "0", "0"];
        assert!(limits.any(|words| words == wanted), "{wanted:?}");
        println!("{}", cluster.cli(0, &["ipvs"])?);
        let ours = cluster.cli(0, &["ipvs", "--json"])?;
        let ours: serde_json::Value = serde_json::from_str(&ours).expect("JSON");
        let count = ours["services"].as_array().map_or(0, Vec::len);
        assert_eq!(count, words.len());

        // What is not ours stays, whatever becomes of the rest.
        let host = &cluster.nodes()[0].host;
        host.run("ipvsadm", &["-A", "-t", "192.168.1.200:80", "-s", "rr"])?;
        cluster.apply("toml", &instance("VI_1", 51, &[v4]))?;
        until("all of ours to go", LATER, || {
            (saved(&cluster)? == ["-A -t 192.168.1.200:80 -s rr"]).then_some(())
        })
    })
}
