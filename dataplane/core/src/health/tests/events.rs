//! What is told, in which order and words.

use leasehold_model::{Family, Fwmark, Script};

use super::*;

/// A world that is listened to.
struct Told {
    world: World,
    served: BTreeSet<Name>,
    reporter: Reporter,
}

impl Told {
    fn new(config: Config) -> Self {
        let served = served(&config, &groups(), &open(&[1]));
        Self { world: World::new(config), served, reporter: Reporter::default() }
    }

    /// The lines since the last look.
    fn look(&mut self) -> Vec<String> {
        self.events().iter().map(ToString::to_string).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        let World { config, health, overrides, .. } = &self.world;
        self.reporter.handle_facts(&Facts { config, health, overrides, served: &self.served });
        std::iter::from_fn(|| self.reporter.poll_event()).collect()
    }

    fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.world.config);
        let World { config, health, overrides, now } = &mut self.world;
        health.handle_config(config, &Findings::new(), overrides, *now);
    }
}

const VS: &str = "[10.0.0.1]:tcp:80";

fn vs(word: &str) -> String {
    format!("VS {VS} {word}")
}

fn rs(number: u8, word: &str) -> String {
    format!("RS [10.1.0.{number}]:tcp:80 {VS} {word}")
}

#[test]
fn the_beginning_tells_of_a_quorum_and_of_nobody_who_counts_as_up() {
    let mut told = Told::new(four());
    assert_eq!(told.look(), [vs("UP")]);
    told.world.up(0);
    assert_eq!(told.look(), [""; 0], "it counted as up");
    told.world.down(1);
    assert_eq!(told.look(), [rs(2, "DOWN")]);
    assert_eq!(told.look(), [""; 0], "each change once");
}

#[test]
fn one_that_has_to_prove_itself_is_told_of_by_its_first_answer() {
    let mut config = four();
    config.virtual_servers[0].alpha = true;
    config.virtual_servers[0].real_servers.iter_mut().for_each(|one| one.checks.push(tcp()));
    let mut told = Told::new(config);
    assert_eq!(told.look(), [""; 0], "no quorum yet, and no sorry server");
    told.world.down(0);
    assert_eq!(told.look(), [rs(1, "DOWN")]);
    told.world.up(1);
    assert_eq!(told.look(), [rs(2, "UP"), vs("UP")]);
    told.world.up(0);
    assert_eq!(told.look(), [rs(1, "UP")]);
}

#[test]
fn a_quorum_that_is_not_there_is_told_of_where_a_sorry_server_serves() {
    let mut config = four();
    let one = &mut config.virtual_servers[0];
    (one.alpha, one.sorry_server) = (true, sorry(false));
    one.real_servers.iter_mut().for_each(|real| real.checks.push(tcp()));
    let mut told = Told::new(config);
    let [event] = &told.events()[..] else { panic!("one event") };
    assert_eq!((event.to_string(), event.cause), (vs("DOWN"), Cause::Began));
    told.world.up(0);
    assert_eq!(told.look(), [rs(1, "UP"), vs("UP")]);
}

#[test]
fn real_servers_come_before_their_quorum() {
    let mut told = Told::new(four());
    told.look();
    for index in [3, 1, 0, 2] {
        told.world.down(index);
    }
    let down = |number| rs(number, "DOWN");
    assert_eq!(told.look(), [down(1), down(2), down(3), down(4), vs("DOWN")]);
    told.world.up(3);
    assert_eq!(told.look(), [rs(4, "UP"), vs("UP")]);
}

#[test]
fn each_event_has_its_script_its_mail_and_its_cause() {
    let script =
        |command: &str| Some(Script { command: command.to_owned(), user: None, group: None });
    let mut config = four();
    let one = &mut config.virtual_servers[0];
    (one.quorum, one.smtp_alert) = (4, Some(true));
    (one.quorum_up, one.quorum_down) = (script("/quorum-up"), script("/quorum-down"));
    let real = &mut one.real_servers[0];
    (real.notify_up, real.notify_down) = (script("/up"), script("/down"));
    real.smtp_alert = Some(false);
    let mut told = Told::new(config);
    let mut look = |change: &dyn Fn(&mut World) -> bool| {
        change(&mut told.world);
        let say = |one: Event| (one.script.expect("one").command, one.smtp_alert, one.cause);
        told.events().into_iter().map(say).collect::<Vec<_>>()
    };
    let said = |command: &str, mail, cause| (command.to_owned(), Some(mail), cause);
    let standing = Cause::Standing;
    assert_eq!(look(&|_| false), [said("/quorum-up", true, Cause::Began)]);
    assert_eq!(
        look(&|world| world.down(0)),
        [
            said("/down", false, standing(Standing::Failed)),
            said("/quorum-down", true, Cause::Quorum)
        ]
    );
    assert_eq!(
        look(&|world| world.up(0)),
        [said("/up", false, standing(Standing::Up)), said("/quorum-up", true, Cause::Quorum)]
    );
    assert_eq!(
        look(&|world| {
            world.say(0, Some(Override::Disable));
            true
        })[0],
        said("/down", false, standing(Standing::Disabled))
    );
}

#[test]
fn to_drain_is_no_failure_and_costs_the_quorum() {
    let mut config = four();
    config.virtual_servers[0].quorum = 4;
    let mut told = Told::new(config);
    told.look();
    told.world.say(0, Some(Override::Drain));
    assert_eq!(told.look(), [vs("DOWN")]);
    told.world.say(0, None);
    assert_eq!(told.look(), [vs("UP")]);
}

#[test]
fn one_that_is_held_is_told_of_as_down_once() {
    let mut config = four();
    config.virtual_servers[0].damping = damping(1);
    let mut told = Told::new(config);
    told.look();
    for (at, up) in [(1, rs(1, "UP")), (2, String::new())] {
        told.world.now = seconds(at);
        told.world.down(0);
        assert_eq!(told.look(), [rs(1, "DOWN")]);
        told.world.up(0);
        assert_eq!(
            told.look(),
            Some(up).into_iter().filter(|up| !up.is_empty()).collect::<Vec<_>>()
        );
    }
    let World { config, health, overrides, .. } = &mut told.world;
    health.handle_timeout(config, overrides, seconds(32));
    assert_eq!(told.look(), [rs(1, "UP")]);
}

#[test]
fn what_leaves_the_configuration_goes_down_with_the_script_that_it_had() {
    let script = Script { command: "/down".to_owned(), user: None, group: None };
    let mut config = four();
    config.virtual_servers[0].real_servers[0].notify_down = Some(script.clone());
    let mut told = Told::new(config);
    told.look();
    told.world.down(1);
    told.look();
    told.configure(|config| drop(config.virtual_servers[0].real_servers.drain(..2)));
    let [event] = &told.events()[..] else { panic!("the second was down before") };
    assert_eq!(event.to_string(), rs(1, "DOWN"));
    assert_eq!((&event.script, event.cause), (&Some(script), Cause::Removed));
    told.configure(|config| config.virtual_servers.clear());
    assert_eq!(told.look(), [rs(3, "DOWN"), rs(4, "DOWN"), vs("DOWN")]);
    assert!(told.reporter.told.is_empty());
    told.configure(|config| *config = four());
    assert_eq!(told.look(), [vs("UP")], "it begins again");
}

#[test]
fn omega_goes_down_where_it_is_given_up_and_comes_again() {
    let mut config = four();
    config.virtual_servers[0].omega = true;
    config.virtual_servers[0].real_servers.truncate(2);
    let mut told = Told::new(config);
    let served = std::mem::take(&mut told.served);
    assert_eq!(told.look(), [""; 0], "not served here yet");
    told.served.clone_from(&served);
    assert_eq!(told.look(), [vs("UP")]);
    told.world.down(0);
    assert_eq!(told.look(), [rs(1, "DOWN")]);
    told.served.clear();
    let events = told.events();
    assert!(events.iter().all(|one| one.cause == Cause::GivenUp));
    let lines: Vec<_> = events.iter().map(ToString::to_string).collect();
    assert_eq!(lines, [rs(2, "DOWN"), vs("DOWN")]);
    told.world.up(0);
    assert_eq!(told.look(), [""; 0], "nor is it told of while it is not served");
    let World { config, health, overrides, .. } = &told.world;
    let facts = Facts { config, health, overrides, served: &told.served };
    let server = &config.virtual_servers[0];
    told.reporter.handle_real_server(&facts, server, &server.real_servers[0]);
    assert_eq!(told.reporter.poll_event(), None);
    told.served = served;
    assert_eq!(told.look(), [rs(1, "UP"), rs(2, "UP"), vs("UP")]);
}

#[test]
fn without_omega_every_director_tells_what_it_sees() {
    let mut told = Told::new(four());
    told.served.clear();
    assert_eq!(told.look(), [vs("UP")]);
    told.world.down(0);
    assert_eq!(told.look(), [rs(1, "DOWN")]);
}

#[test]
fn one_real_server_can_be_looked_at_alone() {
    let mut config = four();
    config.virtual_servers[0].quorum = 4;
    let mut told = Told::new(config);
    told.look();
    told.world.down(0);
    told.world.down(1);
    let World { config, health, overrides, .. } = &told.world;
    let facts = Facts { config, health, overrides, served: &told.served };
    let server = &config.virtual_servers[0];
    told.reporter.handle_real_server(&facts, server, &server.real_servers[1]);
    let lines: Vec<_> = std::iter::from_fn(|| told.reporter.poll_event()).collect();
    let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
    assert_eq!(lines, [rs(2, "DOWN"), vs("DOWN")]);
    assert_eq!(told.look(), [rs(1, "DOWN")]);
}

#[test]
fn servers_are_called_what_keepalived_calls_them() {
    let event = |service, subject| Event {
        server: (service, Protocol::Udp),
        subject,
        up: true,
        cause: Cause::Quorum,
        script: None,
        smtp_alert: None,
    };
    let real = Subject::RealServer(at("[2001:db8::1]:53"));
    let address = Service::Address(at("[2001:db8::9]:53"));
    let mark = Service::Fwmark(Fwmark { mark: 7, family: Family::Inet6 });
    let group = Service::Group("web".to_owned());
    for (event, line, mail) in [
        (
            event(address.clone(), real),
            "RS [2001:db8::1]:udp:53 [2001:db8::9]:udp:53 UP",
            "Realserver [2001:db8::1]:udp:53 of virtual server [2001:db8::9]:udp:53 - UP",
        ),
        (
            event(address, Subject::VirtualServer),
            "VS [2001:db8::9]:udp:53 UP",
            "Virtualserver [2001:db8::9]:udp:53 - UP",
        ),
        (
            event(mark, real),
            "RS [2001:db8::1]:none:53 FWM 7 UP",
            "Realserver [2001:db8::1]:none:53 of virtual server FWM 7 - UP",
        ),
        (event(group, Subject::VirtualServer), "VS [web]:0 UP", "Virtualserver [web]:0 - UP"),
    ] {
        assert_eq!((event.to_string().as_str(), event.mail_subject().as_str()), (line, mail));
    }
}
