//! Holders send, the others listen.

use leasehold_model::SyncDaemon;

use super::*;
use crate::service::sync;

fn roles(instance: Option<&str>, held: &[u32]) -> (bool, bool) {
    let mut config = config(Vec::new());
    assert_eq!(sync(&config, &groups(), &open(held)), None);
    config.global.lvs_sync_daemon = Some(SyncDaemon {
        interface: "eth1".to_owned(),
        instance: instance.map(str::to_owned),
        id: 5,
        maxlen: None,
        port: None,
        ttl: None,
        group: None,
    });
    let wanted = sync(&config, &groups(), &open(held)).expect("it is configured");
    (wanted.master, wanted.backup)
}

#[test]
fn whoever_holds_sends_and_whoever_does_not_hold_all_listens() {
    assert_eq!(roles(None, &[]), (false, true));
    assert_eq!(roles(None, &[1]), (true, true));
    assert_eq!(roles(None, &[1, 2]), (true, false));
}

#[test]
fn the_named_instance_decides_alone() {
    assert_eq!(roles(Some("left"), &[2]), (false, true));
    assert_eq!(roles(Some("left"), &[1]), (true, false));
}
