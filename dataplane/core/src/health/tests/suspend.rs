//! Whose checks pause where.

use leasehold_model::{Family, Fwmark, GroupEntry, VirtualServerGroup};

use super::*;

fn suspending(service: Service) -> VirtualServer {
    let one = server("10.0.0.1:80", &["10.1.0.1:80"]);
    VirtualServer { service, ha_suspend: true, ..one }
}

fn address(text: &str) -> Service {
    Service::Address(at(text))
}

fn paused(config: &Config, held: &[u32]) -> Vec<Service> {
    suspended(config, &groups(), &open(held)).into_iter().map(|(service, _)| service).collect()
}

fn mark() -> Fwmark {
    Fwmark { mark: 7, family: Family::Inet }
}

#[test]
fn checks_pause_where_the_address_is_not_held() {
    let all = [suspending(address("10.0.0.1:80")), suspending(address("10.0.0.2:80"))];
    let config = config(all.into());
    let (left, right) = (address("10.0.0.1:80"), address("10.0.0.2:80"));
    assert_eq!(paused(&config, &[]), [left.clone(), right.clone()]);
    assert_eq!(paused(&config, &[1]), [right]);
    assert_eq!(paused(&config, &[2]), [left]);
    assert_eq!(paused(&config, &[1, 2]), []);
}

#[test]
fn an_address_that_nobody_has_is_held_nowhere() {
    let config = config(vec![suspending(address("10.9.9.9:80"))]);
    assert_eq!(paused(&config, &[1, 2]), [address("10.9.9.9:80")]);
}

#[test]
fn without_ha_suspend_and_behind_a_mark_they_never_pause() {
    let asked = VirtualServer { ha_suspend: false, ..suspending(address("10.0.0.1:80")) };
    let config = config(vec![asked, suspending(Service::Fwmark(mark()))]);
    assert_eq!(paused(&config, &[]), []);
}

#[test]
fn those_of_a_group_go_on_while_one_of_its_addresses_is_held() {
    let mut config = config(vec![suspending(Service::Group("web".to_owned()))]);
    let range = GroupEntry::Range {
        first: "10.0.0.1".parse().expect("an address"),
        last: "10.0.0.2".parse().expect("an address"),
        port: 80,
    };
    let entries = vec![range, GroupEntry::Fwmark(mark())];
    config.groups.insert("web".to_owned(), VirtualServerGroup { entries });
    assert_eq!(paused(&config, &[]), [Service::Group("web".to_owned())]);
    assert_eq!(paused(&config, &[2]), []);
    assert_eq!(paused(&config, &[1]), []);
    let entries = vec![GroupEntry::Fwmark(mark())];
    config.groups.insert("web".to_owned(), VirtualServerGroup { entries });
    assert_eq!(paused(&config, &[]), [], "marks only");
}

#[test]
fn what_is_served_has_an_entrance_that_is_open() {
    let all = vec![suspending(address("10.0.0.1:80")), suspending(address("10.0.0.2:80"))];
    let config = config(all);
    let of = |held: &[u32]| served(&config, &groups(), &open(held));
    assert_eq!(of(&[]), BTreeSet::new());
    assert_eq!(of(&[2]), [(address("10.0.0.2:80"), Protocol::Tcp)].into());
    assert_eq!(of(&[1, 2]).len(), 2);
}
