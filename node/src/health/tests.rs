//! What is heard at the same time.

use std::time::Duration;

use leasehold_model::{
    BootNanos, Epoch, Instance, Protocol, RealServer, Scope, Service, Vip, VirtualServer,
};
use tokio::time::timeout;

use super::*;
use crate::daemon::lease_thread::OpenLease;
use crate::notify::line;
use crate::paced::paced;

fn config() -> Config {
    let mut config = Config::default();
    let mut instance = Instance::new(1, "eth0");
    instance.virtual_ipaddress = vec![Vip {
        address: "192.168.1.100".parse().unwrap(),
        prefix: 24,
        dev: None,
        label: None,
        broadcast: None,
        scope: Scope::Global,
    }];
    config.instances.insert("VI_1".to_owned(), instance);
    let service = Service::Address("192.168.1.100:80".parse().unwrap());
    let mut server = VirtualServer::new(service, Protocol::Tcp);
    server.real_servers.push(RealServer::new("10.0.0.1:80".parse().unwrap()));
    config.virtual_servers.push(server);
    config
}

#[tokio::test]
async fn a_change_heard_next_to_a_takeover_has_the_epoch_of_the_lease() {
    // The order must not be by chance.
    for _ in 0..20 {
        let (state, states) = watch::channel(Arc::new(State::default()));
        let (open, opens) = watch::channel(OpenLeases::new());
        let (_numbers, numbers) = watch::channel(Numbers::default());
        let (line, changes) = line();
        let inputs = Inputs {
            state: paced(states),
            open: opens,
            numbers,
            health: watch::channel(Health::default()).0,
            reasons: watch::channel(Reasons::default()).0,
            sockets: 16,
            line,
        };
        let groups = [("VI_1".to_owned(), GroupId(1))].into();
        let new = State { config: Arc::new(config()), groups, ..State::default() };
        state.send_replace(Arc::new(new));
        let lease = OpenLease { epoch: Epoch(11), until: BootNanos(1) };
        open.send_replace([(GroupId(1), lease)].into());
        let local = tokio::task::LocalSet::new();
        local.spawn_local(run(inputs));
        let limit = Duration::from_secs(20);
        let told = local.run_until(timeout(limit, changes.pop())).await.expect("it is told");
        assert_eq!(told.expect("a change").epoch, Epoch(11));
    }
}
