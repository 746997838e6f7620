//! Changes in a few words each: two sites built from nothing, and several editors at once.

use leasehold_lab::cluster::{Cluster, Plan, instance};
use leasehold_lab::site::plan;
use leasehold_lab::vm::with_module;
use leasehold_lab::{Result, find_binary};

/// One site: its keepalived.conf for each director, and the commands that say the same.
struct Site {
    keepalived: fn(&str, &str, u8) -> String,
    commands: &'static [&'static str],
}

/// A TUN site: TCP checks, router ids and priorities that differ.
const TUNNELS: Site = Site {
    keepalived: |director, state, priority| {
        let real = |address: &str| {
            format!(
                "    real_server {address} 80 {{\n        weight 1\n        TCP_CHECK {{\n            \
                 connect_timeout 3\n            delay_before_retry 3\n            connect_port 80\n        \
                 }}\n    }}\n"
            )
        };
        let real = ["192.168.56.183", "192.168.56.184", "192.168.1.183"].map(real).concat();
        format!(
            "global_defs {{\n    router_id LVS_{director}\n    vrrp_garp_interval 0\n    \
             vrrp_gna_interval 0\n}}\nvrrp_instance VI_1 {{\n    state {state}\n    interface eth1\n    \
             virtual_router_id 50\n    priority {priority}\n    advert_int 1\n    authentication {{\n        \
             auth_type PASS\n        auth_pass 1111\n    }}\n    virtual_ipaddress {{\n        \
             192.168.1.184/24\n    }}\n}}\nvirtual_server 192.168.1.184 80 {{\n    delay_loop 6\n    \
             lb_algo wrr\n    lb_kind TUN\n    persistence_timeout 0\n    protocol TCP\n{real}}}\n"
        )
    },
    commands: &[
        "global set router_id.ds1=LVS_ds1 router_id.ds2=LVS_ds2",
        "instance add VI_1 --vrid 50 --vip 192.168.1.184/24@eth1 --priority ds1=100,ds2=90 \
         auth_type=PASS auth_pass=1111",
        "vs add -t 192.168.1.184:80 -s wrr -i",
        "rs add -t 192.168.1.184:80 -r 192.168.56.183:80 check=tcp connect_timeout=3 \
         delay_before_retry=3 delay_loop=6",
        "rs add 192.168.1.184:80 192.168.56.184 check=TCP_CHECK connect_timeout=3 \
         delay_before_retry=3 delay_loop=6",
        "rs add 192.168.1.184:80 192.168.1.183:80 check.type=tcp check.connect_timeout_ms=3000 \
         check.delay_before_retry_ms=3000 check.delay_loop_ms=6000",
    ],
};

/// A DR site with weights, and an address without a prefix.
const DIRECT: Site = Site {
    keepalived: |_, state, priority| {
        let real = |address: &str| {
            format!(
                "    real_server {address} 80 {{\n        weight 100\n        TCP_CHECK {{\n            \
                 connect_timeout 10\n            nb_get_retry 3\n            delay_before_retry 3\n            \
                 connect_port 80\n        }}\n    }}\n"
            )
        };
        let real = ["192.168.188.107", "192.168.188.110"].map(real).concat();
        format!(
            "vrrp_instance VI_1 {{\n    state {state}\n    interface eth0\n    virtual_router_id 51\n    \
             priority {priority}\n    advert_int 1\n    authentication {{\n        auth_type PASS\n        \
             auth_pass word>pass\n    }}\n    virtual_ipaddress {{\n        192.168.188.120\n    }}\n}}\n\
             virtual_server 192.168.188.120 80 {{\n    delay_loop 5\n    lb_algo wlc\n    lb_kind DR\n    \
             persistence_timeout 0\n    protocol TCP\n{real}}}\n"
        )
    },
    commands: &[
        "instance add VI_1 --vrid 51 --interface eth0 --vip 192.168.188.120 \
         --priority ds1=100,ds2=90 auth_type=PASS auth_pass=word>pass",
        "vs add 192.168.188.120:80 lb_algo=wlc lb_kind=DR",
        "rs add 192.168.188.120:80 192.168.188.107:80 -w 100 check=tcp connect_timeout=10 \
         delay_before_retry=3 delay_loop=5",
        "rs add 192.168.188.120:80 192.168.188.110:80 -w 100 check=tcp connect_timeout=10 \
         delay_before_retry=3 delay_loop=5",
    ],
};

fn say(cluster: &Cluster, director: usize, line: &str) -> Result<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    cluster.cli(director, &words)
}

fn refused(cluster: &Cluster, line: &str) -> String {
    say(cluster, 1, line).expect_err(line).to_string()
}

/// What importing the site's files gives.
fn imported(cluster: &Cluster, site: &Site) -> Result<String> {
    let directory = cluster.nodes()[0].data_dir.parent().expect("a parent").to_owned();
    let files = [("ds1", "MASTER", 100), ("ds2", "BACKUP", 90)].map(|(name, state, priority)| {
        let file = directory.join(format!("{name}.conf"));
        std::fs::write(&file, (site.keepalived)(name, state, priority)).expect("a test directory");
        format!("{name}={}", file.display())
    });
    cluster.cli(0, &["import", &files[0], &files[1]])
}

fn revision(cluster: &Cluster, director: usize) -> Result<u64> {
    cluster.wait_for("a status", |this| this.status(director)?["cluster"]["revision"].as_u64())
}

#[test]
fn two_sites_from_nothing() -> Result<()> {
    with_module("ip_vs", "two_sites_from_nothing", || {
        let cluster = Cluster::start(&plan("192.168.1.0/24", "eth1")?)?;
        for site in [TUNNELS, DIRECT] {
            for (nth, line) in site.commands.iter().enumerate() {
                let said = say(&cluster, nth % 3, line)?;
                println!("leasehold {line}\n{said}");
            }
            assert_eq!(cluster.cli(2, &["export"])?.trim(), imported(&cluster, &site)?.trim());
            // And away again, the last with its name.
            let vs = site.commands.iter().find(|line| line.starts_with("vs add ")).expect("one");
            let vs = vs.split_whitespace().find(|word| word.ends_with(":80")).expect("a name");
            say(&cluster, 0, &format!("vs rm {vs}"))?;
            let why = refused(&cluster, "instance rm VI_1");
            assert!(why.contains("--allow-empty"), "{why}");
            say(&cluster, 1, "instance rm VI_1 --allow-empty")?;
            say(&cluster, 1, "global set router_id=")?;
            assert_eq!(cluster.cli(0, &["export"])?.trim(), "");
        }
        Ok(())
    })
}

#[test]
fn each_command_is_one_revision_or_none() -> Result<()> {
    let cluster = Cluster::start(&Plan::new(find_binary()?))?;
    cluster
        .apply("toml", &instance("VI_1", 51, &["192.168.1.100".parse().expect("an address")]))?;
    let before = revision(&cluster, 0)?;
    let would = say(&cluster, 1, "vs add 192.168.1.100:80 -s rr --dry-run")?;
    assert_eq!(
        would.trim(),
        format!(
            "192.168.1.100:80 is added: it would replace revision {before}\n+ virtual server \
             192.168.1.100:80: 0 real servers\nnothing would move, as directors report themselves now"
        )
    );
    assert_eq!(say(&cluster, 2, "export")?.matches("virtual_server").count(), 0);

    let said = say(&cluster, 1, "vs add 192.168.1.100:80 -s rr")?;
    let now = said.trim().strip_prefix("192.168.1.100:80 is added: revision ").expect("a revision");
    let now: u64 = now.strip_suffix(" is in force").and_then(|now| now.parse().ok()).expect("one");
    assert!(now > before, "{said}");
    say(&cluster, 2, "rs add 192.168.1.100:80 192.168.1.8:80 -w 3")?;
    say(&cluster, 2, "rs add 192.168.1.100:80 192.168.1.9:80 check=tcp retry=0")?;
    let list = say(&cluster, 0, "vs list")?;
    assert_eq!(
        list,
        "192.168.1.100:80 lb_algo=rr\n  -> 192.168.1.8:80 weight=3\n  -> 192.168.1.9:80 \
         check=tcp check.retry=0\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&say(&cluster, 0, "vs list 192.168.1.100 80 --json")?).expect("JSON");
    assert_eq!(json[0]["real_server"][0]["weight"], 3, "{json}");
    let same = say(&cluster, 0, "rs set 192.168.1.100:80 192.168.1.8:80 weight=3")?;
    assert!(same.starts_with("nothing changed: it is so at revision "), "{same}");

    let at = revision(&cluster, 0)?;
    let why = refused(&cluster, "vs add 192.168.1.100:80 -s rr");
    assert!(
        why.contains("192.168.1.100:80 is there already: `leasehold vs set` changes it"),
        "{why}"
    );
    let why = refused(&cluster, "rs set 192.168.1.100:80 192.168.1.8:80 -w 99999");
    let range = "-w 99999: weight 99999 is out of range; a whole number from 0 to 65535";
    assert!(why.contains(range), "{why}");
    let why = refused(&cluster, "vs set 192.168.1.100:80 qorum=3");
    assert!(why.contains("did you mean quorum?"), "{why}");
    assert_eq!(revision(&cluster, 0)?, at, "nothing half done");

    // An operator's word ends with what it is about.
    say(&cluster, 0, "rs drain 192.168.1.100:80 192.168.1.8:80")?;
    say(&cluster, 1, "vs rm 192.168.1.100:80")?;
    say(&cluster, 2, "vs add 192.168.1.100:80 -s rr")?;
    say(&cluster, 2, "rs add 192.168.1.100:80 192.168.1.8:80")?;
    cluster.wait_for("the real server, undrained", |this| {
        let status = this.status(2)?;
        let real = &status["virtual_servers"][0]["real_servers"][0];
        (real["address"] == "192.168.1.8:80" && real["override"].is_null()).then_some(())
    })
}

/// Each adds ten real servers of its own while the others do; all of them are there at the end.
#[test]
fn of_eight_editors_none_loses_a_change() -> Result<()> {
    const EDITORS: u16 = 8;
    const EACH: u16 = 10;
    let cluster = Cluster::start(&Plan::new(find_binary()?))?;
    cluster
        .apply("toml", &instance("VI_1", 51, &["192.168.1.100".parse().expect("an address")]))?;
    say(&cluster, 0, "vs add 192.168.1.100:80 -s rr")?;
    let before = revision(&cluster, 0)?;
    let edit = |editor: u16| -> Result<()> {
        for nth in 1..=EACH {
            let address = format!("10.{editor}.0.{nth}:80");
            say(&cluster, usize::from(editor % 3), &format!("rs add 192.168.1.100:80 {address}"))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let editors: Vec<_> = (0..EDITORS).map(|one| scope.spawn(move || edit(one))).collect();
        editors.into_iter().try_for_each(|one| one.join().expect("no panic"))
    })?;
    let list = say(&cluster, 1, "vs list")?;
    for editor in 0..EDITORS {
        for nth in 1..=EACH {
            let line = format!("-> 10.{editor}.0.{nth}:80\n");
            assert_eq!(list.matches(&line).count(), 1, "{line}{list}");
        }
    }
    assert!(revision(&cluster, 1)? >= before + u64::from(EDITORS * EACH));
    Ok(())
}
