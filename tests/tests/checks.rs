//! Checks that ask no port: what a program's end, a number in a file and an echo make of a real
//! server and of its weight, as `status` shows it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use leasehold_lab::cluster::{Cluster, Plan, instance};
use leasehold_lab::{Result, find_binary};

/// Files that programs of any user may read.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("leasehold-checks-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary directory can be made");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, open).expect("its mode can be set");
        Self(path)
    }

    fn say(&self, name: &str, number: i32) {
        // A reader sees the old number or the new one.
        let (fresh, path) = (self.0.join("fresh"), self.0.join(name));
        fs::write(&fresh, format!("{number}\n")).expect("a file can be written");
        fs::rename(&fresh, &path).expect("and moved");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits until the real server stands so, and has this weight.
fn wait_for(cluster: &Cluster, address: &str, state: &str, weight: u64) -> Result<()> {
    let what = format!("{address} to be {state} with weight {weight}");
    cluster.wait_for(&what, |cluster| {
        let status = cluster.status(0)?;
        let all = status["virtual_servers"][0]["real_servers"].as_array()?.clone();
        let one = all.iter().find(|one| one["address"] == address)?;
        (one["state"] == state && one["weight"] == weight).then_some(())
    })
}

#[test]
fn programs_files_and_echoes_take_real_servers_out_and_weigh_them() -> Result<()> {
    let folder = Folder::new();
    folder.say("status", 0);
    folder.say("load", 3);
    let cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
    cluster.nodes()[0].host.sysctl("net.ipv4.ip_forward", "1")?;
    let vip = "192.168.1.100".parse().expect("an address");
    let path = folder.0.display();
    let echo = cluster.client.ip("-4 -o addr show dev eth0")?;
    let echo = echo.split_whitespace().find_map(|word| word.split_once('/')).expect("an address").0;
    let text = format!(
        "{}[file.load]\nfile = \"{path}/load\"\n[[virtual_server]]\naddress = \"{vip}:80\"\n\
         lb_algo = \"wrr\"\nreal_server = [\n\
         {{ address = \"192.168.1.8:80\", weight = 5, check = [{{ type = \"misc\", delay_loop_ms = 100, \
         dynamic = true, script = '/bin/sh -c \"exit $(cat {path}/status)\"' }}] }},\n\
         {{ address = \"192.168.1.9:80\", weight = 5, check = [{{ type = \"file\", \
         track_file = \"load\", weight = 2 }}] }},\n\
         {{ address = \"{echo}:80\", check = [{{ type = \"ping\", delay_loop_ms = 100, retry = 0, \
         connect_timeout_ms = 500 }}] }},\n]\n",
        instance("VI_1", 51, &[vip])
    );
    cluster.apply("toml", &text)?;
    wait_for(&cluster, "192.168.1.8:80", "up", 5)?;
    wait_for(&cluster, "192.168.1.9:80", "up", 11)?;
    let pinged = format!("{echo}:80");
    wait_for(&cluster, &pinged, "up", 1)?;

    folder.say("status", 12);
    wait_for(&cluster, "192.168.1.8:80", "up", 10)?;
    folder.say("status", 1);
    wait_for(&cluster, "192.168.1.8:80", "down", 0)?;
    folder.say("load", -3);
    wait_for(&cluster, "192.168.1.9:80", "up", 0)?;
    cluster.client.ip("link set eth0 down")?;
    wait_for(&cluster, &pinged, "down", 0)?;

    // An operator outranks what checks say of weights, and not that it is down.
    cluster.cli(0, &["rs", "weight", &format!("{vip}:80"), "192.168.1.8:80", "7"])?;
    cluster.cli(0, &["rs", "weight", &format!("{vip}:80"), "192.168.1.9:80", "7"])?;
    wait_for(&cluster, "192.168.1.9:80", "up", 7)?;
    folder.say("status", 0);
    wait_for(&cluster, "192.168.1.8:80", "up", 7)?;
    cluster.client.ip("link set eth0 up")?;
    wait_for(&cluster, &pinged, "up", 1)
}
