//! Plans of documents that are read as an operator writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_model::{Cause, Config, Eligibility, GroupId, NodeId, Role};

use super::*;
use crate::document;
use crate::placement::{Director, Slot};

fn read(text: &str) -> Config {
    let (config, diagnostics) = document::parse_toml("a.toml", text);
    config.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

const WEB: &str = "
[instance.web]
virtual_router_id = 51
interface = \"eth0\"
priority = 100
virtual_ipaddress = [\"192.0.2.1/24\", \"192.0.2.2/24\"]

[[virtual_server]]
address = \"192.0.2.1:80\"
lb_algo = \"rr\"
real_server = [{ address = \"10.0.0.8:80\" }, { address = \"10.0.0.9:80\", weight = 2 }]
";

const MAIL: &str = "
[instance.mail]
virtual_router_id = 52
interface = \"eth0\"
priority = 100
virtual_ipaddress = [\"192.0.2.3/24\"]
";

fn text(before: &str, after: &str) -> String {
    let changes = changes(&read(before), &read(after));
    let text = Plan { changes, ..Plan::default() }.to_string();
    text.replace("nothing would move, as directors report themselves now\n", "")
}

#[test]
fn equal_documents_change_nothing() {
    assert_eq!(text(WEB, WEB), "nothing would change\n");
}

#[test]
fn what_comes_and_what_goes_is_told_with_what_it_serves() {
    assert_eq!(
        text(MAIL, &(MAIL.to_owned() + WEB)),
        "\
+ instance web: 192.0.2.1/24, 192.0.2.2/24
+ virtual server 192.0.2.1:80: 2 real servers
"
    );
    assert_eq!(text(&(MAIL.to_owned() + WEB), WEB), "- instance mail: 192.0.2.3/24\n");
}

#[test]
fn a_setting_is_told_in_the_documents_own_words() {
    let after = WEB
        .replace("priority = 100", "priority = 150\npreempt = false")
        .replace("\"192.0.2.2/24\"", "{ address = \"192.0.2.4/24\", dev = \"eth1\" }")
        .replace("lb_algo = \"rr\"", "lb_algo = \"wrr\"\nquorum = 2")
        .replace("10.0.0.8:80\" }", "10.0.0.7:80\" }")
        .replace("weight = 2", "weight = 5")
        + "[instance.web.director.ds1]\npriority = 200\n[global]\ndrain_timeout_ms = 30000\n";
    assert_eq!(
        text(WEB, &after),
        "\
~ global
    drain_timeout_ms: + 30000
~ instance web
    director.ds1.priority: + 200
    preempt: + false
    priority: 100 -> 150
    virtual_ipaddress: - 192.0.2.2/24
    virtual_ipaddress: + 192.0.2.4/24 dev eth1
~ virtual server 192.0.2.1:80
    lb_algo: rr -> wrr
    quorum: + 2
    + real server 10.0.0.7:80
    - real server 10.0.0.8:80
    ~ real server 10.0.0.9:80
        weight: 2 -> 5
"
    );
}

#[test]
fn another_order_of_addresses_is_a_change() {
    let after =
        WEB.replace("\"192.0.2.1/24\", \"192.0.2.2/24\"", "\"192.0.2.2/24\", \"192.0.2.1/24\"");
    let swapped = "virtual_ipaddress: [192.0.2.1/24, 192.0.2.2/24] -> [192.0.2.2/24, 192.0.2.1/24]";
    assert!(text(WEB, &after).contains(swapped), "{}", text(WEB, &after));
}

/// Two directors, the second one drained or of higher priority as the test wants it.
struct Site {
    up: Eligibility,
    drained: bool,
}

impl Site {
    fn new() -> Self {
        let interfaces_up = ["eth0".to_owned()].into();
        Self { up: Eligibility { interfaces_up, ..Eligibility::default() }, drained: false }
    }

    fn directors(&self) -> Vec<Director<'_>> {
        let director = |node, name, drained| Director {
            node: NodeId(node),
            name,
            role: Role::Director,
            drained,
            report: Some(&self.up),
        };
        vec![director(1, "ds1", false), director(2, "ds2", self.drained)]
    }

    /// What would move from `held`, where groups have the numbers given.
    fn moves(
        &self,
        before: &Config,
        after: &Config,
        held: &[(&str, u64)],
        groups: &[(&str, u32)],
    ) -> Vec<String> {
        let plan = self.plan(before, after, held, groups);
        assert!(!plan.more_moves);
        plan.moves.iter().map(ToString::to_string).collect()
    }

    fn plan(
        &self,
        before: &Config,
        after: &Config,
        held: &[(&str, u64)],
        groups: &[(&str, u32)],
    ) -> Plan {
        let held: BTreeMap<String, NodeId> =
            held.iter().map(|(name, node)| ((*name).to_owned(), NodeId(*node))).collect();
        let units = after.units();
        let slots: Vec<Slot<'_>> = units
            .iter()
            .map(|unit| {
                let group = groups.iter().find(|(name, _)| *name == unit.name).unwrap().1;
                let holder = unit.members.iter().find_map(|(name, _)| held.get(*name)).copied();
                Slot {
                    group: GroupId(group),
                    name: unit.name,
                    members: unit.members.clone(),
                    holder,
                    over: holder.is_none(),
                    handover: None,
                    pin: None,
                    cause: Cause::Created,
                    changed_ago: Duration::ZERO,
                    foreign: None,
                }
            })
            .collect();
        let directors = self.directors();
        let outlook =
            Outlook { directors: &directors, slots: &slots, leader: NodeId(1), held: &held };
        plan(before, after, &outlook)
    }
}

#[test]
fn a_higher_priority_is_told_to_preempt_and_when() {
    let (site, before) = (Site::new(), read(WEB));
    let higher = "[instance.web.director.ds2]\npriority = 200\n";
    let moves = |text: &str| site.moves(&before, &read(text), &[("web", 1)], &[("web", 1)]);
    let now = moves(&(WEB.to_owned() + higher));
    assert_eq!(now, ["web: ds1 -> ds2 (ds2 has the higher priority)"]);
    let delayed = WEB.replace("priority = 100", "priority = 100\npreempt_delay_ms = 4500") + higher;
    assert_eq!(moves(&delayed), ["web: ds1 -> ds2 (ds2 has the higher priority; within 5 s)"]);
    let never = WEB.replace("priority = 100", "priority = 100\npreempt = false") + higher;
    assert!(moves(&never).is_empty());
    let mut drained = Site::new();
    drained.drained = true;
    let after = read(&(WEB.to_owned() + higher));
    assert!(drained.moves(&before, &after, &[("web", 1)], &[("web", 1)]).is_empty());
}

#[test]
fn a_new_instance_goes_to_whom_placement_would_give_it_and_an_old_one_goes() {
    let (site, before) = (Site::new(), read(WEB));
    let after = read(&(WEB.to_owned() + MAIL));
    let held = [("web", 1)];
    let groups = [("web", 1), ("mail", 2)];
    assert_eq!(site.moves(&before, &after, &held, &groups), ["mail: nobody -> ds2 (it is new)"]);
    let away = site.moves(&after, &before, &[("web", 1), ("mail", 2)], &groups);
    assert_eq!(away, ["mail: ds2 -> nobody (it is removed)"]);
}

#[test]
fn what_nobody_can_hold_is_told_with_the_reasons() {
    let (site, before) = (Site::new(), read(WEB));
    let after = read(&WEB.replace("eth0", "eth9"));
    let told = site.moves(&before, &after, &[("web", 1)], &[("web", 1)]);
    let bars = "ds1: interface eth9 is down or missing; ds2: interface eth9 is down or missing";
    assert_eq!(told, [format!("web: ds1 -> nobody (no director can hold it: {bars})")]);
    let after = read(&(WEB.to_owned() + &MAIL.replace("eth0", "eth9")));
    let told = site.moves(&before, &after, &[("web", 1)], &[("web", 1), ("mail", 2)]);
    assert_eq!(told, [format!("mail: nobody -> nobody (no director can hold it: {bars})")]);
}

#[test]
fn a_vip_that_changes_its_instance_waits_for_its_old_holder() {
    let site = Site::new();
    let before = read(&(WEB.to_owned() + MAIL));
    let after = WEB.replace(", \"192.0.2.2/24\"", "")
        + &MAIL.replace("[\"192.0.2.3/24\"]", "[\"192.0.2.3/24\", \"192.0.2.2/24\"]");
    let held = [("web", 1), ("mail", 2)];
    let told = site.moves(&before, &read(&after), &held, &[("web", 1), ("mail", 2)]);
    assert_eq!(told, ["VIP 192.0.2.2: ds1 -> ds2 (from web to mail, once ds1 has let go of it)"]);
}

#[test]
fn an_instance_that_joins_a_sync_group_goes_where_the_group_is() {
    let site = Site::new();
    let before = read(&(WEB.to_owned() + MAIL));
    let group = "[sync_group.both]\nmembers = [\"mail\", \"web\"]\n";
    let after = read(&(WEB.to_owned() + MAIL + group));
    let held = [("web", 1), ("mail", 2)];
    let told = site.moves(&before, &after, &held, &[("both", 2)]);
    assert_eq!(told, ["web: ds1 -> ds2 (it goes with both)"]);
}

#[test]
fn a_plan_is_the_same_after_it_was_sent() {
    let changes = changes(&read(WEB), &read(MAIL));
    let plan = Plan { changes, ..Plan::default() };
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    assert!(
        json.contains(r#"{"kind":"instance","name":"mail","what":"added","settings":["#),
        "{json}"
    );
}

/// So many instances of equal priority, the first director holds them all.
fn crowd(count: u8) -> Plan {
    let names: Vec<String> = (1..=count).map(|nth| format!("web{nth:03}")).collect();
    let instance = |(name, nth): (&String, u8)| {
        format!(
            "[instance.{name}]\nvirtual_router_id = {nth}\ninterface = \"eth0\"\n\
             virtual_ipaddress = [\"192.0.2.{nth}/24\"]\n"
        )
    };
    let before: String = names.iter().zip(1..=count).map(instance).collect();
    let after = before.replacen("eth0\"", "eth0\"\npriority = 99", 1);
    let held: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let groups: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(1..).collect();
    Site::new().plan(&read(&before), &read(&after), &held, &groups)
}

#[test]
fn what_is_not_foreseen_to_its_end_says_so() {
    let (few, many) = (crowd(20), crowd(200));
    assert_eq!((few.moves.len(), few.more_moves), (10, false));
    assert!(!few.to_string().contains("and more"));
    assert!(!serde_json::to_string(&few).unwrap().contains("more_moves"));
    assert!(many.moves.len() < 100 && many.more_moves, "{}", many.moves.len());
    let end = "\n  ... and more: 64 rounds of placement are looked ahead\n";
    assert!(many.to_string().ends_with(end), "{many}");
    assert!(serde_json::to_string(&many).unwrap().ends_with(r#"],"more_moves":true}"#));
}
