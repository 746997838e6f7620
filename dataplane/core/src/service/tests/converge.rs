//! From whatever the kernel has, one pass leads to what is wanted, and touches nothing else.

use proptest::prelude::*;

use super::*;

/// A few services over few addresses, so that two draws share some.
fn services() -> impl Strategy<Value = Vec<VirtualServer>> {
    let real = prop::collection::btree_map(1..5u8, 0..3u16, 0..4);
    let one = (real, prop::sample::select(&[Scheduler::Rr, Scheduler::Wlc, Scheduler::Sh][..]));
    prop::collection::btree_map((1..3u8, 80..83u16), one, 0..5).prop_map(|all| {
        let server = |((vip, port), (real, lb_algo)): ((u8, u16), (_, _))| {
            let mut one = server(&format!("10.0.0.{vip}:{port}"), &[]);
            one.lb_algo = lb_algo;
            let real: BTreeMap<u8, u16> = real;
            one.real_servers = real
                .into_iter()
                .map(|(host, weight)| RealServer {
                    weight,
                    ..RealServer::new(at(&format!("10.1.0.{host}:{port}")))
                })
                .collect();
            one
        };
        all.into_iter().map(server).collect()
    })
}

proptest! {
    #[test]
    fn one_pass_converges_and_a_second_finds_nothing(
        before in services(),
        after in services(),
        held in prop::collection::btree_set(1..3u32, 0..3),
    ) {
        let held: Vec<u32> = held.into_iter().collect();
        let (before, after) = (config(before), config(after));
        let mut kernel = Kernel::default();
        kernel.converge(&table(&before, &[1, 2]), &BTreeSet::new());
        let owned: BTreeSet<Key> =
            configured(&before).union(&configured(&after)).copied().collect();
        let wanted = table(&after, &held);
        kernel.converge(&wanted, &owned);
        prop_assert_eq!(
            kernel.services.keys().collect::<Vec<_>>(),
            wanted.keys().collect::<Vec<_>>()
        );
        for (key, service) in &wanted {
            let existing = &kernel.services[key];
            prop_assert_eq!(&existing.settings, &service.settings);
            prop_assert_eq!(existing.servers.len(), service.servers.len());
            for one in &service.servers {
                prop_assert!(existing.servers.iter().any(|is| is.is(one)));
            }
        }
        prop_assert_eq!(kernel.converge(&wanted, &owned), 0);
    }

    #[test]
    fn what_is_not_ours_stays(
        theirs in services(),
        ours in services(),
    ) {
        let (theirs, ours) = (config(theirs), config(ours));
        let mut kernel = Kernel::default();
        kernel.converge(&table(&theirs, &[1, 2]), &BTreeSet::new());
        let before = kernel.clone();
        kernel.converge(&table(&ours, &[1, 2]), &configured(&ours));
        kernel.converge(&Table::new(), &configured(&ours));
        for (key, service) in &before.services {
            let left = kernel.services.get(key);
            if configured(&ours).contains(key) {
                prop_assert_eq!(left, None);
            } else {
                prop_assert_eq!(left, Some(service));
            }
        }
    }

    #[test]
    fn a_service_is_written_and_read_alike(mark in 1..9u32, port in 1..9u16, v6: bool) {
        let address = if v6 { "fd00::1" } else { "10.0.0.1" }.parse().expect("an address");
        let family = leasehold_model::Family::of(address);
        let mut keys = vec![Key::Fwmark { mark, family }];
        keys.extend(Protocol::ALL.map(|protocol| Key::Address { protocol, address, port }));
        for one in keys {
            prop_assert_eq!(one.to_string().parse(), Ok(one));
        }
    }
}

#[test]
fn one_weight_among_many_is_one_request() {
    let real: Vec<String> = (1..=200).map(|host| format!("10.1.0.{host}:80")).collect();
    let real: Vec<&str> = real.iter().map(String::as_str).collect();
    let mut config = config(vec![
        server("10.0.0.1:80", &real),
        server("10.0.0.2:80", &real),
        server("10.0.0.2:81", &[]),
    ]);
    let mut kernel = Kernel::default();
    assert_eq!(kernel.converge(&table(&config, &[1, 2]), &BTreeSet::new()), 403);
    config.virtual_servers[1].real_servers[77].weight = 5;
    assert_eq!(kernel.converge(&table(&config, &[1, 2]), &BTreeSet::new()), 1);
}

#[test]
fn parameters_that_differ_are_corrected() {
    let config = config(vec![server("10.0.0.1:80", &["10.1.0.1:80"])]);
    let mut kernel = Kernel::default();
    kernel.converge(&table(&config, &[1]), &BTreeSet::new());
    let service = kernel.services.get_mut(&key("-t 10.0.0.1:80")).expect("a service");
    service.settings.scheduler = "foreign".to_owned();
    service.servers[0].forward = None;
    assert_eq!(kernel.converge(&table(&config, &[1]), &BTreeSet::new()), 2);
}
