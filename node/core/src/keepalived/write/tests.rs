//! What the text looks like, and what is said of the rest.

use super::*;
use crate::document;

fn written(toml: &str, director: &str) -> Written {
    let (config, told) = document::parse_toml("a.toml", toml);
    let config = config.unwrap_or_else(|| panic!("{told:?}"));
    to_keepalived(&config, director).unwrap()
}

const TWO: &str = r#"
[global.router_id]
ds1 = "left"

[instance.VI_1]
virtual_router_id = 51
interface = "eth0"
authentication = { auth_type = "PASS", auth_pass = "11 11" }
preempt = false
virtual_ipaddress = [{ address = "10.0.0.1", prefix = 24, label = "eth0:1" }]
notify_master = { command = "/bin/up it", user = "nobody" }

[instance.VI_1.director.ds1]
priority = 150
src_ip = "10.0.0.11"

[instance.VI_1.director.ds2]
priority = 100
interface = "ens3"

[[virtual_server]]
address = "10.0.0.1:80"
lb_kind = "DR"

[[virtual_server.real_server]]
address = "10.0.0.9:80"
check = [{ type = "http", url = [{ path = "/" }], delay_loop_ms = 5000, rise = 2 }]
"#;

#[test]
fn each_director_gets_its_own_file_in_keepaliveds_layout() {
    let instance = "
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 1
    nopreempt
    mcast_src_ip 10.0.0.11
    authentication {
        auth_type PASS
        auth_pass \"11 11\"
    }
    virtual_ipaddress {
        10.0.0.1/24 label eth0:1
    }
    notify_master \"/bin/up it\" nobody
}
";
    let server = "
virtual_server 10.0.0.1 80 {
    delay_loop 5
    lb_algo wlc
    lb_kind DR
    protocol TCP
    real_server 10.0.0.9 80 {
        HTTP_GET {
            url {
                path /
            }
        }
    }
}
";
    let head = "! keepalived.conf of ds1, written by leasehold export

global_defs {
    router_id left
}

vrrp_instance VI_1 {";
    assert_eq!(written(TWO, "ds1").text, format!("{head}{instance}{server}"));
    let second = written(TWO, "ds2").text;
    for line in ["interface ens3", "priority 100", "10.0.0.1/24 label ens3:1"] {
        assert!(second.contains(line), "{line}: {second}");
    }
    assert!(!second.contains("global_defs") && !second.contains("mcast_src_ip"), "{second}");
}

#[test]
fn what_is_left_out_is_told_with_its_place() {
    let told: Vec<String> = written(TWO, "ds3").left_out.iter().map(ToString::to_string).collect();
    let expected = [
        "instance.VI_1.director.ds3.priority: keepalived has no spare: 1 is written",
        "virtual_server 10.0.0.1:80, real_server 10.0.0.9:80, check.0.rise: in keepalived one \
         success brings a real server back",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_name_that_keepalived_can_not_read_refuses_the_whole() {
    let (config, _) = document::parse_toml(
        "a.toml",
        &TWO.replace("\"eth0\"", "\"e\\\"0\"").replace("eth0:1", "e\\\"0:1"),
    );
    let error = to_keepalived(&config.unwrap(), "ds1").unwrap_err();
    assert!(error.to_string().contains("names: \"e\\\"0\", \"e\\\"0:1\"; rename them"), "{error}");
}
