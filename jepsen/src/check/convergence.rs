//! The kernels end as planned (DESIGN, invariant 5): addresses, fence and IPVS table.
//!
//! Judged once, after the last heal and a quiet time that the caller grants. Each kernel was looked
//! at on its own, so an address that moves meanwhile looks wrong: look again before you accuse.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Judged, Run, Violation};
use crate::history::{Final, Kernel};

pub(super) fn judge(run: &Run) -> Judged {
    let Some(end) = run.end.as_ref().filter(|end| !end.kernels.is_empty()) else {
        return Judged::nothing("no kernel was looked at in the end");
    };
    let vips: BTreeSet<IpAddr> =
        run.setup.vips.keys().chain(end.plan.holders.keys()).copied().collect();
    let mut violations = Vec::new();
    for kernel in &end.kernels {
        let mut accuse = |what: String| {
            violations.push(Violation::new(kernel.taken_ns, format!("{}: {what}", kernel.node)));
        };
        for vip in &vips {
            address(kernel, *vip, end, &mut accuse);
        }
        for stray in kernel.addresses.difference(&vips) {
            accuse(format!("has {stray}, which no plan knows"));
        }
        services(kernel, end, &mut accuse);
    }
    let looked: BTreeSet<&str> = end.kernels.iter().map(|kernel| kernel.node.as_str()).collect();
    let names = run.setup.directors.iter().map(|director| director.name.as_str());
    let unseen: Vec<String> = names
        .filter(|name| !looked.contains(name))
        .map(|name| format!("{name}'s kernel was not looked at"))
        .collect();
    let note = format!("{} kernels, {} VIPs", end.kernels.len(), vips.len());
    Judged::by(violations, &unseen, vec![note])
}

fn address(kernel: &Kernel, vip: IpAddr, end: &Final, accuse: &mut impl FnMut(String)) {
    let holds = end.plan.holders.get(&vip) == Some(&kernel.node);
    let bound = kernel.addresses.contains(&vip);
    let gate = kernel.gates.get(&vip);
    let open = gate.is_some_and(|gate| gate.deadline_ns > kernel.taken_ns);
    match (holds, bound) {
        (true, false) => accuse(format!("lacks {vip}, which it holds")),
        (false, true) => accuse(format!("has {vip}, which it does not hold")),
        (true, true) | (false, false) => {}
    }
    match (holds, open) {
        (true, false) => accuse(format!("keeps {vip} closed, which it holds")),
        (false, true) => accuse(format!("keeps {vip} open, which it does not hold")),
        (true, true) | (false, false) => {}
    }
    if bound && gate.is_none() {
        accuse(format!("has {vip} without a fence"));
    }
}

fn services(kernel: &Kernel, end: &Final, accuse: &mut impl FnMut(String)) {
    let none = BTreeSet::new();
    let planned = end.plan.services.get(&kernel.node).unwrap_or(&none);
    for missing in planned.difference(&kernel.services) {
        accuse(format!("lacks `{missing}`"));
    }
    for stray in kernel.services.difference(planned) {
        accuse(format!("has `{stray}`, which is not planned"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::made::*;
    use super::*;
    use crate::check::{Doubt, Verdict};
    use crate::history::{Gate, Observations, Planned};

    const LINE: &str = "TCP 192.0.2.1:80 wrr -> 10.0.0.1:80 masq 1";

    /// ds1 holds the VIP and serves; ds2's fence knows the VIP and is closed, ds3's does not.
    fn good() -> Final {
        let set = |line: &str| BTreeSet::from([line.to_owned()]);
        let kernel = |node: &str, gates: &[u64]| Kernel {
            node: node.to_owned(),
            taken_ns: 1_000,
            gates: gates.iter().map(|it| (vip(), Gate { deadline_ns: *it })).collect(),
            ..Kernel::default()
        };
        let mut holder = kernel("ds1", &[2_000]);
        (holder.addresses, holder.services) = (BTreeSet::from([vip()]), set(LINE));
        Final {
            kernels: vec![holder, kernel("ds2", &[900]), kernel("ds3", &[])],
            plan: Planned {
                holders: BTreeMap::from([(vip(), "ds1".to_owned())]),
                services: BTreeMap::from([("ds1".to_owned(), set(LINE))]),
            },
            ..Final::default()
        }
    }

    fn judged(end: Final) -> Judged {
        let mut run = run(Vec::new(), Observations::default());
        run.end = Some(end);
        judge(&run)
    }

    /// What is changed, and what must be said of it.
    type Deviation = (fn(&mut Final), &'static str);

    #[test]
    fn as_planned_is_lawful() {
        assert_eq!(judged(good()).verdict, Verdict::Valid);
    }

    #[test]
    fn each_deviation_is_found() {
        let deviations: [Deviation; 9] = [
            (|end| end.kernels[0].addresses.clear(), "ds1: lacks 192.0.2.1"),
            (|end| end.kernels[1].addresses = BTreeSet::from([vip()]), "ds2: has 192.0.2.1"),
            (|end| end.kernels[2].addresses = BTreeSet::from([vip()]), "without a fence"),
            (|end| end.kernels[0].gates.clear(), "ds1: keeps 192.0.2.1 closed"),
            (
                |end| end.kernels[1].gates = BTreeMap::from([(vip(), Gate { deadline_ns: 1_001 })]),
                "ds2: keeps 192.0.2.1 open",
            ),
            (|end| end.kernels[0].services.clear(), "ds1: lacks `TCP"),
            (|end| end.kernels[1].services = BTreeSet::from([LINE.to_owned()]), "ds2: has `TCP"),
            (
                |end| end.kernels[1].addresses = BTreeSet::from([IpAddr::from([192, 0, 2, 9])]),
                "ds2: has 192.0.2.9, which no plan knows",
            ),
            (|end| end.plan.holders.clear(), "ds1: has 192.0.2.1, which it does not hold"),
        ];
        for (deviate, wanted) in deviations {
            let mut end = good();
            deviate(&mut end);
            let judged = judged(end);
            assert!(violations(&judged).iter().any(|it| it.what.contains(wanted)), "{judged:?}");
        }
    }

    #[test]
    fn a_kernel_that_nobody_looked_at_leaves_a_doubt() {
        let mut end = good();
        end.kernels.pop();
        assert!(matches!(judged(end).verdict, Verdict::Unknown(Doubt::Unclear(_))));
        let none = judged(Final::default());
        assert!(matches!(none.verdict, Verdict::Unknown(Doubt::NothingToJudge(_))));
    }
}
