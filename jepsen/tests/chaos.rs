//! A short run of chaos with a fixed seed: real processes, disks and packets. Needs root.

use std::sync::atomic::AtomicBool;

use leasehold_jepsen::check::Sum;
use leasehold_jepsen::history::Outcome;
use leasehold_jepsen::nemesis::Kind;
use leasehold_jepsen::run::{DiskKind, Profile, Settings, run};
use leasehold_lab::find_binary;

/// What is broken, and how, follows from this; when exactly, from the machine.
const SEED: u64 = 7;

#[test]
fn nothing_is_promised_that_half_a_minute_of_chaos_breaks() {
    let settings = Settings {
        binary: find_binary().expect("the program under test is built"),
        seed: SEED,
        seconds: 30,
        directors: 3,
        witness: false,
        profile: Profile::Default,
        kinds: vec![
            Kind::KillDaemon,
            Kind::KillBoth,
            Kind::StopDaemon,
            Kind::StopBoth,
            Kind::PartitionHalves,
            Kind::IsolateHolder,
            Kind::AddressRemoved,
            Kind::Move,
            Kind::FsyncFailing,
            Kind::TornWrite,
            Kind::Reboot,
        ],
        disk: DiskKind::Layer,
        keep: None,
    };
    let report = run(&settings, &AtomicBool::new(false), |line| println!("{line}"));
    let report = report.expect("the testbed works");
    println!("{report}");
    assert_ne!(report.sum(), Sum::Broken, "kept in {}", report.folder.display());
    assert_eq!(report.failures, Vec::<String>::new());
    let installed = report.noted.iter().filter(|noted| noted.outcome == Outcome::Installed);
    assert!(installed.count() >= 3, "the run was to break something");
    let [acknowledged, ..] = report.operations.get("cas").copied().unwrap_or_default();
    assert!(acknowledged >= 5, "clients were to change something");
    let _ = std::fs::remove_dir_all(&report.folder);
}
