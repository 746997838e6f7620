//! The emulated machine: what goes in, what comes out, and that it ends.

use std::path::Path;
use std::time::Duration;

use leasehold_lab::Result;
use leasehold_lab::vm::{Job, inside};

const TRACE: &str = "/leasehold-vm-was-here";

#[test]
fn a_program_runs_there_with_this_machines_files_and_leaves_no_trace_here() -> Result<()> {
    let script = format!(
        "modprobe ip_vs && ipvsadm -Ln && ip netns add x && ip -n x link add br0 type bridge && \
         [ \"$LEASEHOLD_TOLD\" = \"it's so\" ] && touch {TRACE} && \
         seq 1000 && exit 3"
    );
    let told = ("LEASEHOLD_TOLD".to_owned(), "it's so".to_owned());
    let job = Job { env: vec![told], ..Job::new(["sh", "-c", &script]) };
    assert!(!inside());
    let ended = job.run()?;
    assert_eq!(ended.status, 3, "{}", ended.said);
    let last: Vec<String> = (901..=1000).map(|nth| nth.to_string()).collect();
    assert_eq!(ended.said.lines().collect::<Vec<_>>(), last, "the last hundred lines");
    assert!(!Path::new(TRACE).exists(), "what is written there stays there");
    Ok(())
}

#[test]
fn a_signal_is_told_as_a_shell_tells_it() -> Result<()> {
    assert_eq!(Job::new(["sh", "-c", "kill -KILL $$"]).run()?.status, 137);
    Ok(())
}

#[test]
fn one_that_does_not_end_is_ended() {
    let limit = Duration::from_secs(15);
    let endless = Job { limit, ..Job::new(["sh", "-c", "echo here it is; while :; do :; done"]) };
    let error = endless.run().expect_err("it never ends").to_string();
    assert!(error.contains("its program said last"), "{error}");
    assert!(error.contains("here it is"), "{error}");
}
