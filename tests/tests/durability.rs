//! Acknowledged is durable: every process of every member killed at once, again and again.

use std::net::IpAddr;

use leasehold_lab::cluster::{Cluster, Plan, instance};
use leasehold_lab::{Result, find_binary};

#[test]
fn what_was_acknowledged_is_there_after_all_were_killed_at_once() -> Result<()> {
    let mut cluster = Cluster::start(&Plan::new(find_binary()?))?;
    let mut expected = String::new();
    for round in 0..3_u8 {
        for step in 0..5_u8 {
            let vip = IpAddr::from([192, 168, 1, 100 + round * 10 + step]);
            cluster.apply("toml", &instance("VI_1", 88, &[vip]))?;
            expected = vip.to_string();
        }
        for index in 0..3 {
            cluster.daemon(index)?.kill_tree()?;
        }
        for index in 0..3 {
            cluster.mark_down(index);
            cluster.run(index)?;
        }
        cluster.wait_for_voters()?;
        let export = cluster.cli(2, &["export"])?;
        assert!(export.contains(&expected), "round {round}: {expected} is not in {export}");
        cluster.wait_for("every member to catch up", |this| {
            let has = |index| {
                let export = this.cli(index, &["export", "--local"]);
                export.is_ok_and(|export| export.contains(&expected))
            };
            (0..3).all(has).then_some(())
        })?;
    }
    Ok(())
}
